"""Classes with FiLM parameters of their own: what `condgen adapt --what film` learns, added to what the heads write.

generator(conditions) = heads(encoders(conditions)) + offset(class): an offset of every γ and β that the class's
condition writes, as the task representation of the class. It is zero for all classes that are not adapted, so that
their FiLM parameters stay equal, to the last bit, to those without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning.contract import Encoder
from condgen.conditioning.film import GammaBeta, align
from condgen.conditioning.parameters import FiLMParameters


class Offset(nn.Module):
    """A vector for some classes and zeros for all others: (batch,) whole numbers to (batch, size). Starts at zero.

    Args:
        encoder: encoder of the classes.
        adapted: names of the classes that have a vector.
        size: length of the vectors.
    """

    def __init__(self, encoder: Encoder, adapted: Sequence[str], size: int) -> None:
        super().__init__()
        known = encoder.names or []
        unknown = [name for name in adapted if name not in known]
        if encoder.classes is None or unknown:
            raise ValueError(f"there is no class {', '.join(unknown or adapted)} to be adapted; known: "
                             f"{', '.join(known) or 'none'}")  # fmt: skip
        rows = torch.zeros(encoder.classes, dtype=torch.long)
        rows[[known.index(name) for name in adapted]] = torch.arange(len(adapted)) + 1
        self.rows: Tensor
        self.register_buffer("rows", rows, persistent=False)
        self.numbers = nn.Parameter(torch.zeros(len(adapted), size))

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids, (batch,) of whole numbers, giving (batch, size)."""
        return F.pad(self.numbers, (0, 0, 1, 0))[self.rows[ids.long()]]


def moved(film: FiLMParameters, offset: Tensor, parts: Sequence[str], channels: Mapping[str, int]) -> FiLMParameters:
    """Add an offset to FiLM parameters.

    Args:
        film: FiLM parameters.
        offset: numbers, (batch, size), that lie layer by layer, γ before β, as in `FiLMParameters.flatten`.
        parts: parts that have an offset, of `gamma` and `beta`.
        channels: channels of each layer.
    """
    each = iter(offset.split([size for size in channels.values() for _ in parts], dim=1))
    added = {}
    for name, pair in film.items():
        own = {part: next(each) for part in parts}
        added[name] = GammaBeta(**{part: value + align(own[part], value.ndim) if part in own else value
                                   for part, value in pair.parts.items()})  # fmt: skip
    return FiLMParameters(added, film.labels)
