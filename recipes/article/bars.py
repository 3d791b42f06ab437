"""Bars with a dot for each seed, as several recipes of the article draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from matplotlib.axes import Axes


def bars(axis: Axes, groups: Mapping[str, Mapping[str, Sequence[float]]], colours: Sequence[str]) -> None:
    """Draw a group of bars per name.

    Args:
        axis: axes to draw on.
        groups: figure per seed, by group and by bar within it; all groups have the same bars.
        colours: colour of each bar of a group.
    """
    width = 0.8 / len(colours)
    for i, group in enumerate(groups.values()):
        for j, ((part, values), colour) in enumerate(zip(group.items(), colours, strict=True)):
            x = i + (j - (len(colours) - 1) / 2) * width
            axis.bar(x, mean(values), width * 0.95, color=colour, label=None if i else part)
            axis.plot([x] * len(values), values, "k.", markersize=4)
    axis.set_xticks(range(len(groups)), list(groups), fontsize=8)
    axis.legend(fontsize=8, loc="upper center", ncols=len(colours))
