"""Condition encoders: each turns one condition into features, and the shape of the features is their scope.

(batch, features) is global, (batch, features, frames) is local, (batch, features, height, width) is spatial. The rest
of condgen knows an encoder only by the contract `Encoder`, so adding your own needs no change anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning.agreement import agree, beyond, check_frames, refuse_kind, remedy, require_shape
from condgen.conditioning.class_ids import ClassIds
from condgen.conditioning.contract import DataCondition, Scope
from condgen.conditioning.names import find_name
from condgen.described import described

Upsampling = Literal["repeat", "linear", "transposed"]


@described
class ClassEmbedding(nn.Module):
    """Class ids to a learned vector per class: (batch,) whole numbers to (batch, features).

    An embedding and a one-hot vector times a matrix are the same; a label fed as a number is not, because it would
    make the bias linear in the class number.

    Args:
        features: length of the vector.
        names: names of the classes, in the order of their ids. Left out on the command line, they are the data's.
        num_classes: number of classes, if they have no names.
    """

    scope: Scope = "global"
    around = 0
    named_axes: Mapping[str, int] = MappingProxyType({"embedding.weight": 0})

    def __init__(self, features: int = 64, names: list[str] | None = None, num_classes: int | None = None) -> None:
        super().__init__()
        self.features, self.ids = features, ClassIds.of("ClassEmbedding", names, num_classes)
        self.names, self.classes = list(self.ids.names), len(self.ids.names)
        self.embedding = nn.Embedding(self.classes, features)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids, (batch,) of whole numbers, giving (batch, features)."""
        return self.embedding(self.ids.checked(ids))

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


@described
class FeatureVector(nn.Module):
    """A vector of numbers, or a multi-hot vector of tags, to features: (batch, size) to (batch, features).

    Args:
        size: length of the vector; may be left out where `names` are given.
        features: length of the result.
        names: meaning of each entry, such as the tags.
    """

    scope: Scope = "global"
    classes = None
    around = 0

    def __init__(self, size: int | None = None, features: int = 64, names: list[str] | None = None) -> None:
        super().__init__()
        if names is not None and size not in (None, len(names)):
            raise ValueError(f"FeatureVector: {len(names)} names but size is {size}")
        if names is None and size is None:
            raise ValueError("FeatureVector needs the size of the vector or the names of its entries")
        self.size = len(names) if names is not None else int(size or 0)
        self.features, self.names = features, names
        self.named_axes = {} if names is None else {"linear.weight": 1}
        self.linear = nn.Linear(self.size, features)

    def forward(self, vector: Tensor) -> Tensor:
        """Map (batch, size) to (batch, features)."""
        require_shape(vector, ("batch", self.size))
        return self.linear(vector.to(self.linear.weight.dtype))

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Return the arguments as they are."""
        return dict(arguments)

    def check(self, data: DataCondition, hop: int) -> None:
        """Refuse classes and frames; `forward` checks the length of a vector."""
        refuse_kind("a vector", data, data.kind != "an array")

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Read tags, joined with `+`, or a list `a+b,c` of these."""
        if self.names is None:
            raise ValueError("takes an array, on the command line an .npy file")
        return [(tags, self._multi_hot(tags, self.names)) for tags in text.split(",")]

    def _multi_hot(self, tags: str, names: list[str]) -> Tensor:
        wanted = [tag.strip() for tag in tags.split("+") if tag.strip()]
        found = {tag: find_name(names, tag) for tag in wanted}
        unknown = [tag for tag, place in found.items() if place is None]
        if unknown:
            raise ValueError(f"has no tag {', '.join(unknown)}; its tags: {', '.join(names)}")
        return torch.tensor([float(i in found.values()) for i in range(len(names))])


