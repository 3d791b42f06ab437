"""Picture files of one's own, of any size and format, as images of one size."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from condgen.data.faults import Faults, faults_of, for_each
from condgen.data.pictures import Framing, check_header, fitted, read_picture, upright_size

FEW = 5  # images of another size than most that are named one by one


class PictureFiles:
    """Picture files whose headers have been looked at.

    Args:
        root: folder of the files, for messages.
        files: files.
        size: height and width to bring them to, or one number for both; `None` where all are of one size.
        framing: way to another size, and what shows where they are transparent.
        channels: number of channels: 3 for colour, 1 for grey.
        bits: bits kept per channel.

    Attributes:
        shape: channels, height and width of the images.

    Raises:
        ValueError: headers of images are not readable or differ in size.
    """

    def __init__(
        self,
        root: str,
        files: Sequence[Path],
        size: int | tuple[int, int] | None,
        framing: Framing,
        channels: int,
        bits: int,
    ) -> None:
        self.root, self.files, self.channels, self.bits = root, list(files), channels, checked_bits(bits)
        self.framing, wanted = framing.checked(), _checked_size(size)
        height, width = self._checked_headers(wanted)
        self.shape = (channels, height, width)

    def read(self, files: Sequence[Path]) -> Tensor:
        """Read some of the files: levels, (files, channels, height, width), uint8.

        Raises:
            Faults: images are not readable; the message names them.
        """
        return torch.stack(self._read_all(files)) >> (8 - self.bits)

    def _read_all(self, files: Sequence[Path]) -> list[Tensor]:
        """Read images; all faulty ones are named at once, the first of many."""
        read = for_each(self._read, files, f"images of {self.root}")
        if any(is_transparent for _, is_transparent, _ in read):
            warnings.warn(f"images of {self.root} are transparent in places, where {self.framing.background} shows: "
                          "set background to choose another colour", stacklevel=3)  # fmt: skip
        if any(depth > 8 for *_, depth in read):
            warnings.warn(f"images of {self.root} have more than 8 bits per channel, of which the upper 8 are kept",
                          stacklevel=3)  # fmt: skip
        return [levels for levels, *_ in read]

    def _read(self, file: Path) -> tuple[Tensor, bool, int]:
        image, is_transparent, depth = read_picture(file, self.channels, self.framing.background)
        return torch.from_numpy(fitted(image, *self.shape[1:], self.framing.fit)), is_transparent, depth

    def _checked_headers(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Return the size of the images, or the one they are brought to, once their headers have been read.

        Raises:
            Faults: headers are bad, or no size is given and they differ in size. Unless they all do, every image is
                then read to its end, so that all that are bad are named at once.
        """
        files = self.files
        sizes: dict[Path, tuple[int, int]] = {}

        def measure(file: Path) -> None:
            sizes[file] = upright_size(file)

        faults = faults_of(measure if size is None else check_header, files)
        usual = Counter(sizes.values()).most_common(1)[0][0] if sizes else size
        others = {file: found for file, found in sizes.items() if found != usual}
        kind = f"images of {self.root}"
        if len(others) > FEW or 2 * len(others) > len(sizes):
            raise Faults([*faults, f"{kind} are of {_range(sizes.values())}: give the size to bring all to, such as "
                          "--data.source.size 32"], kind)  # fmt: skip
        if faults or others or usual is None:
            read = partial(read_picture, channels=self.channels, background=self.framing.background)
            sized = [f"{file} is {_times(found)}, not {_times(usual)} as most: remove it, or give a size to bring all "
                     "to, such as --data.source.size 32" for file, found in others.items() if usual]  # fmt: skip
            raise Faults([*faults_of(read, files), *sized], kind)
        return size or usual


def _range(sizes: Collection[tuple[int, int]]) -> str:
    """Say in words which sizes there are."""
    counts = Counter(sizes).most_common()
    by_area = sorted(counts, key=lambda item: item[0][0] * item[0][1])
    return (f"{len(counts)} sizes, from {_times(by_area[0][0])} to {_times(by_area[-1][0])}, most often "
            f"{_times(counts[0][0])} ({counts[0][1]} of {len(sizes)})")  # fmt: skip


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _checked_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"size {height} × {width} is not at least 1 × 1")
    return height, width


def checked_bits(bits: int) -> int:
    """Return a number of bits per channel that is possible; refuse all others."""
    if not 1 <= bits <= 8:
        raise ValueError(f"bits {bits} is not between 1 and 8")
    return bits
