"""Another example of the same class, to be shown beside each example: another recording of a speaker, and the like."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from condgen.data.resumable import beside, generator_of


class Others:
    """Chooses, for each example, another one of its class.

    Args:
        ids: class id of each example, (examples,).
        names: names of the classes, in the order of their ids.
        varies: choice made anew at every fetch, as crops are, if true; otherwise an example always has the same one.
        whose: words for the split and the condition, in errors.

    Raises:
        ValueError: a class has one example alone; the message names it.
    """

    def __init__(self, ids: Tensor, names: Sequence[str], varies: bool, whose: str) -> None:
        self.ids, self.varies = ids.long(), varies
        self.counts = torch.bincount(self.ids, minlength=len(names))
        alone = [names[i] for i in (self.counts == 1).nonzero()[:, 0].tolist()]
        if alone:
            raise ValueError(f"{whose} has one example alone of {', '.join(alone)}, and another of the same is to be "
                             "shown beside each: add one, or leave the class out")  # fmt: skip
        self.order = self.ids.argsort(stable=True)
        self.places = self.order.argsort()
        self.starts = self.counts.cumsum(0) - self.counts

    def __call__(self, rows: Sequence[int]) -> list[int]:
        """Choose another example for each of some rows."""
        return [self._another(row) for row in rows]

    def _another(self, row: int) -> int:
        label = int(self.ids[row])
        count, start = int(self.counts[label]), int(self.starts[label])
        rng = generator_of(row, "another") if self.varies else torch.Generator().manual_seed(int(row))
        step = int(torch.randint(1, count, (), generator=rng))
        return beside(row, int(self.order[start + (int(self.places[row]) - start + step) % count]))
