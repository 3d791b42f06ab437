"""A manifest: a CSV or JSONL table that lists recordings and says what is known about each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from condgen.conditioning.names import spelled
from condgen.data.batch import SPLIT_NAMES, NoExamples, Split
from condgen.data.clips import Clip, Phoneme
from condgen.data.decoding import read_header
from condgen.data.faults import Faults, faults_of, for_each
from condgen.data.order import ordered
from condgen.data.splits import split_labelled
from condgen.data.text import read_json, read_text, shown
from condgen.described import described
from condgen.paths import identity, require_file

RESERVED = ("path", "file_name", "split", "text", "phonemes")
LONGEST = 1e9  # seconds; comparing with it, unlike converting, also works for whole numbers beyond floats
# How programs write a value that is missing: a class of such a name would gather all that nobody labelled.
MISSING = {"NaN", "nan", "NA", "<NA>", "N/A", "n/a", "#N/A", "None", "null", "NULL"}
USUAL_LABELS = ("speaker", "digit", "label", "class")
Row = tuple[str, dict[str, object]]  # where it stands, for messages; and its cells by column


class Listing:
    """Clips that were listed when the source was made: what every `SpeechSource` of files holds.

    Args:
        where: file or folder of the source, for messages.
        conditions: labels to keep, in order.
        clips: clips, each with its split.

    Attributes:
        names: class names per condition, in the order of `condgen.data.order`.
        phonemes: phonemes that occur, sorted.
    """

    def __init__(self, where: Path, conditions: Sequence[str], clips: Iterable[tuple[Split, Clip]]) -> None:
        self.where, self.splits = where, list(clips)
        if not self.splits:
            raise ValueError(f"{where} lists no audio")
        every = [clip for _, clip in self.splits]
        self.names = {name: ordered({clip.labels[name] for clip in every}) for name in conditions}
        self.phonemes = sorted({phoneme.symbol for clip in every for phoneme in clip.phonemes or ()})

    def clips(self, split: Split) -> list[Clip]:
        """List one split.

        Raises:
            NoExamples: it has no clips.
        """
        chosen = [clip for part, clip in self.splits if part == split]
        if not chosen:
            raise NoExamples(f"{self.where} has no clips in the {split} split; add recordings or change the split")
        return chosen


@described
class Manifest:
    """A CSV or JSONL table with one recording per row.

    Columns: `path`, or `file_name` as in Hugging Face's audiofolder, relative to the manifest; optionally `text`;
    `split` (train, val, test; valid, validation and dev mean val); labels such as `speaker`; and `phonemes`, a list
    of `[symbol, start, end]` in seconds (in a CSV file: the same list, written as JSON). Rows are counted as an
    editor counts lines, a CSV file's header being row 1; empty rows are passed over, and so are blanks around names,
    labels and splits. Each recording may be listed only once, however its path is written.

    Without a `split` column, a hash of each path, as written in the manifest, decides: the first 8 hexadecimal digits
    of its SHA-256, as a fraction, mean testing below `test_share`, validation below `test_share + val_share`, and
    training otherwise. So a recording keeps its split when others are added or the rows are shuffled. With one
    column of labels, every class of at least ten recordings has some of each split all the same, and one of any size
    some for training; with several, nearly always: `condgen.data.splits` says how.

    Args:
        path: manifest file, .csv or .jsonl, with a column `path` (or `file_name`): each recording, relative to the
            manifest. Optional columns: `speaker`, `digit`, `label` or `class`, or others that `labels` names; `split`
            (train, val or test); `text`; `phonemes`.
        labels: columns that become class conditions; every row must have a value for each, and `NA`, `None`, `null`
            and `NaN` are none. If left out, those of
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
        columns, rows = read_table(file)
        conditions = _choose_labels(file, columns, labels)
        clips = _clips_of(file, rows, conditions, "split" in columns)
        splits = (
            [_named_split(row) for row in rows]
            if "split" in columns
            else _hashed_splits(rows, clips, val_share, test_share)
        )
        self.listing = Listing(file, conditions, zip(splits, clips, strict=True))
        self.names, self.phonemes = self.listing.names, self.listing.phonemes

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        return self.listing.clips(split)


def columns_of(file: Path) -> list[str]:
    """Return the names of the columns of a manifest."""
    return read_table(file)[0]


