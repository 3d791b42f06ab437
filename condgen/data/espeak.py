"""Speech made with eSpeak NG, with every phoneme aligned: a data set from a list of texts, and a front end.

eSpeak NG is GPL-3.0-or-later. It is not part of condgen: the wheel `espeakng-loader` provides it, and only
`synthesis.py` loads it, in a process of its own.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import TypedDict, TypeVar

import numpy as np

from condgen.atomic import whole_folder
from condgen.data import synthesis
from condgen.data.batch import Split
from condgen.data.clips import Clip, Phoneme
from condgen.data.manifest import Manifest
from condgen.data.text import read_text
from condgen.described import described
from condgen.paths import require_file

Value = TypeVar("Value")


class Job(TypedDict):
    """A text for `synthesis.py` to speak."""

    text: str
    voice: str
    pitch: int
    rate: int
    split: Split


VOICES = ["en-us+m3", "en-us+f2", "en-gb-x-rp+m7", "en-gb-scotland+f4"]
PITCHES = [40, 50, 60]
# Short, common and varied in sound. "seven" is not among them: the demo speaks it as a word that it has never heard.
TEXTS = [
    "one", "two", "three", "four", "five", "six", "eight", "nine", "ten", "zero", "eleven", "hundred",
    "Monday", "Friday", "summer", "winter", "morning", "evening", "yesterday", "water", "fire", "river", "mountain",
    "heaven", "garden", "window", "kitchen", "father", "mother", "children", "people", "question", "answer", "music",
    "yellow", "orange", "measure", "vision", "judge", "church", "thank you", "good morning", "how are you",
    "very well", "see you soon", "of course", "never mind", "come in", "open the door", "a cup of tea",
    "bread and butter", "the sun is shining", "she sells fish", "have some more", "both of them", "a long way home",
    "wash your hands", "give me the book", "over the hill", "a red van", "so many ships", "listen to this",
    "the boys are loud", "half past nine", "jump", "magic", "village",
]  # fmt: skip
PUNCTUATION = set(".,;:!?'\"()-–—…‘’“”/&%$£€+=*#@")
LAST_LETTER = "\u017f"  # of Latin Extended-A; eSpeak reads out many of the Latin letters after it by their number


@described
class Espeak:
    """Short texts spoken by voices of eSpeak NG, with an aligned transcription in phonemes.

    The first use writes `{root}/{hash of the settings}/`: a 16-bit WAV file at eSpeak's own rate (22,050 Hz) per text,
    voice and pitch, and `manifest.jsonl`. Later uses read these files and do not need eSpeak. The same settings give
    the same files. Phonemes are IPA without stress marks; `_` is a pause; together they cover a clip from 0 to its end.
    eSpeak gives at most 8 bytes per phoneme, so the symbol of a rare long one is cut.

    Split by text, so that no voice speaks a held-out text in training: ordered by a hash, the first tenth of the texts,
    but at least one, is the test set, and the next tenth the validation set. Condition: `speaker`, the voice.

    Args:
        root: folder for the data sets.
        voices: voices, each an accent of eSpeak, `+`, and the name of a variant: `en-us+f2`. The accent alone works
            too.
        texts: texts, or a file with one per line, at least three; a built-in list if left out.
        pitches: pitches from 0 to 99; every text is spoken at each of them.
        rate: words per minute, 80 to 450.

    Raises:
        ValueError: a setting is wrong, or eSpeak is missing.
    """

    def __init__(
        self,
        root: str = "data/espeak",
        voices: list[str] = VOICES,
        texts: list[str] | str | None = None,
        pitches: list[int] = PITCHES,
        rate: int = 175,
    ) -> None:
        listed = TEXTS if texts is None else _read_texts(Path(texts)) if isinstance(texts, str) else texts
        voices, spoken, pitches = _distinct(voices), _distinct(listed), _distinct(pitches)
        if len(spoken) < 3 or not voices or not pitches:
            raise ValueError(f"{len(voices)} voices, {len(spoken)} texts and {len(pitches)} pitches make no data set; "
                             "give at least one voice, one pitch and three texts, one for each split")  # fmt: skip
        folder = Path(root, _hash(json.dumps([voices, spoken, pitches, rate]))[:12])
        if not folder.exists():
            splits = _split_texts(spoken)
            _prepare(folder, [_job(t, v, p, rate, splits[t]) for v in voices for t in spoken for p in pitches])
        self.manifest = Manifest(str(folder / "manifest.jsonl"), labels=["speaker"])
        self.names, self.phonemes = self.manifest.names, self.manifest.phonemes

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        return self.manifest.clips(split)


def speak(text: str, voice: str, pitch: int = 50, rate: int = 175) -> tuple[np.ndarray, int, tuple[Phoneme, ...]]:
    """Speak a text with eSpeak NG: the front end at generation. The same call gives the same sound.

    Args:
        text: words to say, in Latin letters.
        voice: voice, such as `en-us+f2`; see `Espeak`.
        pitch: pitch from 0 to 99.
        rate: words per minute, 80 to 450.

    Returns:
        The waveform, float32 in [-1, 1]; its samples per second; and the phonemes, which cover it.

    Raises:
        ValueError: the text cannot be spoken, a setting is wrong, or eSpeak is missing.
    """
    import soundfile

    job = _job(text, voice, pitch, rate, "test")
    with tempfile.TemporaryDirectory() as folder:
        _synthesise(Path(folder), [job])
        waveform, sample_rate = soundfile.read(Path(folder, "0000.wav"), dtype="float32")
        clip = Manifest(str(Path(folder, "manifest.jsonl"))).clips("test")[0]
    return waveform, sample_rate, clip.phonemes or ()


def check_voice(voice: str) -> None:
    """Make sure that eSpeak has a voice. eSpeak itself would silently ignore a misspelt variant.

    Raises:
        ValueError: eSpeak does not have it; the message suggests others.
    """
    data = _data_folder()
    # The library goes by file names; it also lists other names, such as en-gb, which it then refuses.
    accents = {file.name.lower() for file in (data / "lang").rglob("*") if file.is_file()}
    accent, plus, variant = voice.partition("+")
    if accent not in accents:
        near = {"en-gb": ["en", "en-gb-x-rp", "en-gb-scotland"]}.get(accent.lower())
        near = near or difflib.get_close_matches(accent.lower(), sorted(accents)) or ["en-us", "en", "en-gb-x-rp"]
        raise ValueError(f"voice '{voice}': eSpeak NG has no accent '{accent}'; similar ones: {', '.join(near)}")
    variants = sorted(file.name for file in (data / "voices" / "!v").iterdir())
    if plus and variant not in variants:
        near = difflib.get_close_matches(variant, variants, cutoff=0.4) or ["m3", "f2", "m7"]
        raise ValueError(f"voice '{voice}': eSpeak NG has no variant '{variant}'; similar ones: {', '.join(near)}")


def check_text(text: str) -> None:
    """Make sure that a text can be spoken: Latin letters up to U+017F, digits, spaces and usual punctuation.

    eSpeak skips other characters, or reads out their name or number, which nobody intended.

    Raises:
        ValueError: it cannot be spoken; the message names the characters.
    """
    composed = unicodedata.normalize("NFC", text)
    unsayable = [character for character in dict.fromkeys(composed) if not _is_sayable(character)]
    if unsayable:
        named = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in unsayable)
        raise ValueError(f"the text {text!r} has characters that cannot be spoken: {named}; write it in Latin letters")
    if not any(character.isalnum() for character in text):
        raise ValueError(f"the text {text!r} has no letter or digit to say")


def _is_sayable(character: str) -> bool:
    if character.isspace() or character in PUNCTUATION or character in "0123456789":
        return True
    return character <= LAST_LETTER and unicodedata.name(character, "").startswith("LATIN ")


def _job(text: str, voice: str, pitch: int, rate: int, split: Split) -> Job:
    composed = unicodedata.normalize("NFC", text)
    return {"text": composed, "voice": voice, "pitch": pitch, "rate": rate, "split": split}


def _read_texts(file: Path) -> list[str]:
    require_file(file, "a file with one text per line, or a list of texts")
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def _distinct(values: list[Value]) -> list[Value]:
    return list(dict.fromkeys(values))


def _split_texts(texts: list[str]) -> dict[str, Split]:
    held_out = max(1, len(texts) // 10)
    splits: dict[int, Split] = {0: "test", 1: "val"}
    return {text: splits.get(i // held_out, "train") for i, text in enumerate(sorted(texts, key=_hash))}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _data_folder() -> Path:
    try:
        import espeakng_loader
    except ImportError:
        raise ValueError("eSpeak NG is missing: pip install 'condgen[espeak]'") from None
    return Path(espeakng_loader.get_data_path())


def _prepare(folder: Path, jobs: list[Job]) -> None:
    """Write a data set to a folder beside its place, and move it there when it is complete."""
    try:
        with whole_folder(folder) as unfinished:
            _synthesise(unfinished, jobs)
    except OSError:
        if not folder.exists():  # otherwise another process has just written the same files
            raise


def _synthesise(folder: Path, jobs: list[Job]) -> None:
    for voice in dict.fromkeys(job["voice"] for job in jobs):
        check_voice(voice)
    for job in jobs:
        check_text(job["text"])
        if not (0 <= job["pitch"] <= 99 and 80 <= job["rate"] <= 450):
            raise ValueError(f"pitch {job['pitch']} or rate {job['rate']} is out of range: 0 to 99, and 80 to 450")
    work = json.dumps({"folder": str(folder), "jobs": jobs})
    command = [sys.executable, str(Path(synthesis.__file__))]
    done = subprocess.run(command, input=work, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stdout.strip() or f"eSpeak NG failed with exit status {done.returncode}; see above")
