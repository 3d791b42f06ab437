"""A picture that shows what is meant, to a global vector."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

from torch import Tensor, nn

from condgen.conditioning.agreement import refuse_kind, require_shape
from condgen.conditioning.contract import DataCondition, Scope
from condgen.described import described


@described
class ImageEncoder(nn.Module):
    """A picture to a vector: (batch, channels, height, width) of numbers from 0 to 1 to (batch, features).

    Convolutions, each of which halves the size, then the mean over all places: pictures may be of any size, from 2 to
    the power of the number of layers up, and the vector tells what is on them and not where.

    Source: Ghiasi et al., "Exploring the structure of a real-time, arbitrary neural artistic stylization network",
    2017, whose network that predicts a style is a deep classifier's; this one is small.

    Args:
        channels: channels of the picture. Left out on the command line, they are the data's.
        features: length of the vector.
        width: channels of the first convolution; each has twice as many as the one before.
        layers: number of convolutions.
    """

    scope: Scope = "global"
    classes = None
    names = None
    around = 0
    named_axes: Mapping[str, int] = MappingProxyType({})

    def __init__(self, channels: int, features: int = 64, width: int = 32, layers: int = 3) -> None:
        super().__init__()
        if min(channels, width, layers) < 1:
            raise ValueError(f"ImageEncoder: channels {channels}, width {width} and layers {layers} must each be at "
                             "least 1")  # fmt: skip
        self.channels, self.features, self.smallest = channels, features, 2**layers
        widths = [channels, *(width * 2**i for i in range(layers))]
        convolutions = (nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in pairwise(widths))
        self.network = nn.Sequential(*(part for conv in convolutions for part in (conv, nn.ReLU())))
        self.project = nn.Linear(widths[-1], features)

    def forward(self, pictures: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, features)."""
        require_shape(pictures, ("batch", self.channels, "height", "width"))
        height, width = pictures.shape[2:]
        if min(height, width) < self.smallest:
            raise ValueError(f"a picture of {height} × {width} is too small: at least {self.smallest} × "
                             f"{self.smallest} are needed")  # fmt: skip
        centred = 2 * pictures.to(self.project.weight.dtype) - 1
        return self.project(self.network(centred).mean((2, 3)))

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Take the channels from the data if they are not given."""
        known = data.channels is not None and arguments.get("channels") is None
        return {**arguments, "channels": data.channels} if known else dict(arguments)

    def check(self, data: DataCondition, hop: int) -> None:
        """Refuse all but pictures; `forward` checks their channels."""
        refuse_kind("a picture", data, data.kind != "a picture")

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Refuse any word: pictures come from files."""
        raise ValueError("takes a picture, or an .npy file with a picture per row")
