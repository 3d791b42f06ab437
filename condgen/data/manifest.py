"""A manifest: a CSV or JSONL table that lists recordings and says what is known about each."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from condgen.data.batch import Split
from condgen.data.clips import Clip, Phoneme
from condgen.described import Described

SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test",
}  # fmt: skip
USUAL_LABELS = ("speaker", "digit", "label", "class")
Row = tuple[str, dict[str, object]]  # where it stands, for messages; and its cells by column


class Listing:
    """Clips that were listed when the source was made: what every `SpeechSource` of files holds.

    Args:
        where: file or folder of the source, for messages.
        conditions: labels to keep, in order.
        clips: clips, each with its split.

    Attributes:
        names: class names per condition: numbers by value, then words in alphabetical order.
        phonemes: phonemes that occur, sorted.
    """

    def __init__(self, where: Path, conditions: Sequence[str], clips: Iterable[tuple[Split, Clip]]) -> None:
        self.where, self.splits = where, list(clips)
        if not self.splits:
            raise ValueError(f"{where} lists no audio")
        every = [clip for _, clip in self.splits]
        self.names = {name: sorted({clip.labels[name] for clip in every}, key=_by_value) for name in conditions}
        self.phonemes = sorted({phoneme.symbol for clip in every for phoneme in clip.phonemes or ()})

    def clips(self, split: Split) -> list[Clip]:
        """List one split.

        Raises:
            ValueError: it has no clips.
        """
        chosen = [clip for part, clip in self.splits if part == split]
        if not chosen:
            raise ValueError(f"{self.where} has no clips in the {split} split; add recordings or change the split")
        return chosen


class Manifest(Described):
    """A CSV or JSONL table with one recording per row.

    Columns: `path`, or `file_name` as in Hugging Face's audiofolder, relative to the manifest; optionally `text`;
    `split` (train, val, test; valid, validation and dev mean val); labels such as `speaker`; and `phonemes`, a list
    of `[symbol, start, end]` in seconds (in a CSV file: the same list, written as JSON). Rows are counted as an
    editor counts lines, a CSV file's header being row 1. Each file may be listed only once.

    Without a `split` column, a hash of each path, as written in the manifest, decides: the first 8 hexadecimal digits
    of its SHA-256, as a fraction, mean testing below `test_share`, validation below `test_share + val_share`, and
    training otherwise. So a recording keeps its split when others are added or the rows are shuffled.

    Args:
        path: manifest file; its suffix tells the format.
        labels: columns that become class conditions; every row must have a value for each. If left out, those of
            `speaker`, `digit`, `label` and `class` that exist.
        val_share: share of the recordings for validation, if there is no `split` column.
        test_share: share of the recordings for testing, if there is no `split` column.

    Raises:
        ValueError: the file, or a row that the message names, is not as described.
    """

    def __init__(
        self, path: str, labels: list[str] | None = None, val_share: float = 0.05, test_share: float = 0.05
    ) -> None:
        if not (val_share >= 0 and test_share >= 0 and val_share + test_share < 1):
            raise ValueError(
                f"val_share {val_share} and test_share {test_share} must each be at least 0 and add up to less than 1"
            )
        file = Path(path)
        columns, rows = _read(file)
        conditions = _choose_labels(file, columns, labels)
        shares = None if "split" in columns else (val_share, test_share)
        self.listing = Listing(file, conditions, _clips_of(file, rows, conditions, shares))
        self.names, self.phonemes = self.listing.names, self.listing.phonemes

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        return self.listing.clips(split)


def split_by_tens(number: int) -> Split:
    """Of every ten, give the 9th to validation and the 10th to testing; numbers count from 0."""
    parts: dict[int, Split] = {8: "val", 9: "test"}
    return parts.get(number % 10, "train")


def _by_value(name: str) -> tuple[bool, int, str]:
    is_number = name.isascii() and name.isdecimal()
    return not is_number, int(name) if is_number else 0, name


def _read(file: Path) -> tuple[list[str], list[Row]]:
    """Read the columns and the rows; an empty cell is left out of its row."""
    if not file.is_file():
        raise ValueError(f"{file} does not exist; give a .csv or .jsonl manifest")
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl}
    if file.suffix.lower() not in readers:
        raise ValueError(f"{file} is not a .csv or .jsonl file; its suffix must tell the format")
    try:
        columns, rows = readers[file.suffix.lower()](file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    if not rows:
        raise ValueError(f"{file} has no rows; give one recording per row")
    if not {"path", "file_name"} & set(columns):
        raise ValueError(f"{file} has no column 'path' or 'file_name'; it has {', '.join(columns)}")
    return columns, [(where, {key: cell for key, cell in row.items() if cell not in (None, "")}) for where, row in rows]


def _read_csv(file: Path) -> tuple[list[str], list[Row]]:
    # utf-8-sig: spreadsheets begin a file with a byte order mark, which would become part of the first column's name.
    with open(file, encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        rows: list[Row] = []
        try:
            for cells in reader:
                origin = f"{file}, row {reader.line_num}"
                if None in cells:
                    raise ValueError(f"{origin} has more cells than the header; quote texts that contain commas")
                rows.append((origin, cells))
            return list(reader.fieldnames or ()), rows
        except csv.Error as error:
            raise ValueError(f"{file}, row {reader.line_num} is malformed CSV: {error}") from None


def _read_jsonl(file: Path) -> tuple[list[str], list[Row]]:
    rows: list[Row] = []
    with open(file, encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            origin = f"{file}, row {number}"
            try:
                cells = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{origin} is malformed JSON: {error.msg} at character {error.pos + 1}") from None
            if not isinstance(cells, dict):
                raise ValueError(f'{origin} is not a JSON object such as {{"path": "a.wav", "speaker": "ann"}}')
            rows.append((origin, cells))
    return sorted({column for _, cells in rows for column in cells}), rows


def _choose_labels(file: Path, columns: list[str], labels: list[str] | None) -> list[str]:
    if labels is None:
        return [column for column in USUAL_LABELS if column in columns]
    unknown = [label for label in labels if label not in columns]
    if unknown:
        raise ValueError(f"{file} has no column {', '.join(unknown)} to take as a label; it has {', '.join(columns)}")
    return list(dict.fromkeys(labels))


def _clips_of(
    file: Path, rows: list[Row], conditions: list[str], shares: tuple[float, float] | None
) -> Iterator[tuple[Split, Clip]]:
    seen: dict[str, str] = {}
    for origin, cells in rows:
        name = cells.get("path", cells.get("file_name"))
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{origin} has no path; name the recording, relative to the manifest")
        path = file.parent / name
        if not path.is_file():
            raise ValueError(f"{origin}: {path} does not exist; paths are relative to the manifest")
        # A clip listed twice in one split counts double, and in two splits it leaks the test set into training.
        first = seen.setdefault(os.path.normpath(path), origin)
        if first is not origin:
            raise ValueError(f"{origin} lists {name} again, as {first} does; keep one of the rows")
        labels = {condition: _label(origin, cells, condition) for condition in conditions}
        split = _named_split(origin, cells.get("split")) if shares is None else _hashed_split(name, *shares)
        phonemes = None if "phonemes" not in cells else _parse_phonemes(origin, cells["phonemes"])
        yield split, Clip(path, labels, _text(origin, cells), phonemes, origin)


def _label(origin: str, cells: dict[str, object], condition: str) -> str:
    value = cells.get(condition)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(f"{origin} has no {condition}; fill it in, or leave {condition} out of the labels")
    if isinstance(value, (dict, list)):
        raise ValueError(f"{origin}: {condition} {json.dumps(value)} is not a label; give a word or a number")
    return str(value).strip()


def _text(origin: str, cells: dict[str, object]) -> str | None:
    text = cells.get("text")
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{origin}: text {json.dumps(text)} is not in quotes")
    return text


def _named_split(origin: str, name: object) -> Split:
    known = SPLIT_NAMES.get(str(name or "").strip().lower())
    if known is None:
        raise ValueError(f"{origin}: unknown split '{name or ''}'; known: {', '.join(SPLIT_NAMES)}")
    return known


def _hashed_split(name: str, val_share: float, test_share: float) -> Split:
    fraction = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
    return "test" if fraction < test_share else "val" if fraction < test_share + val_share else "train"


def _parse_phonemes(origin: str, found: object) -> tuple[Phoneme, ...]:
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except json.JSONDecodeError:
            raise ValueError(f"{origin}: phonemes '{found}' are not a JSON list of [symbol, start, end]") from None
    if not isinstance(found, list):
        raise ValueError(f"{origin}: phonemes {json.dumps(found)} are not a list of [symbol, start, end]")
    phonemes: list[Phoneme] = []
    for entry in found:
        phoneme = _parse_phoneme(origin, entry)
        if phonemes and phoneme.start < phonemes[-1].end:
            raise ValueError(f"{origin}: phoneme {json.dumps(entry, ensure_ascii=False)} begins before the previous "
                             f"one ends, at {phonemes[-1].end} s; give them in order, without overlap")  # fmt: skip
        phonemes.append(phoneme)
    return tuple(phonemes)


def _parse_phoneme(origin: str, entry: object) -> Phoneme:
    shown = json.dumps(entry, ensure_ascii=False)
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], str) or not entry[0]:
        raise ValueError(f"{origin}: phoneme {shown} is not [symbol, start, end]")
    symbol, *times = entry
    if not all(type(time) in (int, float) and math.isfinite(time) for time in times):
        raise ValueError(f"{origin}: phoneme {shown} has a start or an end that is not a number of seconds")
    start, end = times
    if not 0 <= start < end:
        raise ValueError(f"{origin}: phoneme {shown} must start at 0 s or later and end after it starts")
    return Phoneme(symbol, float(start), float(end))
