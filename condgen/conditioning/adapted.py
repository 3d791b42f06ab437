"""Classes with FiLM parameters of their own: what `condgen adapt --what film` learns, added to what the heads write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning.contract import Encoder
from condgen.conditioning.film import FiLM, GammaBeta, align
from condgen.conditioning.film_generator import Conditioning, Conditions, Dropout, FiLMGenerator, Start
from condgen.conditioning.parameters import FiLMParameters
from condgen.conditioning.values import Value, as_tensors

# What conditions decide of a layer's (γ, β), by mechanism.
WRITTEN: dict[Conditioning, tuple[str, ...]] = {
    "none": (), "bias": ("beta",), "scale": ("gamma",), "gate": ("gamma",), "film": ("gamma", "beta"),
    "concat": ("beta",),
}  # fmt: skip


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


class AdaptedFiLMGenerator(FiLMGenerator):
    """A FiLM generator in which some classes have FiLM parameters of their own.

    generator(conditions) = heads(encoders(conditions)) + offset(class): an offset of γ and of β for every channel of
    every layer, as the task representation of the class. It is zero for all classes that are not adapted, so that
    their FiLM parameters stay equal, to the last bit, to those without it.

    Args:
        adapted: names of the classes that have an offset, by condition.
        encoders: encoder per named condition; see `FiLMGenerator`.
        layers: FiLM layers of the network by name.
        conditioning: mechanism; see `FiLMGenerator`. With `concat`, the offset is one of β, after the convolution.
        dropout: probability that a condition is dropped in training; see `FiLMGenerator`.
        depth: number of hidden layers; see `FiLMGenerator`.
        start: initial weights of the heads; see `FiLMGenerator`.
    """

    def __init__(
        self,
        adapted: Mapping[str, Sequence[str]],
        encoders: Mapping[str, nn.Module],
        layers: Mapping[str, FiLM],
        conditioning: Conditioning = "bias",
        dropout: Dropout = 0.0,
        depth: int = 0,
        start: Start = "zero",
    ) -> None:
        super().__init__(encoders, layers, conditioning, dropout, depth, start)
        unknown = [name for name in adapted if name not in self.encoders]
        if unknown:
            raise ValueError(f"there is no condition {', '.join(unknown)} with adapted classes")
        size = len(WRITTEN[conditioning]) * sum(self.channels.values())
        self.offsets = nn.ModuleDict({n: Offset(self.named_encoders[n], own, size) for n, own in adapted.items()})

    def forward(self, conditions: Conditions) -> FiLMParameters:
        """Write (γ, β) for every FiLM layer; see `FiLMGenerator`."""
        film = super().forward(conditions)
        return film if isinstance(conditions, FiLMParameters) else self._moved(film, conditions, self.offsets)

    def without(self, conditions: Mapping[str, Value]) -> FiLMParameters:
        """Write (γ, β) without the conditions that training drops, offsets included; see `FiLMGenerator`."""
        return self._moved(super().without(conditions), conditions, [n for n in self.offsets if n not in self.dropout])

    def _moved(self, film: FiLMParameters, conditions: Mapping[str, Value], names: Iterable[str]) -> FiLMParameters:
        """Add the offsets of some conditions' classes."""
        tensors, device = as_tensors(self.named_encoders, conditions), next(self.parameters()).device
        for name in names:
            film = self._plus(film, self.offsets[name](tensors[name].to(device)))
        return film

    def _plus(self, film: FiLMParameters, numbers: Tensor) -> FiLMParameters:
        """Add offsets, (batch, size), that lie layer by layer, γ before β, as in `FiLMParameters.flatten`."""
        written = WRITTEN[self.conditioning]
        parts = iter(numbers.split([size for size in self.channels.values() for _ in written], dim=1))
        added = {}
        for name, pair in film.items():
            own = {part: next(parts) for part in written}
            added[name] = GammaBeta(**{part: value + align(own[part], value.ndim) if part in own else value
                                       for part, value in pair.parts.items()})  # fmt: skip
        return FiLMParameters(added, film.labels)