@described
class FrameSequence(nn.Module):
    """A sequence of frames to features at `factor` times the frame rate: (batch, size, frames) to
    (batch, features, frames × factor).

    Source: van den Oord et al., "WaveNet", 2016, section 2.5 (a transposed convolution, or repetition).

    Args:
        size: numbers per frame. Left out on the command line, they are the data's.
        features: channels of the result.
        upsampling: method of upsampling: `repeat` (each frame is repeated), `linear` (interpolation), or `transposed`
            (a learned convolution). With the last two, the end of a clip that is padded in a batch of longer ones
            sees one frame of padding.
        factor: output frames per input frame.
        context: frames to either side that a frame's features depend on, through one hidden layer; 0 for a separate
            linear map of each frame. Causality concerns the audio, not its condition.
    """

    scope: Scope = "local"
    classes = None
    names = None
    named_axes: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        size: int,
        features: int = 64,
        upsampling: Upsampling = "repeat",
        factor: int = 1,
        context: int = 0,
    ) -> None:
        super().__init__()
        if upsampling not in ("repeat", "linear", "transposed"):
            raise ValueError(f"unknown upsampling '{upsampling}'; known: repeat, linear, transposed")
        if factor < 1 or context < 0:
            raise ValueError(f"FrameSequence: factor {factor} must be at least 1 and context {context} at least 0")
        self.size, self.features, self.upsampling, self.factor = size, features, upsampling, factor
        # Frames to either side that a result depends on.
        self.around = context + (upsampling != "repeat")
        hidden = (nn.Conv1d(size, features, 2 * context + 1, padding=context), nn.ReLU())
        self.project = nn.Sequential(*hidden, nn.Conv1d(features, features, 1)) if context else (
            nn.Conv1d(size, features, 1))  # fmt: skip
        if upsampling == "transposed":
            padding = -(-factor // 2)
            self.upsample = nn.ConvTranspose1d(features, features, factor + 2 * padding, stride=factor, padding=padding)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (batch, size, frames) to (batch, features, frames × factor)."""
        require_shape(frames, ("batch", self.size, "frames"))
        projected = self.project(frames.to(next(self.parameters()).dtype))
        if self.upsampling == "repeat":
            return projected.repeat_interleave(self.factor, dim=-1)
        if self.upsampling == "linear":
            return F.interpolate(projected, scale_factor=float(self.factor), mode="linear")
        return self.upsample(projected)

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Take the size of the frames from the data if it is not given."""
        known = data.size is not None and arguments.get("size") is None
        return {**arguments, "size": data.size} if known else dict(arguments)

    def check(self, data: DataCondition, hop: int) -> None:
        """Compare the size and duration of the frames with the data's."""
        check_frames(self.size, self.factor, data, hop)

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Refuse any word: frames are measured, or come from a file."""
        raise ValueError("takes an array, on the command line an .npy file")


@described
class LinguisticSequence(nn.Module):
    """Linguistic frames to features: (batch, 7, frames) to (batch, features, frames × factor).

    A frame holds the ids of the phoneme before, at and after it; the seconds that the present one has lasted and will
    last; log F0; and 0 or 1 for voicing, as `condgen.data.Linguistic` measures them.

    Source: van den Oord et al., "WaveNet", 2016, section 3.2 and appendix B.

    Args:
        features: channels of the result.
        names: phonemes, in the order of their ids. Left out on the command line, they are the data's.
        embedding: length of a phoneme's vector.
        upsampling: method of upsampling; see `FrameSequence`.
        factor: output frames per input frame.
        context: frames to either side that a frame's features depend on; see `FrameSequence`.
    """

    size = 7
    scope: Scope = "local"
    classes = None
    named_axes: Mapping[str, int] = MappingProxyType({"embedding.weight": 0})

    def __init__(
        self,
        features: int = 64,
        names: list[str] | None = None,
        embedding: int = 16,
        upsampling: Upsampling = "repeat",
        factor: int = 1,
        context: int = 1,
    ) -> None:
        super().__init__()
        if not names:
            raise ValueError("LinguisticSequence needs the names of the phonemes")
        self.features, self.factor, self.names = features, factor, list(names)
        self.embedding = nn.Embedding(len(self.names), embedding)
        self.around = context + (upsampling != "repeat")
        self.sequence = FrameSequence(3 * embedding + 4, features, upsampling, factor, context)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (batch, 7, frames) to (batch, features, frames × factor)."""
        require_shape(frames, ("batch", self.size, "frames"))
        ids = frames[:, :3].long()
        wrong = beyond(ids, len(self.names))
        if wrong:
            raise ValueError(f"phoneme ids {wrong} are out of range: there are {len(self.names)} phonemes")
        phonemes = self.embedding(ids).permute(0, 1, 3, 2).flatten(1, 2)
        numbers = frames[:, 3:].to(phonemes.dtype)
        # Seconds, log Hz and voicing, scaled to roughly the size of the embeddings: phonemes last about 0.1 s, and
        # voices lie around 150 Hz, whose logarithm is 5.
        seconds, pitch, voiced = numbers[:, :2] * 10, (numbers[:, 2:3] - 5) * 3, numbers[:, 3:]
        features = torch.cat([phonemes, seconds, pitch, voiced], dim=1)
        # A frame of zeros, which would be a voice of 1 Hz, is padding: its neighbours must see zeros, as at an edge.
        return self.sequence(features * (frames != 0).any(1, keepdim=True))

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Take the phonemes from the data if they are not given."""
        if arguments.get("names") is not None:
            return dict(arguments)
        if not data.names or data.size is None:
            raise ValueError(f"needs phonemes, and the data give {data.kind} without any{remedy(data)}")
        return {**arguments, "names": data.names}

    def check(self, data: DataCondition, hop: int) -> None:
        """Compare the size and duration of the frames, and the phonemes, with the data's."""
        check_frames(self.size, self.factor, data, hop)
        agree("the model's phonemes are", self.names, "the data's are", data.names)

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Refuse any word: phonemes are measured from speech, or come from a file."""
        raise ValueError("takes an array, on the command line an .npy file")


@described
class FeatureMap(nn.Module):
    """A map to features that vary in space, s = m(h): (batch, channels, height, width) to
    (batch, features, height × factor, width × factor).

    m is a network of 3 × 3 convolutions and, for each doubling of the size, one transposed convolution. It may look
    everywhere: causality concerns the image, not its condition.

    Source: van den Oord et al., "Conditional Image Generation with PixelCNN Decoders", 2016, section 2.3.

    Args:
        channels: channels of the map.
        features: channels of the result.
        factor: ratio of the result's size to the map's, a power of 2.
    """

    scope: Scope = "spatial"
    classes = None
    names = None
    around = 0
    named_axes: Mapping[str, int] = MappingProxyType({})

    def __init__(self, channels: int, features: int = 64, factor: int = 1) -> None:
        super().__init__()
        if factor < 1 or factor & (factor - 1):
            raise ValueError(f"FeatureMap: factor {factor} is not a power of 2")
        self.channels, self.features, self.factor = channels, features, factor
        layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, padding=1), nn.ReLU()]
        for _ in range(factor.bit_length() - 1):
            layers += [nn.ConvTranspose2d(features, features, 4, stride=2, padding=1), nn.ReLU()]
        self.network = nn.Sequential(*layers, nn.Conv2d(features, features, 3, padding=1))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, features, height × factor, width × factor)."""
        require_shape(maps, ("batch", self.channels, "height", "width"))
        return self.network(maps.to(next(self.parameters()).dtype))

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Take the channels of the map, and its size against the image's, from the data if they are not given."""
        if data.channels is None or arguments.get("channels") is not None:
            return dict(arguments)
        return {**arguments, "channels": data.channels, "factor": data.factor}

    def check(self, data: DataCondition, hop: int) -> None:
        """Refuse classes and frames; `forward` checks the channels of a map."""
        refuse_kind("a map", data, data.kind != "an array")

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Refuse any word: maps come from a file."""
        raise ValueError("takes an array, on the command line an .npy file")
