"""Sources of images with captions: digits that are placed on a canvas, and a folder of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from condgen.conditioning.token_sequence import padded_ids, tokens
from condgen.data.batch import SPLIT_NAMES, NoExamples, Split
from condgen.data.class_folders import files_below
from condgen.data.faults import for_each
from condgen.data.image_sources import MNIST, Digits
from condgen.data.images import ImageSource, Labelled
from condgen.data.manifest import Row, read_table
from condgen.data.picture_files import PictureFiles
from condgen.data.pictures import Fit, Framing, suffixes
from condgen.data.speech_sources import DIGIT_WORDS
from condgen.data.splits import split_class
from condgen.data.text import read_text
from condgen.described import described
from condgen.paths import identity, require_file, require_folder

SIZES = {"small": 0.45, "large": 0.7}  # share of the canvas
PLACES = {"left": (0.5, 0.0), "right": (0.5, 1.0), "top": (0.0, 0.5), "bottom": (1.0, 0.5)}  # down, and to the right
PHRASES = (
    "a {size} {digit} on the {place}",
    "on the {place} a {size} {digit}",
    "a {digit} on the {place} that is {size}",
)
KINDS = {"size": list(SIZES), "digit": DIGIT_WORDS, "place": list(PLACES)}
SHAKEN = 1  # pixels along the edge by which a place varies, to either side
TABLES = (".csv", ".jsonl")


@described
class CaptionedDigits:
    """Handwritten digits, small or large, on one side of a canvas, with captions: "a small seven on the left".

    Three phrases say the same; which, and size and place, are drawn for each picture once and for all, by the seed.
    Split as the digits are. Conditions: `caption`; and the classes `size`, `digit` and `place`, by which classifiers
    read samples.

    Args:
        root: folder of MNIST in torchvision's layout; left out, scikit-learn's digits, which need no download.
        size: height and width of the canvas, at least 12.
        levels: levels of grey.
        copies: pictures made of each digit.
        without: combinations that training lacks, such as `small seven left`: what a model makes of them, it has put
            together itself.
        seed: seed of sizes, places and phrases.
    """

    def __init__(
        self,
        root: str | None = None,
        size: int = 16,
        levels: int = 8,
        copies: int = 6,
        without: list[str] | None = None,
        seed: int = 0,
    ) -> None:
        if size < 12 or not 2 <= levels <= 256 or copies < 1:
            raise ValueError(f"CaptionedDigits: size {size} must be at least 12, levels {levels} between 2 and 256, "
                             f"copies {copies} at least 1")  # fmt: skip
        self.root, self.size, self.levels, self.copies, self.seed = root, size, levels, copies, seed
        self.without = [_combination(words) for words in without or ()]
        self.shape, self.names = (1, size, size), {name: list(words) for name, words in KINDS.items()}
        self.words = {"caption": sorted({word for phrase in PHRASES for word in tokens(phrase) if "{" not in word}
                                        | {word for words in KINDS.values() for word in words})}  # fmt: skip

    def load(self, split: Split) -> Labelled:
        """Read one split."""
        source: ImageSource = Digits() if self.root is None else MNIST(self.root, download=False)
        images = source.load(split)
        margin = 0 if self.root is None else 4  # MNIST's is empty
        ink = images.x[..., margin : images.x.shape[-2] - margin, margin : images.x.shape[-1] - margin].float()
        rng = torch.Generator().manual_seed(3 * self.seed + ("train", "val", "test").index(split))
        count = len(ink) * self.copies
        ids = {name: torch.randint(len(words), (count,), generator=rng) for name, words in KINDS.items()}
        ids["digit"] = images.conditions["digit"].repeat(self.copies)
        phrases = torch.randint(len(PHRASES), (count,), generator=rng).tolist()
        shakes = torch.randint(-SHAKEN, SHAKEN + 1, (count,), generator=rng).tolist()
        said = [{name: KINDS[name][int(of[i])] for name, of in ids.items()} for i in range(count)]
        kept = [i for i in range(count) if split != "train" or not self._is_left_out(said[i])]
        scaled = {name: self._scaled(ink / (source.levels - 1), share) for name, share in SIZES.items()}
        drawn = [self._placed(scaled[said[i]["size"]][i % len(ink)], said[i]["place"], shakes[i]) for i in kept]
        captions = padded_ids([tokens(PHRASES[phrases[i]].format(**said[i])) for i in kept], self.words["caption"])
        return Labelled(
            torch.stack(drawn), {name: of[kept] for name, of in ids.items()}, captions={"caption": captions}
        )

    def _is_left_out(self, said: dict[str, str]) -> bool:
        return any(words <= set(said.values()) for words in self.without)

    def _scaled(self, ink: Tensor, share: float) -> Tensor:
        """Bring digits, (digits, 1, height, width) from 0 to 1, to a share of the canvas; return levels, uint8."""
        side = round(share * self.size)
        digits = F.interpolate(ink, (side, side), mode="bilinear", antialias=True).clamp(0, 1)
        return (digits * (self.levels - 1)).round().byte()

    def _placed(self, digit: Tensor, place: str, shake: int) -> Tensor:
        """Place a digit, (1, side, side), on a canvas."""
        side, canvas = digit.shape[-1], torch.zeros(self.shape, dtype=torch.uint8)
        # At the edge itself it does not vary, so that a place stays what it is.
        top, left = (round(share * (self.size - side)) + (shake if share == 0.5 else 0) for share in PLACES[place])
        canvas[:, top : top + side, left : left + side] = digit
        return canvas


def _combination(words: str) -> set[str]:
    """Return the words of a combination of size, digit and place."""
    known = [word for kind in KINDS.values() for word in kind]
    found = tokens(words)
    unknown = [word for word in found if word not in known]
    if unknown or not found:
        raise ValueError(f"without: '{words}' is no combination such as 'small seven left'; known words: "
                         f"{', '.join(known)}")  # fmt: skip
    return set(found)


class Captioned(NamedTuple):
    """A picture file and what is said of it.

    Attributes:
        file: picture file.
        words: words of its caption.
        split: name of its split.
    """

    file: Path
    words: list[str]
    split: Split


@described
class CaptionedFolder:
    """Pictures with captions: a table that names both, or a text file beside each picture.

    A table is the only .csv or .jsonl file of the folder, with the columns `file_name` (or `path`), relative to it;
    `caption` (or `text`); and, if wanted, `split`, as in `Manifest`. Without a table, the caption of `a/b.png` stands
    in `a/b.txt`. Without a column `split`, the hash of each path decides: about one in ten for validation and one for
    testing; see `condgen.data.splits`. How pictures are read: `condgen.data.pictures`.

    Args:
        root: folder.
        size: height and width `[24, 32]`, or one number for both. Pictures of another size are brought to it; if it is
            left out, all pictures must be of one size.
        fit: way to another size: `crop` cuts the middle out in the ratio of the size and scales that; `squash` scales
            the whole picture without keeping its ratio.
        channels: number of channels: 3 for colour, 1 for grey.
        bits: bits kept per channel.
        condition: name of the condition.
        background: colour that shows where a picture is transparent, such as `black` or `#ff0000`.

    Raises:
        ValueError: the folder is not as described, or headers of pictures are not readable or differ in size.
    """

    def __init__(
        self,
        root: str,
        size: int | tuple[int, int] | None = None,
        fit: Fit = "crop",
        channels: Literal[1, 3] = 3,
        bits: int = 8,
        condition: str = "caption",
        background: str = "white",
    ) -> None:
        self.root, self.condition = root, condition
        self.captioned = _listed(require_folder(root, "the folder of the pictures"))
        files = [captioned.file for captioned in self.captioned]
        self.pictures = PictureFiles(root, files, size, Framing(fit, background), channels, bits)
        self.shape, self.levels, self.names = self.pictures.shape, 2**bits, dict[str, list[str]]()
        self.words = {condition: sorted({word for captioned in self.captioned for word in captioned.words})}

    def load(self, split: Split) -> Labelled:
        """Read one split.

        Raises:
            NoExamples: it has no pictures.
            Faults: pictures are not readable; the message names them.
        """
        chosen = [captioned for captioned in self.captioned if captioned.split == split]
        if not chosen:
            raise NoExamples(f"{self.root} has no pictures in the {split} split; add some, or a column 'split'")
        ids = padded_ids([captioned.words for captioned in chosen], self.words[self.condition])
        x = self.pictures.read([captioned.file for captioned in chosen])
        return Labelled(x, {}, captions={self.condition: ids})


def _listed(root: Path) -> list[Captioned]:
    """List the pictures of a folder with their captions, from its table or from text files."""
    tables = sorted(file for file in root.iterdir() if file.suffix.lower() in TABLES and file.name[0] != ".")
    if len(tables) > 1:
        raise ValueError(f"{root} holds several tables, {', '.join(file.name for file in tables)}: keep one")
    if tables:
        return _of_table(tables[0])
    files = [file for file in files_below(root) if file.suffix.lower() in suffixes() and not file.is_dir()]
    if not files:
        raise ValueError(f"{root} holds neither a .csv or .jsonl table nor pictures, each with its caption in a .txt "
                         "file beside it")  # fmt: skip

    def beside(file: Path) -> list[str]:
        text = require_file(file.with_suffix(".txt"), f"the caption of {file}")
        return _words(read_text(text), str(text))

    words = for_each(beside, files, f"captions in {root}")
    names = {file.relative_to(root).as_posix(): file for file in files}
    splits = {names[name]: split for name, split in split_class(list(names)).items()}
    return [Captioned(file, own, splits[file]) for file, own in zip(files, words, strict=True)]


def _of_table(table: Path) -> list[Captioned]:
    columns, rows = read_table(table)
    column = next((name for name in ("caption", "text") if name in columns), None)
    if column is None:
        raise ValueError(f"{table} has no column 'caption' or 'text'; it has {', '.join(columns)}")
    seen: dict[object, str] = {}

    def read(row: Row) -> tuple[str, Path, list[str]]:
        origin, cells = row
        name = str(cells.get("path", cells.get("file_name", ""))).strip()
        if not name:
            raise ValueError(f"{origin} has no file_name; name the picture, relative to the table")
        file = require_file(table.parent / name, "a picture, relative to the table", f"{origin}: {name}")
        first = seen.setdefault(identity(file), origin)
        if first is not origin:
            raise ValueError(f"{origin} lists {name} again, as {first} does; keep one of the rows")
        if "split" in columns and str(cells.get("split", "")).strip().lower() not in SPLIT_NAMES:
            raise ValueError(f"{origin}: unknown split '{cells.get('split', '')}'; known: {', '.join(SPLIT_NAMES)}")
        return name, file, _words(str(cells.get(column, "")), origin)

    found = for_each(read, rows, f"rows of {table}")
    hashed: dict[str, Split] = {} if "split" in columns else split_class([name for name, *_ in found])
    splits = [hashed.get(name) or SPLIT_NAMES[str(cells["split"]).strip().lower()]
              for (name, *_), (_, cells) in zip(found, rows, strict=True)]  # fmt: skip
    return [Captioned(file, words, split) for (_, file, words), split in zip(found, splits, strict=True)]


def _words(caption: str, origin: str) -> list[str]:
    words = tokens(caption)
    if not words:
        raise ValueError(f"{origin} has a caption without words; write one, or leave the picture out")
    return words
