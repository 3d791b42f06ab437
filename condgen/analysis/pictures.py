"""Pictures of task representations, in the manner of "Feature-wise transformations" (Dumoulin et al., Distill 2018)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
    axes.tick_params(labelsize=8)
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
    axes.set_xticks(range(len(maps)), [str(number) for number in maps.numbers], rotation=90)
    axes.set_xlabel("feature map, those that differ most between rows")
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
