"""Class ids in another order than a source's: that of a model, which may know more classes than the source has."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Names = Mapping[str, list[str]]


def ordered(names: Names, wanted: Names) -> dict[str, list[str]]:
    """Return class names by condition, in the order of their ids, with some conditions' in a wanted order.

    Args:
        names: names of a source's classes.
        wanted: names of all of a condition's classes, and perhaps of more.

    Raises:
        ValueError: a condition or a class of the source is missing, or a name stands twice.
    """
    for name, classes in wanted.items():
        if name not in names:
            raise ValueError(f"class_names names '{name}', of which the source has no classes; it has classes of "
                             f"{', '.join(names) or 'nothing'}")  # fmt: skip
        missing = [c for c in names[name] if c not in classes]
        if missing or len(set(classes)) < len(classes):
            fault = f"without {', '.join(missing)}, which the source has" if missing else "with a name twice"
            raise ValueError(f"class_names of '{name}' are {', '.join(classes)}: {fault}")
    return {**names, **wanted}


def renumbered(ids: Mapping[str, Tensor], names: Names, wanted: Names) -> dict[str, Tensor]:
    """Return ids, whole numbers of any shape, that mean by the wanted names what they meant by a source's."""
    moved = {name: torch.tensor([wanted[name].index(c) for c in classes]) for name, classes in names.items()
             if wanted[name][: len(classes)] != classes}  # fmt: skip
    return {name: moved[name][own] if name in moved else own for name, own in ids.items()}


def known_otherwise(known: Names, names: Names) -> dict[str, list[str]]:
    """Return the names of a model, by condition, that hold all those of the data in another order, or with more."""
    return {name: own for name, own in known.items()
            if name in names and own != names[name] and set(names[name]) <= set(own)}  # fmt: skip
