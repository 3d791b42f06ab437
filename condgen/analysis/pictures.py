"""Pictures of task representations, in the manner of "Feature-wise transformations" (Dumoulin et al., Distill 2018)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from condgen.analysis.ablation import Ablation
from condgen.analysis.clusters import Clusters
from condgen.analysis.maps import FeatureMaps, Numbers
from condgen.evaluation.pictures import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 16  # maps that a scatter plot tells apart
LEGEND = 20  # classes that a legend lists
GREEK = {"gamma": "γ", "beta": "β"}


def colours(count: int) -> NDArray[np.float64]:
    """Return so many colours, (count, 4), that one can tell apart."""
    import matplotlib

    if count <= 10:
        return matplotlib.colormaps["tab10"](np.arange(count))
    if count <= 20:
        return matplotlib.colormaps["tab20"](np.arange(count))
    return matplotlib.colormaps["turbo"](np.linspace(0.03, 0.97, count))


def plainly(axes: Axes, title: str = "") -> None:
    """Take away from a plot whatever is no data, and write its title, which is no formula."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)


def save_scatter(
    path: str | os.PathLike[str], maps: FeatureMaps, colour: str | None = None, note: str = "", unit: str = ""
) -> None:
    """Draw the (γ, β) of some feature maps: a point per row and map, coloured by map and, beside it, by condition.

    Where γ or β is fixed, the other alone is drawn: its histogram, and the points of each map above each other.

    Args:
        path: path of the PNG file.
        maps: feature maps; of more than 16, the 16 that differ most between rows are told apart by colour.
        colour: condition by whose classes the points on the right are coloured; left out, there is no such plot.
        note: record of how they were made.
        unit: unit of the numbers, in words.
    """
    shown = maps.most_varied(SHOWN)
    words = None if colour is None else maps.labels[colour]
    draw = _scatter if len(maps.parts) == 2 else _strips
    with figure(path, 11 if words else 6, 5.2, note) as canvas:
        left, *right = canvas.subplots(1, 2 if words else 1, squeeze=False)[0]
        if len(maps.parts) == 2:
            draw(left, shown, None, unit)
            plainly(left, f"{len(shown)} feature maps of {len(maps):,}, a colour each")
        else:
            _histogram(left, maps, unit)
        for axes in right:
            draw(axes, shown, words, unit)
            plainly(axes, f"{len(shown)} feature maps of {len(maps):,}, coloured by {colour}")


def _scatter(axes: Axes, maps: FeatureMaps, words: Sequence[str] | None, unit: str) -> None:
    gamma, beta = maps.points[..., 0], maps.points[..., 1]
    axes.axhline(0, color="0.85", linewidth=0.8, zorder=0)
    axes.axvline(0, color="0.85", linewidth=0.8, zorder=0)
    size = float(np.clip(4000 / maps.rows, 3, 22))
    if words is None:
        for points, paint in zip(maps.points, colours(len(maps)), strict=True):
            axes.scatter(points[:, 0], points[:, 1], s=size, color=paint, alpha=0.7, linewidths=0)
    else:
        _by_class(axes, gamma.ravel(), beta.ravel(), list(words) * len(maps), size)
    axes.set_xlabel(f"γ{unit}")
    axes.set_ylabel(f"β{unit}")


def _by_class(axes: Axes, x: Numbers, y: Numbers, words: Sequence[str], size: float) -> None:
    """Draw points coloured by class, in an order that lets none of them hide another, with a legend of a few."""
    classes = list(dict.fromkeys(words))
    paints = dict(zip(classes, colours(len(classes)), strict=True))
    order = np.random.default_rng(0).permutation(len(words))
    axes.scatter(x[order], y[order], s=size, color=[paints[words[i]] for i in order], alpha=0.8, linewidths=0)
    if len(classes) <= LEGEND:
        for word in classes:
            axes.scatter([], [], s=18, color=paints[word], label=word)
        legend = axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.1)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _histogram(axes: Axes, maps: FeatureMaps, unit: str) -> None:
    (name, part), *_ = maps.parts.items()
    axes.hist(part.ravel(), bins=80, color="#4477aa")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"{GREEK[name]}{unit}")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    other = "γ is fixed at 1" if name == "beta" else "β is fixed at 0"
    plainly(axes, f"{GREEK[name]} of all {len(maps):,} maps; {(part < 0).mean():.1%} below 0 ({other})")


def _strips(axes: Axes, maps: FeatureMaps, words: Sequence[str] | None, unit: str) -> None:
    """Draw the only free part, the points of each map in a column of its own."""
    (name, part), *_ = maps.parts.items()
    places = np.arange(len(maps))[None] + np.random.default_rng(0).uniform(-0.25, 0.25, part.shape)
    axes.axhline(0, color="0.85", linewidth=0.8, zorder=0)
    _by_class(axes, places.ravel(), part.ravel(), [w for w in words or [] for _ in range(len(maps))], 14)
    axes.set_xticks(range(len(maps)), maps.names, rotation=90, fontsize=6)
    axes.set_ylabel(f"{GREEK[name]}{unit}")


