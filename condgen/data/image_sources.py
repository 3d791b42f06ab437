"""Sources of labelled images: embedded digits, the usual data sets, a folder of your own."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from condgen.data.batch import NoExamples, Split
from condgen.data.class_folders import list_classes, split_files
from condgen.data.faults import Faults, faults_of, for_each
from condgen.data.images import Labelled
from condgen.data.pictures import REMEDIES, Fit, Framing, check_header, fitted, read_picture, suffixes, upright_size
from condgen.data.splits import ENOUGH
from condgen.described import described
from condgen.paths import require_file

IMAGES = "binarized_mnist.npz"
LABELS = "source_index_and_label.npz"
FEW = 5  # images of another size than most that are named one by one
DIGIT_NAMES = [str(digit) for digit in range(10)]


@described
class Digits:
    """Scikit-learn's handwritten digits: 1,797 images of 8 × 8 with 17 levels. Real handwriting, no download.

    Split, fixed and stratified by digit: 1,197 training, 100 validation, 500 test.
    """

    def __init__(self) -> None:
        self.shape, self.levels, self.names = (1, 8, 8), 17, {"digit": DIGIT_NAMES}

    def load(self, split: Split) -> Labelled:
        """Read one split."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        rest, test = train_test_split(np.arange(1797), test_size=500, random_state=0, stratify=digits.target)
        train, val = train_test_split(rest, test_size=100, random_state=0, stratify=digits.target[rest])
        rows = {"train": train, "val": val, "test": test}[split]
        x = torch.from_numpy(digits.images[rows].astype(np.uint8))[:, None]
        return Labelled(x, {"digit": torch.from_numpy(digits.target[rows]).long()})


@described
class MNIST:
    """MNIST: 28 × 28. Split: 50,000 training, the last 10,000 training images for validation, 10,000 test.

    Args:
        root: folder with torchvision's layout (`MNIST/raw/…`); for `fixed`, the folder of `binarized_mnist.npz`.
        binarize: method of binarization: `none` keeps 256 levels. `dynamic` draws each pixel anew every time in
            training, and once and for all (by a fixed seed) in validation and test. `fixed` reads a file in which all
            pixels were drawn once; see `read_fixed_mnist`. Likelihoods of the two binarizations are not comparable.
        download: download of missing files with torchvision, allowed if true.
    """

    def __init__(
        self, root: str = "data/mnist", binarize: Literal["none", "dynamic", "fixed"] = "none", download: bool = True
    ) -> None:
        if binarize not in ("none", "dynamic", "fixed"):
            raise ValueError(f"unknown binarization '{binarize}'; known: none, dynamic, fixed")
        self.root, self.binarize, self.download = root, binarize, download
        self.shape, self.levels, self.names = (1, 28, 28), 256 if binarize == "none" else 2, {"digit": DIGIT_NAMES}
        if binarize == "fixed" and Path(root, IMAGES).is_file() and not Path(root, LABELS).is_file():
            self.names = {}

    def load(self, split: Split) -> Labelled:
        """Read one split."""
        if self.binarize == "fixed":
            return read_fixed_mnist(Path(self.root), split)
        images = _torchvision("MNIST", self.root, split, 10_000, self.download, "digit")
        if self.binarize == "dynamic" and split == "train":
            return images._replace(binarize=True)
        if self.binarize == "dynamic":
            rng = torch.Generator().manual_seed({"val": 1, "test": 2}[split])
            pixels = torch.rand(images.x.shape, generator=rng) * 255 < images.x
            return images._replace(x=pixels.byte())
        return images


@described
class FashionMNIST:
    """Fashion-MNIST: 28 × 28, 256 levels, 10 garments. Split as for `MNIST`.

    Args:
        root: folder with torchvision's layout.
        download: download of missing files with torchvision, allowed if true.
    """

    def __init__(self, root: str = "data/fashion_mnist", download: bool = True) -> None:
        self.root, self.download = root, download
        garments = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
        self.shape, self.levels, self.names = (1, 28, 28), 256, {"class": garments}

    def load(self, split: Split) -> Labelled:
        """Read one split."""
        return _torchvision("FashionMNIST", self.root, split, 10_000, self.download, "class")


@described
class CIFAR10:
    """CIFAR-10: 32 × 32 in colour. Split: 45,000 training, the last 5,000 training images for validation, 10,000 test.

    Args:
        root: folder with torchvision's layout.
        bits: bits kept per colour; the levels are 2 to the power of this.
        download: download of missing files with torchvision, allowed if true.
    """

    def __init__(self, root: str = "data/cifar10", bits: int = 8, download: bool = True) -> None:
        self.root, self.bits, self.download = root, _checked_bits(bits), download
        kinds = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
        self.shape, self.levels, self.names = (3, 32, 32), 2**bits, {"class": kinds}

    def load(self, split: Split) -> Labelled:
        """Read one split."""
        images = _torchvision("CIFAR10", self.root, split, 5_000, self.download, "class")
        return images._replace(x=images.x >> (8 - self.bits))


