"""The picture of one FiLM layer with the place in it where a sample is drawn from: all its (γ, β), those of every class
in the feature map that is looked at, and those of the present."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from condgen.analysis.maps import FeatureMaps
from condgen.analysis.pictures import GREEK, colours, plainly
from condgen.evaluation.pictures import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 20  # classes whose names stand beside their points
HERE: dict[str, Any] = {"color": "black", "edgecolors": "white", "linewidths": 1.2, "zorder": 5}


def save_layer(
    path: str | os.PathLike[str], layer: FeatureMaps, present: FeatureMaps, number: int | None, note: str = ""
) -> None:
    """Draw a layer: the points of all feature maps in gray, those of the classes in colours, the present in black.

    Where γ or β is fixed, the other alone is drawn: its histogram, and in it a line of its own for every class.

    Args:
        path: path of the PNG file.
        layer: feature maps of the layer, a row per class with its name.
        present: same maps in one row, as they are now.
        number: number of the map whose classes are shown; `None` for all maps.
        note: record of how it was made.
    """
    words = next(iter(layer.labels.values()), [""] * layer.rows)
    columns = range(len(layer)) if number is None else [number]
    with figure(path, 4.6, 3.9, note) as canvas:
        axes = canvas.subplots()
        if len(layer.parts) == 2:
            _plane(axes, layer, present, columns, words)
        else:
            _line(axes, layer, present, columns, words)
        (condition, *_) = [*layer.labels, ""]
        which = f"all {len(layer)} maps" if number is None else f"map {number}"
        plainly(axes, f"{layer.layers[0]}, {which}" + (f": each {condition}, and now" if condition else ""))


def _plane(axes: Axes, layer: FeatureMaps, present: FeatureMaps, columns: Sequence[int], words: Sequence[str]) -> None:
    """Draw γ to the right and β upwards."""
    axes.scatter(layer.points[..., 0], layer.points[..., 1], s=7, color="0.87", linewidths=0, zorder=0)
    points = layer.points[list(columns)]
    for i, (word, paint) in enumerate(zip(words, colours(len(words)), strict=True)):
        axes.scatter(
            points[:, i, 0], points[:, i, 1], s=44 if len(columns) == 1 else 12, color=paint, linewidths=0, zorder=3
        )
        if len(columns) == 1 and len(words) <= NAMED:
            axes.annotate(word, points[0, i], (5, 4), textcoords="offset points", color=paint, fontsize=11,
                          parse_math=False, zorder=4)  # fmt: skip
    few = len(columns) == 1
    now = present.points[list(columns), 0]
    axes.scatter(now[:, 0], now[:, 1], s=240 if few else 16, marker="*" if few else "o", **HERE)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=1)
    axes.axvline(1, color="0.8", linewidth=0.8, zorder=1)
    axes.set_xlabel("γ")
    axes.set_ylabel("β", rotation=0)


def _line(axes: Axes, layer: FeatureMaps, present: FeatureMaps, columns: Sequence[int], words: Sequence[str]) -> None:
    """Draw the only free part to the right, and a line for every class upwards."""
    (name, part), (_, now) = next(iter(layer.parts.items())), next(iter(present.parts.items()))
    behind = axes.twinx()
    behind.hist(part.ravel(), bins=60, color="0.87")
    behind.set_axis_off()
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
    places, few = np.arange(len(words)), len(columns) == 1
    for i, paint in enumerate(colours(len(words))):
        axes.scatter(part[i, list(columns)], places[[i] * len(columns)], s=60 if few else 8, color=paint, linewidths=0)
    here = now[0, list(columns)]
    if few:
        axes.axvline(here[0], color="black", linewidth=1, zorder=1)
    axes.scatter(here, np.full(len(columns), len(words)), s=240 if few else 16, marker="*" if few else "o", **HERE)
    named = [*words] if len(words) <= NAMED else [""] * len(words)
    axes.set_yticks([*places, len(words)], [*named, "now"], parse_math=False)
    axes.set_ylim(len(words) + 0.7, -0.7)
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    other = "γ is fixed at 1" if name == "beta" else "β is fixed at 0"
    axes.set_xlabel(f"{GREEK[name]} ({other}); gray: all {len(layer)} maps")