def save_maps(
    path: str | os.PathLike[str], projections: Mapping[str, Numbers], labels: Mapping[str, Sequence[str]],
    titles: Mapping[tuple[str, str], str] | None = None, note: str = "",
) -> None:  # fmt: skip
    """Draw maps of whole representations: a row per condition, whose classes give the colours; a column per map.

    Args:
        path: path of the PNG file.
        projections: map, (rows, 2), by its name.
        labels: class of each row, per condition.
        titles: title of a plot by condition and map.
        note: record of how they were made.
    """
    with figure(path, 5.2 * len(projections), 4.4 * len(labels), note) as canvas:
        panels = canvas.subplots(len(labels), len(projections), squeeze=False)
        for row, (condition, words) in zip(panels, labels.items(), strict=True):
            for axes, (name, points) in zip(row, projections.items(), strict=True):
                _landscape(axes, points, words)
                plainly(axes, (titles or {}).get((condition, name), f"{name}, coloured by {condition}"))


def _landscape(axes: Axes, points: Numbers, words: Sequence[str]) -> None:
    """Draw a map: with names beside the points where these are few, else with a legend."""
    classes, few = list(dict.fromkeys(words)), len(words) <= 30
    if few:
        axes.scatter(
            points[:, 0], points[:, 1], s=30, color=colours(len(classes))[[classes.index(word) for word in words]]
        )
        for (x, y), word in zip(points, words, strict=True):
            axes.annotate(word, (x, y), (4, 4), textcoords="offset points", fontsize=10, parse_math=False)
        axes.margins(0.12)
    else:
        _by_class(axes, points[:, 0], points[:, 1], words, float(np.clip(6000 / len(words), 4, 26)))
    axes.set_xticks([])
    axes.set_yticks([])


def save_clusters(path: str | os.PathLike[str], maps: FeatureMaps, found: Sequence[Clusters], note: str = "") -> None:
    """Draw the sub-clusters of some maps: points coloured by the condition that explains them best, in the shape of
    their cluster.

    Args:
        path: path of the PNG file.
        maps: feature maps.
        found: clusters of each map.
        note: record of how they were made.
    """
    with figure(path, 4.6 * len(maps), 4, note) as canvas:
        panels = canvas.subplots(1, len(maps), squeeze=False)[0]
        for axes, points, name, each in zip(panels, maps.points, maps.names, found, strict=True):
            condition, told = max(each.explained.items(), key=lambda item: item[1].information)
            words = maps.labels[condition]
            _clustered(axes, points, words, np.array(each.members))
            labels = [f"{GREEK[part]}" for part in maps.parts]
            axes.set_xlabel(labels[0] if len(labels) == 2 else condition)
            axes.set_ylabel(labels[-1])
            plainly(axes, f"{name}: {each.count} clusters\n{condition}: information {told.information:.2f} "
                    f"(shuffled {told.shuffled:.2f})")  # fmt: skip


def _clustered(axes: Axes, points: Numbers, words: Sequence[str], members: np.ndarray) -> None:
    classes = list(dict.fromkeys(words))
    ids = np.array([classes.index(word) for word in words])
    paints = colours(len(classes))[ids]
    for cluster in range(members.max() + 1):
        inside = members == cluster
        x = points[inside, 0] if points.shape[1] == 2 else ids[inside]
        axes.scatter(x, points[inside, -1], s=26, color=paints[inside], marker="osD^v"[cluster % 5], alpha=0.85,
                     linewidths=0)  # fmt: skip
    if points.shape[1] == 1:
        axes.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
        for label in axes.get_xticklabels():
            label.set_parse_math(False)
    elif len(classes) <= LEGEND:
        for word, paint in zip(classes, colours(len(classes)), strict=True):
            axes.scatter([], [], s=18, color=paint, label=word)
        axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.1)


def magma(shades: Numbers) -> NDArray[np.uint8]:
    """Colour shades from 0 to 1, (height, width), as spectrograms are: (height, width, 3) of 8 bits."""
    import matplotlib

    return (matplotlib.colormaps["magma"](shades)[..., :3] * 255).round().astype(np.uint8)


