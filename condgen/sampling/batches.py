"""Batches of samples: which ones are drawn together, and how they are put together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Samples(NamedTuple):
    """What `sample` and `push_forward` return.

    Attributes:
        x: levels on the data grid, (samples, channels, height, width) or (samples, 1, time). Where lengths differ,
            what is behind a sample's end is silence.
        log_prob: log p(x | conditions) under the weights as the engine reads them (the model's own, but for
            `compiled_bfloat16`), at temperature 1 and without top-k, top-p or guidance, in nats, (samples,); with
            `film_guidance`, of the FiLM parameters that it leads to. Positions that were given are not counted. `None`
            for a generator, which has none.
        engine: name of the engine that drew them.
        why: reason why this one did, in a few words.
    """

    x: Tensor
    log_prob: Tensor | None
    engine: str
    why: str


class Batch(NamedTuple):
    """Samples that were drawn together.

    Attributes:
        number: number of the batch among all of the request.
        rows: numbers of its samples among all of the request.
        samples: samples themselves, on a canvas for the longest of the request.
        length: positions of the longest of its samples; `None` where all have the model's own size.
    """

    number: int
    rows: list[int]
    samples: Samples
    length: int | None


@dataclass(frozen=True)
class Batches:
    """Which samples are drawn together: those of similar length, as a batch takes as long as its longest. It depends on
    what is asked alone, and nothing here grows with the number of samples.

    Attributes:
        lengths: length of each row's samples.
        num_samples: samples per row, those of a row together.
        batch_size: samples of a batch.
        only: numbers of the batches wanted; `None` for all.
    """

    lengths: Sequence[int]
    num_samples: int
    batch_size: int
    only: Sequence[int] | None = None

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        """Give the number of each batch and the numbers of its samples."""
        order, each = sorted(range(len(self.lengths)), key=self.lengths.__getitem__), self.num_samples
        total = len(order) * each
        for number in range(batch_count(total, self.batch_size)) if self.only is None else self.only:
            places = range(number * self.batch_size, min((number + 1) * self.batch_size, total))
            yield number, [order[place // each] * each + place % each for place in places]


def batch_count(total: int, batch_size: int) -> int:
    """Return how many batches so many samples take."""
    return -(-total // batch_size)


def together(batches: Sequence[Batch]) -> tuple[list[int], Samples]:
    """Put the samples of batches in order; return their numbers too."""
    rows = [row for batch in batches for row in batch.rows]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    scores = [batch.samples.log_prob for batch in batches if batch.samples.log_prob is not None]
    longest = max((batch.length for batch in batches if batch.length is not None), default=None)
    x = torch.cat([batch.samples.x for batch in batches])[order]
    log_prob = torch.cat(scores)[order] if scores else None
    first = batches[0].samples
    return [rows[i] for i in order], Samples(x if longest is None else x[..., :longest], log_prob, first.engine,
                                             first.why)  # fmt: skip
