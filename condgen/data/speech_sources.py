"""Sources of speech on disk: one folder per class, and the layouts in which the usual corpora are distributed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from condgen.data.batch import Split
from condgen.data.class_folders import list_classes, split_files
from condgen.data.clips import Clip
from condgen.data.faults import for_each
from condgen.data.manifest import Listing, Manifest, columns_of, split_by_tens
from condgen.data.text import read_text
from condgen.described import described
from condgen.paths import require_file, require_folder

# Formats that soundfile reads and that are usual for speech; other files, such as transcripts, may lie beside them.
SUFFIXES = {
    ".aif", ".aifc", ".aiff", ".au", ".avr", ".caf", ".flac", ".mp3", ".nist", ".oga", ".ogg", ".opus", ".paf",
    ".pvf", ".rf64", ".sf", ".snd", ".sph", ".svx", ".8svx", ".voc", ".w64", ".wav", ".wave",
}  # fmt: skip
REMEDIES = dict.fromkeys((".aac", ".m4a", ".mp4", ".webm", ".wma"), "convert them, for instance with ffmpeg, to .flac")
DIGIT_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@described
class AudioFolder:
    """A folder with one folder of recordings per class, whose names are the class names; or with a table of them.

    Recordings in sub-folders of a class are taken too. Split as in `Folder`, by the hash of each path within the root,
    so that others may be added; see `condgen.data.splits`. Files that are not audio, by their suffix, and those that
    soundfile does not read, such as .m4a, are left out, which one line says. Where the folder itself holds a .csv or
    .jsonl file, that table says which recordings are meant and what is known about each; see `Manifest`.

    Args:
        root: folder of the classes' folders, or of a table and its recordings.
        condition: name of the condition, and of its column in a table.

    Raises:
        ValueError: the folder holds neither, or several tables, or a table without such a column.
    """

    def __init__(self, root: str, condition: str = "speaker") -> None:
        tables = _tables(require_folder(root, "the folder of the recordings"))
        self.listing = _listed_by(tables, condition) if tables else _listed_by_folder(Path(root), condition)
        self.names, self.phonemes = self.listing.names, self.listing.phonemes

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        return self.listing.clips(split)


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir()
                  if path.suffix.lower() in (".csv", ".jsonl") and not path.name.startswith("."))  # fmt: skip


def _listed_by(tables: list[Path], condition: str) -> Listing:
    """List the recordings of a table, the only one of its folder."""
    if len(tables) > 1:
        raise ValueError(f"{tables[0].parent} holds several tables, {', '.join(path.name for path in tables)}: keep "
                         "one, or choose one with --data.source Manifest --data.source.path FILE")  # fmt: skip
    listing = Manifest(str(tables[0]), val_share=0.1, test_share=0.1).listing
    if condition in listing.names:
        return listing
    columns = columns_of(tables[0])
    if condition not in columns:
        raise ValueError(f"{tables[0]} has no column '{condition}' that tells the classes; it has "
                         f"{', '.join(columns)}: choose one with --data.source.condition NAME")  # fmt: skip
    return Manifest(str(tables[0]), [*listing.names, condition], 0.1, 0.1).listing


def _listed_by_folder(root: Path, condition: str) -> Listing:
    files = list_classes(root, SUFFIXES, "recordings", condition, REMEDIES)
    splits = split_files(root, files)
    clips = ((splits[file], Clip(file, {condition: name}, origin=str(file)))
             for name, found in files.items() for file in found)  # fmt: skip
    return Listing(root, [condition], clips)


@described
class FreeSpokenDigits:
    """The Free Spoken Digit Dataset (CC BY-SA 4.0): `recordings/{digit}_{speaker}_{take}.wav`, 8 kHz.

    Split: takes 0–4 are the official test set, take 5 is for validation, the rest for training. Conditions: `speaker`
    and `digit`.

    Args:
        root: folder of the data set, or of its recordings.
    """

    def __init__(self, root: str) -> None:
        folder = _existing(root, "a clone of https://github.com/Jakobovski/free-spoken-digit-dataset")
        folder = folder / "recordings" if (folder / "recordings").is_dir() else folder
        files = [file for file in _files(folder) if file.suffix.lower() == ".wav"]
        if not files:
            raise ValueError(f"{folder} holds no .wav files; name the folder of free-spoken-digit-dataset")
        self.listing = Listing(folder, ["speaker", "digit"], for_each(self._clip, files, f"files of {folder}"))
        self.names, self.phonemes = self.listing.names, self.listing.phonemes

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        return self.listing.clips(split)

    @staticmethod
    def _clip(file: Path) -> tuple[Split, Clip]:
        found = re.fullmatch(r"([0-9])_([^_]+)_([0-9]+)", file.stem)
        if not found:
            raise ValueError(f"{file} is not named digit_speaker_take.wav, like 7_jackson_3.wav; rename or remove it")
        digit, speaker, take = found.groups()
        split: Split = "test" if int(take) < 5 else "val" if int(take) == 5 else "train"
        return split, Clip(file, {"speaker": speaker, "digit": digit}, text=DIGIT_WORDS[int(digit)], origin=str(file))


@described
class SpeechCommands:
    """Speech Commands v0.02 (CC BY 4.0): `{word}/{speaker}_nohash_{n}.wav`, 16 kHz, one second each.

    Split: the official `validation_list.txt` and `testing_list.txt`; the rest is for training. Conditions: `word`, and
    `speaker` if wanted.

    Args:
        root: folder of the words, or one that contains torchaudio's `SpeechCommands/speech_commands_v0.02`.
        words: words to use; the ten digits (SC09) if left out.
        speakers: condition `speaker`, added if true. Off by default: there are thousands of speakers, each with few
            recordings, and the official split shares none between training and testing, so those of the test set
            stay untrained.
        download: download of the set (2.3 GB) with torchaudio if it is missing, allowed if true.
    """

    def __init__(
        self, root: str, words: list[str] | None = None, speakers: bool = False, download: bool = False
    ) -> None:
        folder = _find_speech_commands(Path(root))
        if folder is None and download:
            _download_speech_commands(Path(root))
            folder = _find_speech_commands(Path(root))
        if folder is None:
            raise ValueError(f"{root} has no testing_list.txt of Speech Commands; correct root, or set download=True")
        words = list(dict.fromkeys(words if words is not None else DIGIT_WORDS))
        known = [found.name for found in _folders(folder) if found.name != "_background_noise_"]
        unknown = [word for word in words if word not in known]
        if unknown or not words:
            raise ValueError(f"{folder} has no words {', '.join(unknown) or 'to use'}; it has {', '.join(known)}")
        conditions = ["word", "speaker"] if speakers else ["word"]
        self.listing = Listing(folder, conditions, self._list(folder, words, conditions))
        self.names, self.phonemes = self.listing.names, self.listing.phonemes

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        return self.listing.clips(split)

    @staticmethod
    def _list(folder: Path, words: list[str], conditions: list[str]) -> Iterator[tuple[Split, Clip]]:
        held_out = _held_out(folder / "validation_list.txt", "val") | _held_out(folder / "testing_list.txt", "test")
        for word in words:
            for file in _files(folder / word):
                if file.suffix.lower() != ".wav":
                    continue
                labels = {"word": word, "speaker": file.stem.partition("_nohash_")[0]}
                kept = {condition: labels[condition] for condition in conditions}
                split = held_out.get(f"{word}/{file.name}", "train")
                yield split, Clip(file, kept, text=word, origin=str(file))


@described
class VCTK:
    """VCTK 0.92 (CC BY 4.0): `wav48_silence_trimmed/p225/p225_001_mic2.flac`, `txt/p225/p225_001.txt`, 48 kHz.

    The older layout, `wav48/p225/p225_001.wav`, is read too. Speaker p280 has no recordings by the second microphone:
    for a speaker who lacks the chosen microphone, the other one is used. p315 has no texts: `text` is None.

    Split, within each speaker: utterance numbers that end in 8 are for validation, in 9 for testing. The sentences that
    all speakers read have the same number for all, so most held-out sentences are held out from every speaker.

    Args:
        root: folder that contains these folders, or one that contains `VCTK-Corpus-0.92` or `VCTK-Corpus`.
        microphone: microphone whose recordings are used, if there are two of each utterance: `mic1` or `mic2`.
    """

    def __init__(self, root: str, microphone: Literal["mic1", "mic2"] = "mic2") -> None:
        if microphone not in ("mic1", "mic2"):
            raise ValueError(f"unknown microphone '{microphone}'; known: mic1, mic2")
        top = _existing(root)
        layouts = [
            (place / audio, place / "txt")
            for place in (top, top / "VCTK-Corpus-0.92", top / "VCTK-Corpus")
            for audio in ("wav48_silence_trimmed", "wav48")
        ]
        found = next(((audio, texts) for audio, texts in layouts if audio.is_dir()), None)
        if found is None:
            raise ValueError(f"{root} has no folder wav48_silence_trimmed or wav48; name the folder of the VCTK corpus")
        self.listing = Listing(found[0], ["speaker"], self._list(*found, microphone))
        self.names, self.phonemes = self.listing.names, self.listing.phonemes

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        return self.listing.clips(split)

    @staticmethod
    def _list(audio: Path, texts: Path, microphone: str) -> Iterator[tuple[Split, Clip]]:
        for folder in _folders(audio):
            for utterance, file in _one_microphone(folder, microphone):
                text = texts / folder.name / f"{utterance}.txt"
                words = read_text(text).strip() if text.is_file() else None
                split = split_by_tens(int(utterance.rpartition("_")[2]))
                yield split, Clip(file, {"speaker": folder.name}, text=words or None, origin=str(file))


@described
class LJSpeech:
    """LJ Speech (public domain): `metadata.csv` with `id|text|normalised text`, `wavs/{id}.wav`, 22,050 Hz.

    One speaker, so no condition. The text is the normalised one, with numbers written out. Split: of every ten rows,
    the 9th is for validation and the 10th for testing.

    Args:
        root: folder of `metadata.csv`, or one that contains `LJSpeech-1.1`.
    """

    def __init__(self, root: str) -> None:
        top = _existing(root)
        folder = top if (top / "metadata.csv").is_file() else top / "LJSpeech-1.1"
        if not (folder / "metadata.csv").is_file():
            raise ValueError(f"{root} has no metadata.csv; name the folder of LJ Speech")
        self.listing = Listing(folder / "metadata.csv", [], self._list(folder))
        self.names, self.phonemes = self.listing.names, self.listing.phonemes

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        return self.listing.clips(split)

    @staticmethod
    def _list(folder: Path) -> list[tuple[Split, Clip]]:
        lines = io.StringIO(read_text(folder / "metadata.csv"), newline="")
        seen: dict[str, str] = {}
        # Quote marks are part of the texts, not of the format.
        reader = csv.reader(lines, delimiter="|", quoting=csv.QUOTE_NONE)

        def listed(row: tuple[int, tuple[int, list[str]]]) -> tuple[Split, Clip]:
            i, (number, cells) = row
            origin = f"{folder / 'metadata.csv'}, row {number}"
            if len(cells) not in (2, 3):
                raise ValueError(f"{origin} has {len(cells)} cells, not id|text|normalised text")
            first = seen.setdefault(cells[0], origin)
            if first is not origin:
                raise ValueError(f"{origin} lists {cells[0]} again, as {first} does; keep one of the rows")
            file = folder / "wavs" / f"{cells[0]}.wav"
            require_file(file, "all files of the data set, downloaded again", f"{origin}: {file}")
            return split_by_tens(i), Clip(file, {}, text=cells[-1] or cells[1], origin=origin)

        rows = enumerate((reader.line_num, cells) for cells in reader if cells)
        return for_each(listed, rows, f"rows of {folder / 'metadata.csv'}")


def _existing(root: str, remedy: str = "the folder that holds the recordings") -> Path:
    return require_folder(root, remedy)


def _visible(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if not path.name.startswith("."))


def _folders(root: Path) -> list[Path]:
    return [path for path in _visible(root.iterdir()) if path.is_dir()]


def _files(folder: Path) -> list[Path]:
    return [path for path in _visible(folder.iterdir()) if path.is_file()]


def _find_speech_commands(root: Path) -> Path | None:
    places = [root, root / "speech_commands_v0.02", root / "SpeechCommands" / "speech_commands_v0.02"]
    return next((place for place in places if (place / "testing_list.txt").is_file()), None)


def _download_speech_commands(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    try:
        from torchaudio.datasets import SPEECHCOMMANDS

        SPEECHCOMMANDS(root, download=True)
    except ImportError:
        raise ValueError("Speech Commands is downloaded with torchaudio: pip install torchaudio") from None
    except (RuntimeError, OSError, EOFError) as error:
        raise ValueError(f"Speech Commands could not be downloaded into {root}: {error}; try again") from None


def _held_out(file: Path, split: Split) -> dict[str, Split]:
    require_file(file, "the whole data set, downloaded again, since this file holds its split")
    return dict.fromkeys(read_text(file).split(), split)


def _one_microphone(folder: Path, microphone: str) -> list[tuple[str, Path]]:
    """List a speaker's utterances with their recordings by one microphone, or by the other if the first has none."""
    takes: dict[str, list[tuple[str, Path]]] = {"mic1": [], "mic2": [], "": []}
    for file in _files(folder):
        named = re.fullmatch(r"(.+_[0-9]+)(?:_(mic[12]))?\.(?:flac|wav)", file.name)
        if named:
            takes[named[2] or ""].append((named[1], file))
    other = "mic1" if microphone == "mic2" else "mic2"
    return takes[microphone] or takes[other] or takes[""]
