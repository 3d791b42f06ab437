"""FiLMParameters: all (γ, β) of a condition, as a value. Together they are its task representation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from condgen.atomic import whole_file
from condgen.conditioning.film import GammaBeta, align
from condgen.paths import require_file

Binary = Callable[[Tensor, Tensor], Tensor]
LAYERS = (
    "film_layers"  # entry of the file's metadata: their names, in order; those without a tensor have no other place
)


class FiLMParameters(Mapping[str, GammaBeta]):
    """A mapping from the name of each FiLM layer to its (γ, β). Never changed in place.

    Tensors are (batch, channels), (batch, channels, frames) or (batch, channels, height, width). A part that is fixed
    (`None`: γ at 1, β at 0) stays fixed under every operation, so arithmetic makes sense for weights that sum to 1,
    such as the analogy p(a, x) + p(b, y) − p(a, y).

    Args:
        layers: (γ, β) per FiLM layer.
    """

    def __init__(self, layers: Mapping[str, GammaBeta]) -> None:
        self._layers = dict(layers)

    def __getitem__(self, name: str) -> GammaBeta:
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    @property
    def tensors(self) -> list[Tensor]:
        """Every γ and β that is not fixed, layer by layer."""
        return [part for pair in self.values() for part in pair if part is not None]

    @property
    def batch_size(self) -> int:
        """Rows held; 1 where everything is fixed, since one row serves any batch."""
        return max((tensor.shape[0] for tensor in self.tensors), default=1)

    def map(self, function: Callable[[Tensor], Tensor]) -> FiLMParameters:
        """Apply a function to every tensor."""
        return FiLMParameters({name: pair.map(function) for name, pair in self.items()})

    def _combine(self, other: FiLMParameters, function: Binary) -> FiLMParameters:
        if list(self) != list(other):
            raise ValueError(f"FiLM parameters of different networks: {list(self)} and {list(other)}")
        return FiLMParameters(
            {
                name: GammaBeta(*(_pair(name, a, b, function) for a, b in zip(self[name], other[name], strict=True)))
                for name in self
            }
        )

    def __add__(self, other: FiLMParameters) -> FiLMParameters:
        return self._combine(other, torch.add)

    def __sub__(self, other: FiLMParameters) -> FiLMParameters:
        return self._combine(other, torch.sub)

    def __mul__(self, factor: float) -> FiLMParameters:
        return self.map(lambda tensor: tensor * factor)

    __rmul__ = __mul__

    def interpolate(self, other: FiLMParameters, a: float) -> FiLMParameters:
        """Return (1 − a)·self + a·other."""
        return self._combine(other, lambda p, q: (1 - a) * p + a * q)

    def flatten(self) -> Tensor:
        """Return the task representation as one matrix, (batch, P), layer by layer, γ before β."""
        rows = self.batch_size
        parts = [tensor.expand(rows, *tensor.shape[1:]).flatten(1) for tensor in self.tensors]
        return torch.cat(parts, dim=1) if parts else torch.zeros(rows, 0)

    def mean(self) -> FiLMParameters:
        """Average over the batch: one row."""
        return self.map(lambda tensor: tensor.mean(0, keepdim=True))

    def select(self, rows: Tensor | slice | list[int]) -> FiLMParameters:
        """Take some rows of the batch; a batch of 1 stays as it is, since it serves any row."""
        return FiLMParameters({name: pair.rows(rows) for name, pair in self.items()})

    def to(self, *args: object, **kwargs: object) -> FiLMParameters:
        """Move or convert every tensor, with the arguments of `torch.Tensor.to`."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))  # type: ignore[call-overload]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of safetensors: each tensor in its own type, the layers in order."""
        tensors = {
            f"{name}/{part}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, pair in self.items()
            for part, tensor in zip(GammaBeta._fields, pair, strict=True)
            if tensor is not None
        }
        with whole_file(path) as temporary:
            save_file(tensors, temporary, {LAYERS: json.dumps(list(self))})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FiLMParameters:
        """Read what `save` wrote. No code in it is run.

        Raises:
            ValueError: the file is missing or holds something else.
        """
        require_file(path, "a file of FiLM parameters")
        try:
            with safe_open(path, "pt") as file:
                parts = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                names = [str(name) for name in json.loads(file.metadata()[LAYERS])]
        except OSError:
            raise
        except Exception as error:  # a broken file can make the reader raise anything
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{path} holds no FiLM parameters ({cause})") from None
        return cls({name: GammaBeta(*(parts.get(f"{name}/{part}") for part in GammaBeta._fields)) for name in names})


def _pair(name: str, a: Tensor | None, b: Tensor | None, function: Binary) -> Tensor | None:
    if a is None and b is None:
        return None
    if a is None or b is None:
        raise ValueError(
            f"FiLM parameters of different mechanisms: layer '{name}' is fixed in one and free in the other"
        )
    rank = max(a.ndim, b.ndim)
    return function(align(a, rank), align(b, rank))