@described
class Folder:
    """A folder with one folder of images per class; the folders' names are the class names.

    Images may be of any size and of the usual formats, photographs of telephones among them. Split by the hash of each
    image's path within the root, within each class, so that others may be added: about one in ten for validation and
    one for testing; see `condgen.data.splits`. Images in sub-folders of a class are taken too. Classes are in the order
    1, 2, 10. Files that are not images, by their suffix, are left out, which one line says. How images are read:
    `condgen.data.pictures`.

    Args:
        root: folder of the classes' folders.
        size: height and width `[24, 32]`, or one number for both. Images of another size are brought to it; if it is
            left out, all images must be of one size.
        fit: way to another size: `crop` cuts the middle out in the ratio of the size and scales that; `squash` scales
            the whole image without keeping its ratio.
        channels: number of channels: 3 for colour, 1 for grey.
        bits: bits kept per channel.
        condition: name of the condition.
        background: colour that shows where an image is transparent, such as `black` or `#ff0000`.

    Raises:
        ValueError: the folder is not as described, or headers of images are not readable or differ in size.
    """

    def __init__(
        self,
        root: str,
        size: int | tuple[int, int] | None = None,
        fit: Fit = "crop",
        channels: Literal[1, 3] = 3,
        bits: int = 8,
        condition: str = "class",
        background: str = "white",
    ) -> None:
        self.root, self.files = root, list_classes(Path(root), suffixes(), "images", condition, REMEDIES)
        self.channels, self.bits, self.condition = channels, _checked_bits(bits), condition
        self.framing, wanted = Framing(fit, background).checked(), _checked_size(size)
        height, width = self._checked_headers(wanted)
        self.shape, self.levels, self.names = (channels, height, width), 2**bits, {condition: list(self.files)}

    def load(self, split: Split) -> Labelled:
        """Read one split.

        Raises:
            NoExamples: it has no images.
            Faults: images are not readable; the message names them.
        """
        splits = split_files(Path(self.root), self.files)
        chosen = [(file, label) for label, files in enumerate(self.files.values()) for file in files
                  if splits[file] == split]  # fmt: skip
        if not chosen:
            raise NoExamples(f"the {split} split has no images: a class needs at least {ENOUGH} for every split to "
                             "have one")  # fmt: skip
        x = torch.stack(self._read_all([file for file, _ in chosen])) >> (8 - self.bits)
        return Labelled(x, {self.condition: torch.tensor([label for _, label in chosen])})

    def _read_all(self, files: list[Path]) -> list[Tensor]:
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
        files = [file for found in self.files.values() for file in found]
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


def read_fixed_mnist(root: Path, split: Split) -> Labelled:
    """Read MNIST with its pixels drawn once (50,000 / 10,000 / 10,000), the set on which papers compare models.

    `binarized_mnist.npz` holds `train_packed`, `valid_packed` and `test_packed`, 8 pixels per byte. Labels, which the
    original set lacks, come from `source_index_and_label.npz` (`train_label`, `valid_label`, `test_label`) beside it.
    """
    name = {"train": "train", "val": "valid", "test": "test"}[split]
    packed = _load_npz(root / IMAGES, f"{name}_packed")
    x = torch.from_numpy(np.unpackbits(packed, axis=1)[:, :784]).view(-1, 1, 28, 28)
    labels = root / LABELS
    if not labels.is_file():
        return Labelled(x, {})
    return Labelled(x, {"digit": torch.from_numpy(_load_npz(labels, f"{name}_label").astype(np.int64))})


def _load_npz(path: Path, key: str) -> np.ndarray:
    require_file(path, "the .npz file of fixed MNIST")
    try:
        with np.load(path, allow_pickle=False) as file:
            if key in file:
                return file[key]
            found = ", ".join(file.files)
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is not a readable .npz file ({error}); it may be truncated") from None
    raise ValueError(f"{path} has no array '{key}'; it has {found}")


def _torchvision(name: str, root: str, split: Split, held_out: int, download: bool, condition: str) -> Labelled:
    try:
        from torchvision import datasets
    except ImportError:
        raise ValueError(f"{name} is read with torchvision: pip install 'condgen[images]'") from None
    try:
        data = getattr(datasets, name)(root, train=split != "test", download=download)
    except (RuntimeError, OSError, ValueError) as error:
        tried = f"could not be downloaded: {error}" if download else "download is off: set source.download to true"
        raise ValueError(f"{name} is not complete in {root}, and {tried}") from None
    x, labels = torch.as_tensor(data.data), torch.as_tensor(data.targets)
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
    rows = {"train": slice(0, len(x) - held_out), "val": slice(len(x) - held_out, None), "test": slice(None)}[split]
    return Labelled(x[rows].contiguous(), {condition: labels[rows].long()})


def _checked_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"size {height} × {width} is not at least 1 × 1")
    return height, width


def _checked_bits(bits: int) -> int:
    if not 1 <= bits <= 8:
        raise ValueError(f"bits {bits} is not between 1 and 8")
    return bits