def split_by_tens(number: int) -> Split:
    """Of every ten, give the 9th to validation and the 10th to testing; numbers count from 0."""
    parts: dict[int, Split] = {8: "val", 9: "test"}
    return parts.get(number % 10, "train")


def read_table(file: Path) -> tuple[list[str], list[Row]]:
    """Read the columns and the rows; an empty cell is left out of its row, and an empty row of the table."""
    require_file(file, "a .csv or .jsonl manifest")
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl}
    if file.suffix.lower() not in readers:
        raise ValueError(f"{file} is not a .csv or .jsonl file; its suffix must tell the format")
    columns, rows = readers[file.suffix.lower()](file, read_text(file))
    filled = [(where, {key.strip(): cell for key, cell in row.items() if not _is_empty(cell)}) for where, row in rows]
    present = [(where, row) for where, row in filled if row]
    if not present:
        raise ValueError(f"{file} has no rows; give one recording per row")
    if not {"path", "file_name"} & set(columns):
        raise ValueError(f"{file} has no column 'path' or 'file_name'; it has {', '.join(columns)}{_hint(columns)}")
    hidden = [column for column in columns if not column.isprintable()]
    if hidden:
        raise ValueError(
            f"{file}: the name of the column {hidden[0]!a} holds characters that cannot be seen; rename it"
        )
    both = [where for where, row in present if {"path", "file_name"} <= row.keys()]
    if both:
        raise ValueError(f"{both[0]} has both a path and a file_name; keep one of them")
    for column in columns:
        if column not in RESERVED and column.lower() in RESERVED:
            raise ValueError(f"{file} has a column '{column}'; write it '{column.lower()}'")
    return columns, present