def save_path(
    path: str | os.PathLike[str], weights: Sequence[float], strips: Sequence[Sequence[np.ndarray]],
    curves: Mapping[str, Mapping[str, Sequence[float]]], ends: tuple[str, str], note: str = "",
) -> None:  # fmt: skip
    """Draw a path: samples above, and below them what was measured at the same places.

    Args:
        path: path of the PNG file.
        weights: weights of the end, one per step.
        strips: pictures (height, width, 3) of each sample at every step.
        curves: numbers at every step by what they are of, for each plot by its unit.
        ends: names of start and end.
        note: record of how they were made.
    """
    width = 11.0
    cell = (width - 1.2) / len(weights)
    tall = len(strips) * min(cell, 1.1)
    with figure(path, width, tall + 0.5 + 1.7 * len(curves), note) as canvas:
        panels = canvas.subplots(
            1 + len(curves), 1, sharex=True, squeeze=False, height_ratios=[tall, *[1.5] * len(curves)]
        )
        _strip(panels[0, 0], weights, strips)
        panels[0, 0].set_title(f"{ends[0]} → {ends[1]}, the same noise in every row", loc="left", fontsize=10,
                               parse_math=False)  # fmt: skip
        for axes, (unit, lines) in zip(panels[1:, 0], curves.items(), strict=True):
            for (name, values), paint in zip(lines.items(), ("#4477aa", "#ee6677", "0.6"), strict=False):
                axes.plot(weights, values, "o-", markersize=3, color=paint, label=name)
            axes.set_ylabel(unit, fontsize=8)
            plainly(axes)
            axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        panels[-1, 0].set_xlabel(f"share of {ends[1]} in γ and β", parse_math=False)


def _strip(axes: Axes, weights: Sequence[float], strips: Sequence[Sequence[np.ndarray]]) -> None:
    """Lay pictures out so that each stands around its weight, with white lines between them."""
    rows = [np.concatenate([np.pad(_enlarged(cell), ((2, 2), (2, 2), (0, 0)), constant_values=255) for cell in row], 1)
            for row in strips]  # fmt: skip
    half = 0.5 / max(1, len(weights) - 1)
    axes.imshow(np.concatenate(rows), extent=(-half, 1 + half, 0, len(rows)), aspect="auto", interpolation="nearest")
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False)


def _enlarged(cell: np.ndarray) -> np.ndarray:
    """Enlarge a small picture by a whole number, so that its pixels stay squares."""
    zoom = max(1, 96 // max(cell.shape[:2]))
    return cell.repeat(zoom, 0).repeat(zoom, 1)


def save_strips(
    path: str | os.PathLike[str], weights: Sequence[float], strips: Mapping[str, Sequence[np.ndarray]],
    ends: tuple[str, str], note: str = "",
) -> None:  # fmt: skip
    """Draw paths on which only some layers move, a row each with its name.

    Args:
        path: path of the PNG file.
        weights: weights of the end, one per step.
        strips: pictures of a sample at every step, by the name of what moves.
        ends: names of start and end.
        note: record of how they were made.
    """
    cell = 8.0 / len(weights)
    with figure(path, 11, len(strips) * cell + 0.8, note) as canvas:
        axes = canvas.subplots()
        _strip(axes, weights, list(strips.values()))
        axes.set_yticks([len(strips) - 0.5 - i for i in range(len(strips))], list(strips), fontsize=8)
        axes.tick_params(left=False, bottom=False, labelbottom=True)
        axes.set_xlabel(f"share of {ends[1]} in γ and β of these layers; all others stay those of {ends[0]}",
                        parse_math=False)  # fmt: skip


def save_ablation(path: str | os.PathLike[str], found: Ablation, unit: str, note: str = "") -> None:
    """Draw what each group of layers carries, and what noise destroys, between the losses with and without conditions.

    Args:
        path: path of the PNG file.
        found: losses.
        unit: unit of the losses, in words.
        note: record of how they were made.
    """
    # What only γ knows is what is left with β at its mean.
    gamma, beta = (found.parts.get(part) for part in ("gamma", "beta"))
    rows = {} if gamma is None or beta is None else {"γ": (beta, gamma), "β": (gamma, beta)}
    rows |= {name: (loss, found.without[name]) for name, loss in found.only.items()}
    with figure(path, 11, 2.8 + 0.28 * len(rows), note) as canvas:
        left, right = canvas.subplots(1, 2, width_ratios=[1.3, 1])
        for place, losses in enumerate(rows.values()):
            left.plot([found.own, found.mean], [place, place], color="0.9", zorder=0)
            for loss, paint in zip(losses, ("#4477aa", "#ee6677"), strict=True):
                left.scatter(loss, place, color=paint, zorder=3)
        left.scatter([], [], color="#4477aa", label="only this knows the condition")
        left.scatter([], [], color="#ee6677", label="all but this know it")
        left.set_yticks(range(len(rows)), list(rows), fontsize=9)
        left.set_ylim(len(rows) - 0.4, -0.6)
        right.plot([0, *found.noise], [found.own, *found.noise.values()], "o-", color="#228833")
        right.set_xlabel("noise on γ and β, in their own standard deviations")
        lines = ((found.own, "-", "all know it"), (found.mean, "--", "none does: the mean of all"),
                 (found.shuffled, ":", "another's condition (shuffled)"))  # fmt: skip
        for axes, line in ((left, left.axvline), (right, right.axhline)):
            for value, style, told in lines:
                line(value, color="black", linestyle=style, linewidth=0.8, label=told)
            plainly(axes)
        left.set_xlabel(unit)
        right.set_ylabel(unit)
        most = found.own + 1.5 * max(found.shuffled - found.own, found.mean - found.own, 1e-3)
        right.set_ylim(top=min(most, right.get_ylim()[1]))
        canvas.legend(*left.get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center", ncols=5)
