"""The program that speaks with eSpeak NG: `python synthesis.py` reads its work as JSON from standard input.

It runs as a process of its own, for two reasons. eSpeak has global C state, and what it says depends on everything that
it said before, so only a fresh process gives the same sound twice. And eSpeak NG is GPL-3.0-or-later: no other part of
condgen loads it. The file is run by its path and imports nothing from condgen, which would cost seconds for every word
spoken.

Input: `{"folder": …, "jobs": [{"text", "voice", "pitch", "rate", "split"}, …]}`. Output in the folder: `0000.wav`, …
and `manifest.jsonl`. A failure is one line on standard output, and exit status 1.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAUSE = "_"
TIDY = str.maketrans(":", "ː", "ˈˌ")  # without stress; and eSpeak writes some long vowels with a colon
SYNCHRONOUS, PHONEMES_AS_IPA, DO_NOT_EXIT = 2, 1 | 2, 0x8000  # of espeak_Initialize
RATE, PITCH = 1, 3  # of espeak_SetParameter
CHARACTERS, UTF8 = 1, 1  # of espeak_Synth
END_OF_LIST, PHONEME = 0, 7  # of espeak_EVENT


class _Id(ctypes.Union):
    # A phoneme's IPA fills these 8 bytes, without a closing zero if it needs all; eSpeak cuts longer symbols.
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Speaker:
    """eSpeak NG, loaded and started."""

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.sample_rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, data, PHONEMES_AS_IPA | DO_NOT_EXIT)
        if self.sample_rate <= 0:
            raise ValueError("eSpeak NG does not start; install espeakng-loader again")
        # By default, eSpeak seeds the noise of breathy voices, such as f2, from the clock.
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self.sound, self.marks = bytearray(), list[tuple[int, str]]()
        self.callback = _Callback(self._receive)  # a reference is kept, since the library keeps calling it
        self.library.espeak_SetSynthCallback(self.callback)

    def say(self, text: str, voice: str, pitch: int, rate: int) -> tuple[bytes, list[tuple[str, float, float]]]:
        """Speak a text.

        Returns:
            16-bit samples, and the phonemes with their start and end in seconds.
        """
        self.sound.clear()
        self.marks.clear()
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"eSpeak NG refuses the voice '{voice}'; choose another")
        self.library.espeak_SetParameter(PITCH, pitch, 0)
        self.library.espeak_SetParameter(RATE, rate, 0)
        letters = text.encode()
        size = ctypes.c_size_t(len(letters) + 1)
        if self.library.espeak_Synth(letters, size, 0, CHARACTERS, 0, UTF8, None, None):
            raise ValueError(f"eSpeak NG cannot say '{text}'")
        intervals = tile(self.marks, len(self.sound) // 2)
        if all(symbol == PAUSE for symbol, _, _ in intervals):
            raise ValueError(f"eSpeak NG says nothing for '{text}'; use other words")
        in_seconds = [(symbol, start / self.sample_rate, end / self.sample_rate) for symbol, start, end in intervals]
        return bytes(self.sound), in_seconds

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self.sound += ctypes.string_at(samples, 2 * count)
        i = 0
        while events[i].type != END_OF_LIST:
            if events[i].type == PHONEME:
                self.marks.append((events[i].sample, events[i].id.string.decode(errors="ignore")))
            i += 1
        return 0


def tile(marks: Sequence[tuple[int, str]], samples: int) -> list[tuple[str, int, int]]:
    """Turn marks of where phonemes begin into intervals that cover a clip from 0 to its end without a gap.

    Stress marks are dropped from the symbols, so that there are fewer symbols and each is heard more often. A mark
    without a symbol, and anything before the first mark, is a pause. eSpeak speaks some vowels together with the l or r
    after them ("hill") and marks the latter without duration: it is given the second half of the vowel.
    """
    intervals: list[tuple[str, int, int]] = []
    starts = [0, *(start for start, _ in marks), samples]
    symbols = [PAUSE, *(symbol.translate(TIDY) or PAUSE for _, symbol in marks)]
    for i, symbol in enumerate(symbols):
        start, end = starts[i], starts[i + 1]
        previous = intervals[-1] if intervals else (PAUSE, 0, 0)
        if start == end and PAUSE not in (symbol, previous[0]):
            start = (previous[1] + end + 1) // 2
            intervals[-1] = (previous[0], previous[1], start)
        elif symbol == previous[0] == PAUSE and intervals:
            start = intervals.pop()[1]
        if start < end:
            intervals.append((symbol, start, end))
    return intervals


def write_clips(folder: Path, jobs: list[dict[str, Any]]) -> None:
    """Speak all jobs, in order, into a folder."""
    import numpy as np
    import soundfile
    from tqdm import tqdm

    speaker = Speaker()
    with open(folder / "manifest.jsonl", "w", encoding="utf-8", newline="\n") as manifest:
        for i, job in enumerate(tqdm(jobs, desc="eSpeak NG", unit="clip", disable=len(jobs) < 2)):
            sound, phonemes = speaker.say(job["text"], job["voice"], job["pitch"], job["rate"])
            soundfile.write(folder / f"{i:04d}.wav", np.frombuffer(sound, np.int16), speaker.sample_rate, "PCM_16")
            row = {
                "path": f"{i:04d}.wav", "speaker": job["voice"], "text": job["text"], "split": job["split"],
                "pitch": job["pitch"], "phonemes": phonemes,
            }  # fmt: skip
            manifest.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    work = json.load(sys.stdin)
    try:
        write_clips(Path(work["folder"]), work["jobs"])
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()))
        sys.exit(1)