def _is_empty(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _hint(columns: list[str]) -> str:
    found = next((mark for mark in (";", "\t", "|") if any(mark in column for column in columns)), None)
    return "" if found is None else f"; separate columns with commas, not with {found!r}"


def _read_csv(file: Path, text: str) -> tuple[list[str], list[Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows: list[Row] = []
    try:
        header = [cell.strip() for cell in next(filter(any, reader), [])]
        columns = [column for column in header if column]
        twice = [column for column in columns if columns.count(column) > 1]
        if twice:
            raise ValueError(f"{file}, row {reader.line_num} names the column '{twice[0]}' twice; rename one of them")
        for cells in reader:
            origin = f"{file}, row {reader.line_num}"
            unnamed = [cell for cell in cells[len(header) :] if cell.strip()]
            if unnamed:
                raise ValueError(f"{origin} has more cells than the header; quote texts that contain commas")
            row = dict(zip(header, cells, strict=False))
            if any(cell.strip() and not name for name, cell in zip(header, cells, strict=False)):
                raise ValueError(f"{origin} has a cell in a column without a name; name the column in the header")
            rows.append((origin, {column: row[column] for column in columns if column in row}))
        return columns, rows
    except csv.Error as error:
        raise ValueError(f"{file}, row {reader.line_num} is malformed CSV: {error}") from None


def _read_jsonl(file: Path, text: str) -> tuple[list[str], list[Row]]:
    rows: list[Row] = []
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip():
            continue
        origin = f"{file}, row {number}"
        cells = read_json(line, origin)
        if not isinstance(cells, dict):
            raise ValueError(f'{origin} is not a JSON object such as {{"path": "a.wav", "speaker": "ann"}}')
        names = [name.strip() for name in cells]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"{origin} names '{twice[0]}' twice; keep one of them")
        rows.append((origin, cells))
    return sorted({column.strip() for _, cells in rows for column in cells}), rows


def _choose_labels(file: Path, columns: list[str], labels: list[str] | None) -> list[str]:
    if labels is None:
        other = [column for column in columns if column.lower() in USUAL_LABELS and column not in USUAL_LABELS]
        if other:
            raise ValueError(f"{file} has a column '{other[0]}'; write it '{other[0].lower()}', or name the labels")
        return [column for column in USUAL_LABELS if column in columns]
    unknown = [label for label in labels if label not in columns]
    if unknown:
        raise ValueError(f"{file} has no column {', '.join(unknown)} to take as a label; it has {', '.join(columns)}")
    return list(dict.fromkeys(labels))


def _clips_of(file: Path, rows: list[Row], conditions: list[str], has_split: bool) -> list[Clip]:
    seen: dict[object, tuple[str, str]] = {}

    def clip(row: Row) -> Clip:
        origin, cells = row
        name = _name(cells)
        if name is None:
            raise ValueError(f"{origin} has no path; name the recording, relative to the manifest")
        path = file.parent / name
        require_file(path, "a recording, relative to the manifest", f"{origin}: {path}")
        # A clip listed twice in one split counts double, and in two splits it leaks the test set into training.
        first, written = seen.setdefault(identity(path), (origin, name))
        if first is not origin:
            other = "" if written == name else f", as {written}"
            raise ValueError(f"{origin} lists {name} again, as {first} does{other}; keep one of the rows")
        labels = {condition: _label(origin, cells, condition) for condition in conditions}
        phonemes = None if "phonemes" not in cells else _parse_phonemes(origin, cells["phonemes"])
        if has_split:
            _named_split(row)
        return Clip(path, labels, _text(origin, cells), phonemes, origin)

    def sound(row: Row) -> None:
        found = clip(row)
        read_header(found.path, f"{found.origin}: {found.path}")

    try:
        return for_each(clip, rows, f"rows of {file}")
    except Faults as error:  # now that the table must be mended, name the recordings too that cannot be read
        raise Faults(faults_of(sound, rows), error.kind) from None


def _name(cells: dict[str, object]) -> str | None:
    name = cells.get("path", cells.get("file_name"))
    return name.strip() if isinstance(name, str) else None


def _label(origin: str, cells: dict[str, object], condition: str) -> str:
    value = cells.get(condition)
    if value is None:
        raise ValueError(f"{origin} has no {condition}; fill it in, or leave {condition} out of the labels")
    if isinstance(value, str) and value.strip() in MISSING:
        raise ValueError(f"{origin} has no {condition}, but '{value.strip()}', as programs write what is missing; fill "
                         f"it in, leave {condition} out of the labels, or name the class otherwise")  # fmt: skip
    if isinstance(value, (dict, list)) or value in (float("inf"), float("-inf")):
        raise ValueError(f"{origin}: {condition} {shown(value)} is not a label; give a word or a number")
    return spelled(str(value))


def _text(origin: str, cells: dict[str, object]) -> str | None:
    text = cells.get("text")
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{origin}: text {shown(text)} is not in quotes")
    return text


def _named_split(row: Row) -> Split:
    origin, cells = row
    name = str(cells.get("split", "")).strip()
    if name.lower() not in SPLIT_NAMES:
        raise ValueError(f"{origin}: unknown split '{name}'; known: {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[name.lower()]


def _hashed_splits(rows: list[Row], clips: list[Clip], val_share: float, test_share: float) -> list[Split]:
    names = [str(_name(cells)) for _, cells in rows]
    splits = split_labelled(dict(zip(names, (clip.labels for clip in clips), strict=True)), val_share, test_share)
    return [splits[name] for name in names]


def _parse_phonemes(origin: str, found: object) -> tuple[Phoneme, ...]:
    if isinstance(found, str):
        try:
            found = read_json(found, origin)
        except ValueError:
            raise ValueError(f"{origin}: phonemes {shown(found)} are not a JSON list of [symbol, start, end]") from None
    if not isinstance(found, list):
        raise ValueError(f"{origin}: phonemes {shown(found)} are not a list of [symbol, start, end]")
    phonemes: list[Phoneme] = []
    for entry in found:
        phoneme = _parse_phoneme(origin, entry)
        if phonemes and phoneme.start < phonemes[-1].end:
            raise ValueError(f"{origin}: phoneme {shown(entry)} begins before the previous "
                             f"one ends, at {phonemes[-1].end} s; give them in order, without overlap")  # fmt: skip
        phonemes.append(phoneme)
    return tuple(phonemes)


def _parse_phoneme(origin: str, entry: object) -> Phoneme:
    entry_shown = shown(entry)
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], str) or not entry[0]:
        raise ValueError(f"{origin}: phoneme {entry_shown} is not [symbol, start, end]")
    symbol, *times = entry
    if not all(type(time) in (int, float) and abs(time) < LONGEST for time in times):
        raise ValueError(f"{origin}: phoneme {entry_shown} has a start or an end that is not a number of seconds")
    start, end = times
    if not 0 <= start < end:
        raise ValueError(f"{origin}: phoneme {entry_shown} must start at 0 s or later and end after it starts")
    return Phoneme(symbol, float(start), float(end))
