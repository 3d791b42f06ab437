"""Sources of labelled images: embedded digits, the usual data sets, a folder of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from condgen.data.arrays import read_npz
from condgen.data.batch import NoExamples, Split
from condgen.data.class_folders import list_classes, split_files
from condgen.data.images import Labelled
from condgen.data.picture_files import PictureFiles, checked_bits
from condgen.data.pictures import REMEDIES, Fit, Framing, suffixes
from condgen.data.splits import ENOUGH
from condgen.described import described
from condgen.paths import require_file

IMAGES = "binarized_mnist.npz"
LABELS = "source_index_and_label.npz"
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
        self.root, self.bits, self.download = root, checked_bits(bits), download
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
        self.condition = condition
        files = [file for found in self.files.values() for file in found]
        self.pictures = PictureFiles(root, files, size, Framing(fit, background), channels, bits)
        self.shape, self.levels, self.names = self.pictures.shape, 2**bits, {condition: list(self.files)}

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
        x = self.pictures.read([file for file, _ in chosen])
        return Labelled(x, {self.condition: torch.tensor([label for _, label in chosen])})


def read_fixed_mnist(root: Path, split: Split) -> Labelled:
    """Read MNIST with its pixels drawn once (50,000 / 10,000 / 10,000), the set on which papers compare models.

    `binarized_mnist.npz` holds `train_packed`, `valid_packed` and `test_packed`, 8 pixels per byte. Labels, which the
    original set lacks, come from `source_index_and_label.npz` (`train_label`, `valid_label`, `test_label`) beside it.
    """
    name = {"train": "train", "val": "valid", "test": "test"}[split]
    packed = _load_npz(root / IMAGES, f"{name}_packed")
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != 98:
        raise ValueError(f"{root / IMAGES} holds {packed.dtype} of shape {packed.shape} as {name}_packed, and no "
                         "pictures of 784 pixels, 8 to a byte")  # fmt: skip
    x = torch.from_numpy(np.unpackbits(packed, axis=1)[:, :784]).view(-1, 1, 28, 28)
    labels = root / LABELS
    if not labels.is_file():
        return Labelled(x, {})
    found = _load_npz(labels, f"{name}_label")
    if found.dtype.kind not in "iu" or found.shape != (len(x),) or not ((found >= 0) & (found < 10)).all():
        raise ValueError(f"{labels} holds no digit for each of {len(x):,} pictures as {name}_label")
    return Labelled(x, {"digit": torch.from_numpy(found.astype(np.int64))})


def _load_npz(path: Path, key: str) -> np.ndarray:
    return read_npz(require_file(path, "the .npz file of fixed MNIST"), key)


def _torchvision(name: str, root: str, split: Split, held_out: int, download: bool, condition: str) -> Labelled:
    try:
        from torchvision import datasets
    except ImportError:
        raise ValueError(f"{name} is read with torchvision: pip install 'condgen[images]'") from None
    try:
        data = getattr(datasets, name)(root, train=split != "test", download=download)
    except Exception as error:  # a broken file can make its readers raise anything
        tried = f"could not be downloaded: {error}" if download else "download is off: set source.download to true"
        raise ValueError(f"{name} is not complete in {root}, and {tried}") from None
    x, labels = torch.as_tensor(data.data), torch.as_tensor(data.targets)
    if x.shape[1:] not in ((28, 28), (32, 32, 3)) or labels.shape != x.shape[:1] or not ((labels >= 0) & (labels < 10)
                                                                                         ).all():  # fmt: skip
        raise ValueError(f"{name} is not whole in {root}: its files hold pictures of shape {tuple(x.shape[1:])} and "
                         f"{len(labels):,} labels for {len(x):,} of them; remove them, and read them anew")  # fmt: skip
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
    rows = {"train": slice(0, len(x) - held_out), "val": slice(len(x) - held_out, None), "test": slice(None)}[split]
    return Labelled(x[rows].contiguous(), {condition: labels[rows].long()})
