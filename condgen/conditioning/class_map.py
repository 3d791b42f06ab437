"""A class's own map: a bias of its own at every position, which feature-wise conditioning cannot give."""

from __future__ import annotations

import math

from torch import Tensor

from condgen.conditioning.contract import Scope
from condgen.conditioning.encoders import ClassEmbedding
from condgen.described import described


@described
class ClassMap(ClassEmbedding):
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

    def __init__(
        self,
        size: tuple[int, int],
        features: int = 16,
        names: list[str] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.size = height, width = tuple(size)
        if min(height, width) < 1:
            raise ValueError(f"ClassMap: size {height} × {width} is not at least 1 × 1")
        super().__init__(features * math.prod(self.size), names, num_classes)
        self.features = features

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids, (batch,) of whole numbers, giving (batch, features, height, width)."""
        return super().forward(ids).unflatten(1, (self.features, *self.size))
