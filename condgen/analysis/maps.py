"""The feature maps that FiLM parameters modulate, as numbers to count and to draw: a column per map, a row per
condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from condgen.conditioning import FiLMParameters, GammaBeta

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureMaps:
    """(γ, β) of feature maps.

    Attributes:
        gamma: scales, (rows, maps); `None` where γ is fixed at 1.
        beta: offsets, (rows, maps); `None` where β is fixed at 0.
        layers: name of the layer of each map.
        numbers: number of each map within its layer, from 0.
        labels: name of the class of each row, per condition.
    """

    gamma: Numbers | None
    beta: Numbers | None
    layers: list[str]
    numbers: list[int]
    labels: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def parts(self) -> dict[str, Numbers]:
        """The parts that are not fixed, by name, γ before β."""
        return {name: part for name, part in (("gamma", self.gamma), ("beta", self.beta)) if part is not None}

    @property
    def points(self) -> Numbers:
        """The parts that are not fixed, side by side: (maps, rows, parts)."""
        return np.stack([part.T for part in self.parts.values()], axis=2)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.parts.values())))

    @property
    def names(self) -> list[str]:
        """The name of each map, such as `layers.0.film 17`."""
        return [f"{layer} {number}" for layer, number in zip(self.layers, self.numbers, strict=True)]

    def take(self, columns: Sequence[int]) -> FeatureMaps:
        """Take some maps by their columns."""
        gamma, beta = (None if part is None else part[:, list(columns)] for part in (self.gamma, self.beta))
        layers, numbers = [self.layers[i] for i in columns], [self.numbers[i] for i in columns]
        return FeatureMaps(gamma, beta, layers, numbers, self.labels)

    def most_varied(self, count: int) -> FeatureMaps:
        """Take the maps that differ most between rows, in their order."""
        spread = self.points.var(axis=1).sum(axis=1)
        return self.take(sorted(np.argsort(-spread, kind="stable")[:count].tolist()))


def pooled(film: FiLMParameters) -> FiLMParameters:
    """Return one (γ, β) per feature map, (rows, channels): what varies over frames or positions is averaged over them.

    Where conditions add up, as they do in condgen's generators without hidden layers, what is left of a local condition
    is the same for all rows that have it alike, so that differences between rows are those of their global conditions.
    """
    return film.map(lambda part: part if part.ndim == 2 else part.flatten(2).mean(2))


def choose_layers(film: FiLMParameters, layers: Sequence[str] = ()) -> FiLMParameters:
    """Take some FiLM layers by name; all of them where none is named.

    Raises:
        ValueError: there is no such layer; the message holds those that there are.
    """
    unknown = [name for name in layers if name not in film]
    if unknown:
        raise ValueError(f"no FiLM layer is called '{unknown[0]}'; layers: {', '.join(film)}")
    return FiLMParameters({name: film[name] for name in layers or film}, film.labels if film.tensors else {})


def feature_maps(film: FiLMParameters, layers: Sequence[str] = (), maps: Sequence[int] = ()) -> FeatureMaps:
    """Lay FiLM parameters out by feature map.

    Args:
        film: FiLM parameters with a row per condition; see `pooled` for local ones.
        layers: names of the layers wanted; all where there are none.
        maps: numbers of the maps wanted in each of these layers; all where there are none.

    Raises:
        ValueError: a layer or a map is unknown; or every γ and β is fixed, so that there is nothing to see.
    """
    chosen = pooled(choose_layers(film, layers))
    if not chosen.tensors:
        raise ValueError("every γ and β is fixed: the network has no conditions, so there is nothing to analyse")
    columns: dict[str, list[Tensor | None]] = {"gamma": [], "beta": []}
    names, numbers = list[str](), list[int]()
    for name, pair in chosen.items():
        channels = next((part.shape[1] for part in pair.parts.values()), 0)
        wanted = list(maps) or list(range(channels))
        _check_maps(name, wanted, channels)
        for part, found in columns.items():
            found.append(_column(pair, part, wanted, chosen.batch_size))
        names, numbers = names + [name] * len(wanted), numbers + wanted
    gamma, beta = (_joined(columns[part], fixed) for part, fixed in (("gamma", 1.0), ("beta", 0.0)))
    return FeatureMaps(gamma, beta, names, numbers, chosen.labels)


def _check_maps(layer: str, wanted: Sequence[int], channels: int) -> None:
    outside = [number for number in wanted if not 0 <= number < channels]
    if outside:
        raise ValueError(f"layer '{layer}' has no feature map {outside[0]}; its maps: 0 to {channels - 1}")


def _column(pair: GammaBeta, part: str, wanted: list[int], rows: int) -> Tensor:
    """Return a part for all rows; NaN where it is fixed. An offset before the normalisation counts as β."""
    found = pair.gamma if part == "gamma" else pair.beta if pair.inner is None else pair.inner
    if found is None:
        return torch.full((rows, len(wanted)), torch.nan, dtype=torch.float64)
    return found.detach().cpu().double().expand(rows, -1)[:, wanted]


def _joined(columns: Sequence[Tensor | None], fixed: float) -> Numbers | None:
    """Join layers; `None` if the part is fixed in all of them, and the fixed number in those where it is."""
    joined = torch.cat([column for column in columns if column is not None], dim=1).numpy()
    return None if np.isnan(joined).all() else np.where(np.isnan(joined), fixed, joined)
