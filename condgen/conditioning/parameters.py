"""FiLMParameters: all (γ, β) of a condition, as a value. Together they are its task representation."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from condgen.atomic import whole_file
from condgen.conditioning.film import GammaBeta, align
from condgen.conditioning.names import find_class
from condgen.paths import broken_as, require_file

Binary = Callable[[Tensor, Tensor], Tensor]
Labels = Mapping[str, Sequence[str]]
# Entries of the file's metadata: the names of the layers, in order (those without a tensor have no other place), and
# what the rows were made from.
LAYERS, LABELS = "film_layers", "labels"
SEAL = "sha256"  # entry with the checksum of all others; files of earlier versions have none
PARTS = ("gamma", "beta", "inner")


class FiLMParameters(Mapping[str, GammaBeta]):
    """A mapping from the name of each FiLM layer to its (γ, β). Never changed in place.

    Tensors are (batch, channels), (batch, channels, frames) or (batch, channels, height, width). A part that is fixed
    (γ at 1, β at 0) stays fixed under every operation, so arithmetic makes sense for weights that sum to 1, such as the
    analogy p(a, x) + p(b, y) − p(a, y). Copies and pickles carry numbers, and no gradients.

    Args:
        layers: (γ, β) per FiLM layer.
        labels: name of the class of each row, per condition; empty where rows have no names.
    """

    def __init__(self, layers: Mapping[str, GammaBeta], labels: Labels | None = None) -> None:
        self._layers = dict(layers)
        self.labels = {name: list(words) for name, words in (labels or {}).items()}
        for name, words in self.labels.items():
            if len(words) != self.batch_size:
                raise ValueError(f"{len(words)} labels of '{name}' do not fit {self.batch_size} rows")

    def __getitem__(self, name: str) -> GammaBeta:
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        labels = "".join(f"; {name}: {_shortened(words)}" for name, words in self.labels.items())
        numbers = sum(tensor[:1].numel() for tensor in self.tensors)
        return f"FiLMParameters of {len(self)} layers, {self.batch_size} rows, {numbers:,} numbers a row{labels}"

    def __reduce__(self) -> tuple[type[FiLMParameters], tuple[dict[str, GammaBeta], dict[str, list[str]]]]:
        return FiLMParameters, (self.map(torch.Tensor.detach)._layers, self.labels)

    @property
    def tensors(self) -> list[Tensor]:
        """Every γ and β that is not fixed, layer by layer."""
        return [part for pair in self.values() for part in pair.parts.values()]

    @property
    def batch_size(self) -> int:
        """Rows held; 1 where everything is fixed, since one row serves any batch."""
        return max((tensor.shape[0] for tensor in self.tensors), default=1)

    def map(self, function: Callable[[Tensor], Tensor]) -> FiLMParameters:
        """Apply a function to every tensor; the rows keep their labels if there are still as many."""
        mapped = FiLMParameters({name: pair.map(function) for name, pair in self.items()})
        return mapped.labelled(self.labels) if mapped.batch_size == self.batch_size else mapped

    def labelled(self, labels: Labels) -> FiLMParameters:
        """Return the same parameters with other labels; see the class."""
        return FiLMParameters(self._layers, labels)

    def _combine(self, other: FiLMParameters, function: Binary) -> FiLMParameters:
        if list(self) != list(other):
            raise ValueError(f"FiLM parameters of different networks: {list(self)} and {list(other)}")
        return FiLMParameters({name: _pair(name, self[name], other[name], function) for name in self})

    def __add__(self, other: FiLMParameters) -> FiLMParameters:
        return self._combine(other, torch.add)

    def __sub__(self, other: FiLMParameters) -> FiLMParameters:
        return self._combine(other, torch.sub)

    def __mul__(self, factor: float) -> FiLMParameters:
        return self.map(lambda tensor: tensor * factor)

    __rmul__ = __mul__

    def interpolate(self, other: FiLMParameters, a: ArrayLike | Tensor) -> FiLMParameters:
        """Return (1 − a)·self + a·other.

        Args:
            other: parameters at the other end.
            a: weight of the other end; or a list, an array or a tensor of weights, one per row of the result.

        Raises:
            ValueError: the weights are neither one nor as many as there are rows.
        """
        weights = torch.as_tensor(np.asarray(a) if not isinstance(a, Tensor) else a, dtype=torch.float64)
        rows = {self.batch_size, other.batch_size} - {1}
        if weights.ndim > 1 or (weights.ndim and rows - {len(weights)}):
            raise ValueError(f"weights of shape {tuple(weights.shape)} between {self.batch_size} and "
                             f"{other.batch_size} rows: give one, or one per row of the result")  # fmt: skip

        def between(p: Tensor, q: Tensor) -> Tensor:
            w = weights.to(p).reshape(-1, *(1,) * (p.ndim - 1))
            return (1 - w) * p + w * q

        return self._combine(other, between)

    def flatten(self) -> Tensor:
        """Return the task representation as one matrix, (batch, P), layer by layer, γ before β."""
        rows = self.batch_size
        parts = [tensor.expand(rows, *tensor.shape[1:]).flatten(1) for tensor in self.tensors]
        return torch.cat(parts, dim=1) if parts else torch.zeros(rows, 0)

    def numpy(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return (γ, β) per FiLM layer as NumPy arrays without gradients; ones and zeros where they are fixed."""
        return {name: (_array(gamma), _array(beta)) for name, (gamma, beta) in self.items()}

    def mean(self) -> FiLMParameters:
        """Average over the batch: one row."""
        return FiLMParameters({name: pair.map(lambda part: part.mean(0, keepdim=True)) for name, pair in self.items()})

    def select(
        self,
        rows: int | np.integer | Tensor | slice | list[int] | None = None,
        /,
        **words: str | int | Sequence[str | int],
    ) -> FiLMParameters:
        """Take some rows of the batch; what is the same for every row stays as it is, since it serves any.

        Args:
            rows: numbers of the rows, a slice, or a mask; one number gives one row.
            words: class, or list of classes in the order wanted, per condition: `select(digit=["7", "3"])`. Of several
                conditions, the rows that fit all are taken.

        Raises:
            ValueError: the rows have no such label; the message holds those that they have.
        """
        words = {name if name in self.labels else name.removesuffix("_"): word for name, word in words.items()}
        if isinstance(rows, str):
            conditions = ", ".join(self.labels) or "none"
            raise ValueError(f"rows are numbers; a class goes with its condition, such as select(digit='7'); the rows "
                             f"have labels of: {conditions}")  # fmt: skip
        taken = self._rows_of(words) if rows is None else [int(rows)] if isinstance(rows, int | np.integer) else rows
        chosen = FiLMParameters({name: pair.rows(taken) for name, pair in self.items()})
        if self.batch_size == 1:
            return chosen.labelled(self.labels)
        places = torch.arange(self.batch_size)[taken].tolist()
        return chosen.labelled({name: [known[i] for i in places] for name, known in self.labels.items()})

    def _rows_of(self, words: Mapping[str, str | int | Sequence[str | int]]) -> list[int]:
        rows = list(range(self.batch_size))
        for name, wanted in words.items():
            if name not in self.labels:
                raise ValueError(f"these FiLM parameters have no labels of '{name}' to select by; they have labels of: "
                                 f"{', '.join(self.labels) or 'nothing'}")  # fmt: skip
            known = list(dict.fromkeys(self.labels[name]))
            each = [wanted] if isinstance(wanted, str | int) else list(wanted)
            try:
                found = [known[find_class(known, str(word))] for word in each]
            except ValueError as error:
                raise ValueError(f"condition '{name}' {error}") from None
            rows = [row for label in found for row in rows if self.labels[name][row] == label]
        return rows

    @staticmethod
    def stack(parameters: Sequence[FiLMParameters]) -> FiLMParameters:
        """Put the rows of several parameters, of one network and one mechanism, below each other.

        Raises:
            ValueError: there are none, or they do not belong together.
        """
        if not parameters:
            raise ValueError("there are no FiLM parameters to stack")
        first = parameters[0]
        for other in parameters[1:]:
            first._combine(other, _same_size)
        stacked = FiLMParameters({name: GammaBeta(**{
            part: torch.cat([p[name].parts[part].expand(p.batch_size, *tensor.shape[1:]) for p in parameters])
            for part, tensor in pair.parts.items()
        }) for name, pair in first.items()})  # fmt: skip
        if not stacked.tensors or any(list(p.labels) != list(first.labels) for p in parameters):
            return stacked
        return stacked.labelled({name: [word for p in parameters for word in p.labels[name]] for name in first.labels})

    def to(self, *args: object, **kwargs: object) -> FiLMParameters:
        """Move or convert every tensor, with the arguments of `torch.Tensor.to`."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))  # type: ignore[call-overload]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of safetensors: each tensor in its own type, the layers in order, and the labels."""
        tensors = {
            f"{name}/{part}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, pair in self.items()
            for part, tensor in pair.parts.items()
        }
        told = {LAYERS: json.dumps(list(self)), LABELS: json.dumps(self.labels)}
        with whole_file(path) as temporary:
            # By itself, safetensors lets none but the user read the file.
            temporary.write_bytes(save(tensors, {**told, SEAL: _seal(tensors, told)}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FiLMParameters:
        """Read what `save` wrote. No code in it is run.

        Raises:
            ValueError: the file is missing or holds something else.
        """
        require_file(path, "a file of FiLM parameters")
        with broken_as(f"{path} holds no FiLM parameters"):
            with safe_open(path, "pt") as file:
                parts = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                told = file.metadata()
            if told.get(SEAL, seal := _seal(parts, told)) != seal:
                raise ValueError("it was altered or damaged since it was written; take another copy")
            names = [str(name) for name in json.loads(told[LAYERS])]
            labels = {str(k): [str(word) for word in v] for k, v in json.loads(told.get(LABELS, "{}")).items()}
            return cls({n: GammaBeta(*(parts.get(f"{n}/{part}") for part in PARTS)) for n in names}, labels)


def _seal(tensors: Mapping[str, Tensor], told: Mapping[str, str]) -> str:
    """Return the SHA-256 of the tensors of a file, with their names, types and shapes, and of what is told of them."""
    digest = hashlib.sha256(json.dumps([told.get(LAYERS), told.get(LABELS)]).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _pair(name: str, a: GammaBeta, b: GammaBeta, function: Binary) -> GammaBeta:
    """Combine the parts of two layers, which must have the same ones."""
    ours, theirs = a.parts, b.parts
    if list(ours) != list(theirs):
        raise ValueError(
            f"FiLM parameters of different mechanisms: layer '{name}' is fixed in one and free in the other"
        )
    ranks = {part: max(ours[part].ndim, theirs[part].ndim) for part in ours}
    return GammaBeta(**{p: function(align(ours[p], rank), align(theirs[p], rank)) for p, rank in ranks.items()})


def _same_size(p: Tensor, q: Tensor) -> Tensor:
    if p.shape[1:] != q.shape[1:]:
        raise ValueError(f"FiLM parameters of sizes {tuple(p.shape[1:])} and {tuple(q.shape[1:])} do not stack")
    return p


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _shortened(words: Sequence[str]) -> str:
    return ", ".join(words) if len(words) <= 12 else f"{', '.join(words[:10])}, … ({len(words)})"
