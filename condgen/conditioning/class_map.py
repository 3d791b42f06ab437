"""A class's own map: a bias of its own at every position, which feature-wise conditioning cannot give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from condgen.conditioning.class_ids import ClassIds
from condgen.conditioning.contract import DataCondition, Scope
from condgen.described import described


@described
class ClassMap(nn.Module):
    """Class ids to a learned map per class: (batch,) whole numbers to (batch, features, height, width).

    With `conditioning: bias` the class acts at every position by itself: position-wise bias. It knows where in a
    picture a class has its ink, which helps as long as pictures stand still.

    Args:
        size: height and width of the map, the images'.
        features: features at each position.
        names: names of the classes, in the order of their ids. Left out on the command line, they are the data's.
        num_classes: number of classes, if they have no names.
    """

    scope: Scope = "spatial"
    around = 0
    named_axes: Mapping[str, int] = MappingProxyType({"embedding.weight": 0})

    def __init__(
        self,
        size: tuple[int, int],
        features: int = 16,
        names: list[str] | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.size = height, width = tuple(size)
        if min(height, width) < 1:
            raise ValueError(f"ClassMap: size {height} × {width} is not at least 1 × 1")
        self.features, self.ids = features, ClassIds.of("ClassMap", names, num_classes)
        self.names, self.classes = list(self.ids.names), len(self.ids.names)
        self.embedding = nn.Embedding(self.classes, features * math.prod(self.size))

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids, (batch,) of whole numbers, giving (batch, features, height, width)."""
        return self.embedding(self.ids.checked(ids)).unflatten(1, (self.features, *self.size))

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Take the names of the classes from the data if neither the names nor their number are given."""
        return ClassIds.completed(arguments, data)

    def check(self, data: DataCondition, hop: int) -> None:
        """Compare the classes with the data's."""
        self.ids.check(data)

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Read a class, a list `a,b,c` of classes, or `all`; see `condgen.conditioning.names`."""
        return self.ids.parse(text)
