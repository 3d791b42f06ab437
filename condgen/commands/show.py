"""`condgen show`: how a sample was made, or what a trained model is. It reads pictures and sound without PyTorch."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from condgen.commands.parser import TRUST, OneLineParser
from condgen.paths import content_of, require_file
from condgen.pretrained import HUB, find, is_export, names
from condgen.printable import printable

MANY = 20  # samples of a list, and words of a value, that are shown
NO_NOTE = "{} does not say how it was made: only files that `condgen sample` wrote do"
Pairs = Sequence[tuple[str, str]]


def show(path: str, trust: Sequence[str] = ()) -> None:
    """Print how a sample was made, or what a trained model is.

    Args:
        path: PNG, WAV or samples.npz that `condgen sample` wrote; manifest.jsonl, or the folder; or a checkpoint, an
            exported model, or the name of one that comes with condgen.
        trust: modules besides condgen whose classes the checkpoint may name.

    Raises:
        ValueError: the file is no such file, or does not say it.
    """
    pairs = _model(path, trust) if _is_model(path) else _of_samples(_records(_file(path)))
    width = max(len(word) for word, _ in pairs)
    for word, text in pairs:
        print(f"{printable(word):{width}}  {printable(text)}")


def _file(path: str) -> Path:
    if not os.path.exists(path):
        path = str(find(path))  # which says which names there are
    return _manifest_in(Path(path)) if os.path.isdir(path) else require_file(path, "a sample or a model")


def _manifest_in(folder: Path) -> Path:
    if (folder / "manifest.jsonl").is_file():
        return folder / "manifest.jsonl"
    found = sorted(folder.rglob("*.ckpt"))[:3]
    instead = f"; give a checkpoint, such as {found[-1]}" if found else ""
    raise ValueError(f"the folder {folder} has no manifest.jsonl, so it is none of `condgen sample`{instead}")


def _is_model(path: str) -> bool:
    """Tell a model from samples: a folder that holds one, the name of one, here or on the hub, or a checkpoint; arrays
    are zip archives too."""
    if os.path.isdir(path):
        return is_export(path)
    if path in names() or path.startswith(HUB) or path.endswith(".ckpt"):
        return True  # whose error says what is wrong with it
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _model(path: str, trust: Sequence[str]) -> Pairs:
    from condgen.checkpoint import Checkpoint
    from condgen.commands.model_card import card

    return card(Checkpoint.open(path, trust))


def _records(file: Path) -> list[dict[str, Any]]:
    """Read the records in a file.

    Raises:
        ValueError: there are none.
    """
    kind = content_of(file)
    try:
        texts = list(READERS[kind](file)) if kind in READERS else []
        records = [json.loads(text) for text in texts if text]
    except Exception:  # a broken file can make its reader raise anything
        records = []
    if not records or not all(isinstance(record, dict) and "checkpoint" in record for record in records):
        raise ValueError(NO_NOTE.format(file))
    return records


def _in_picture(file: Path) -> Iterator[str]:
    from PIL import Image

    with Image.open(file, formats=["PNG"]) as picture:
        yield str(picture.info.get("condgen", ""))


def _in_sound(file: Path) -> Iterator[str]:
    import soundfile

    with soundfile.SoundFile(file) as sound:
        yield sound.comment


def _in_arrays(file: Path) -> Iterator[str]:
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:
        yield str(arrays["provenance"]) if "provenance" in arrays else ""


def _in_lines(file: Path) -> Iterator[str]:
    with open(file, encoding="utf-8", errors="replace") as lines:
        yield from lines


READERS: dict[str | None, Callable[[Path], Iterator[str]]] = {
    "a PNG picture": _in_picture, "a WAV recording": _in_sound, "JSON or other text": _in_lines,
    "a zip archive, as .npz files and checkpoints are": _in_arrays,
}  # fmt: skip


def _of_samples(records: Sequence[Mapping[str, Any]]) -> Pairs:
    """Write records in lines: first what all have alike, then what is each one's own."""
    first = records[0]
    alike = [key for key in first if all(key in record and record[key] == first[key] for record in records)]
    pairs = [(key, _words(first[key])) for key in alike if first[key] is not None]
    for record in records[:MANY] if len(records) > 1 else ():
        own = [f"{key} {_words(value)}" for key, value in record.items() if key not in (*alike, "file")]
        pairs.append((str(record.get("file", "sample")), ", ".join(own)))
    return [*pairs, *([("…", f"and {len(records) - MANY:,} more")] if len(records) > MANY else [])]


def _words(value: Any) -> str:
    """Write a value: `digit=7, speaker=jackson` of a mapping, and the first of a long list."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_words(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list):
        more = f"; … {len(value):,} in all" if len(value) > MANY else ""
        return "; ".join(map(_words, value[:MANY])) + more
    return str(value)


def run(argv: list[str]) -> None:
    """Run `condgen show`."""
    parser = OneLineParser(prog="condgen show", description=str(show.__doc__).splitlines()[0])
    parser.add_argument("path", help="PNG, WAV or samples.npz that `condgen sample` wrote; manifest.jsonl, or the "
                        "folder; or a checkpoint, an exported model, or the name of one that comes with "
                        "condgen")  # fmt: skip
    parser.add_argument("--trust", nargs="+", default=[], help=TRUST)
    given = parser.parse_args(argv[1:])
    show(given.path, given.trust)
