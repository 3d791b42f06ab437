"""Audio files to samples: each is read whole, or what is wrong with it is said in one line.

What a header promises is not believed; files are read in blocks until the decoder gives nothing more:

- Sizes in WAV headers are those of pipes (0, 0x7FFFF000, 0xFFFFFFFF) or off by a few bytes: all there is counts. A file
  is truncated if more is missing than a block, and the size is none that stands for "not known".
- An MP3 without the frame that tells its length (Xing, Info) is read to its end; libsndfile would guess a length, and
  stop there.
- Files joined one behind the other are refused where the decoder reads the first one only.

What cannot be known: that an MP3 without that frame, or an Ogg, was cut between two of its frames or pages; that a FLAC
of unknown length was; and that formats rarer than WAV, AIFF, AU, CAF, W64, RF64, FLAC, Ogg and MP3, such as NIST,
were cut or joined at all.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from condgen.paths import content_of, require_file

BLOCK = 1 << 16  # samples read at a time
UNKNOWN = 2**63 - 1  # what libsndfile says of a FLAC that was written to a pipe
LONGEST = 3600.0  # seconds that a file may last unless one asks for more: a few kilobytes can claim weeks
RATES = (1_000, 768_000)  # samples per second that sound has
ENOUGH = 100  # times that the first frame of an MP3 may be longer than its others
# What no second time stands in a file: the first bytes of a whole one. (WAV, AIFF, RF64, W64, AU, CAF, FLAC.)
FIRST_BYTES = (
    rb"RIFF.{4}WAVEfmt ", rb"FORM.{4}AIF[FC]", rb"RF64.{4}WAVEds64", rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb",
    rb"\.snd\0\0.{6}\0\0\0[\x01-\x1f]", rb"caff\0\x01\0\0desc", rb"fLaC[\0\x80]\0\0\x22",
)  # fmt: skip
# Another MP3, perhaps behind the first one's tag: one with a tag, or with a frame that tells its length; or any frame.
TAGGED_BEHIND = rb"TAG.{125}(ID3|\xff[\xe2-\xff])|ID3|\xff[\xe2-\xff].{2,40}(Xing|Info|VBRI)"
FRAME_BEHIND = rb"\xff[\xe2-\xff]"
PADDING = (
    2 * 1441
)  # bytes of the two longest frames, in which an encoder may end what the decoder has cut to its length
# How libsndfile reports that the samples are fewer than a header says.
SHORTER = re.compile(r"^ *(?:data|SSND|BODY|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)


class Sound(NamedTuple):
    """A waveform, (samples,) float32, its samples per second, and the channels that the file has."""

    waveform: Tensor
    rate: int
    channels: int


class Header(NamedTuple):
    """What the header of a recording says: samples per second, and channels."""

    rate: int
    channels: int


class Decoded(NamedTuple):
    """What a decoder gave.

    Attributes:
        waveform: the mean of the channels, (samples,).
        rate: samples per second.
        channels: channels of the file.
        promised: samples that the decoder expected; 0 if it does not know.
        end: position in the file where the decoder stopped.
        kind: format of the file.
        report: libsndfile's report on the header.
    """

    waveform: np.ndarray
    rate: int
    channels: int
    promised: int
    end: int
    kind: str
    report: str


def read_audio(path: Path, origin: str = "", mono: bool = False, longest: float = LONGEST) -> Sound:
    """Read a file with soundfile, to its end.

    Args:
        path: file to read.
        origin: place where the file is listed, for messages.
        mono: mean of the channels, taken if true; otherwise files of several channels are refused.
        longest: seconds that the file may last; a longer one is refused by its header, or where it goes on.

    Raises:
        ValueError: the file is missing, unreadable, truncated, joined of several, empty, not mono, too long, of a rate
            that sound does not have, or holds NaN.
    """
    import soundfile

    name = f"{path} ({origin})" if origin and origin != str(path) else str(path)
    require_file(path, "a sound file", name)
    try:
        found = _decoded_whole(path, name, mono, longest)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        if _is_joined(path):
            raise ValueError(_joined(name)) from None
        if _is_cut_page(path):  # libsndfile does not even open such an Opus file
            raise ValueError(_truncated(name)) from None
        cause = str(error).split(": ")[-1].strip()
        content = content_of(path) if "not recognised" in cause else None
        raise ValueError(f"{name} is not a readable audio file ({f'it is {content}' if content else cause})") from None
    if not len(found.waveform):
        raise ValueError(f"{name} is empty")
    if not np.isfinite(found.waveform).all():
        raise ValueError(f"{name} holds NaN or infinite samples")
    return Sound(torch.from_numpy(found.waveform), found.rate, found.channels)


def read_header(path: Path, name: str = "") -> Header:
    """Read the header of a recording.

    Args:
        path: file of the recording.
        name: words for the file in the message; its path if left out.

    Raises:
        ValueError: there is no such file, or soundfile does not read it; the message names it.
    """
    import soundfile

    require_file(path, "a sound file", name or str(path))
    try:
        with open(path, "rb") as file, soundfile.SoundFile(Shown(file)) as sound:
            return Header(sound.samplerate, sound.channels)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        cause = str(error).split(": ")[-1].strip()
        raise ValueError(f"{name or path} is not a readable audio file ({cause})") from None


def _decoded_whole(path: Path, name: str, mono: bool, longest: float) -> Decoded:
    found = _decode(path, name, mono, longest)
    promised = found.promised
    if found.kind == "MP3" and (found.end < path.stat().st_size or len(found.waveform) < promised):
        longer = _decode(path, name, mono, longest, ENOUGH)
        if longer.promised != promised:  # so no frame says how many there are, and libsndfile guessed
            found, promised = longer, 0
    if _is_joined(path) or (found.kind == "MP3" and _is_followed(path, found.end)):
        raise ValueError(_joined(name))
    if len(found.waveform) < promised or _lacks_bytes(found) or (found.kind == "OGG" and _is_cut_page(path)):
        raise ValueError(_truncated(name))
    return found


def _decode(path: Path, name: str, mono: bool, longest: float, times: int = 1) -> Decoded:
    import soundfile

    blocks = [np.zeros(0, np.float32)]

    class Straight(soundfile.SoundFile):
        """A file that is read straight through; else soundfile seeks after each block, and cannot to an unknown end."""

        def seekable(self) -> bool:
            return False

    with open(path, "rb") as file, Straight(Shown(file, times)) as sound:
        if sound.channels > 1 and not mono:
            raise ValueError(f"{name} has {sound.channels} channels, not one: mix it down, or set data.mono to true")
        left, promised = sound.frames, sound.frames % UNKNOWN
        if not RATES[0] <= sound.samplerate <= RATES[1]:
            raise ValueError(f"{name} has {sound.samplerate:,} samples per second; sound has from {RATES[0]:,} to "
                             f"{RATES[1]:,}")  # fmt: skip
        most = longest * sound.samplerate
        if times == 1 and promised > most and sound.format != "MP3":  # of these, the number may be a guess
            raise _too_long(name, longest)
        try:
            while len(block := sound.read(min(BLOCK, left), dtype="float32", always_2d=True)):
                left -= len(block)
                blocks.append(block.mean(1, dtype=np.float32))
                if len(blocks) > most / BLOCK + 2:
                    raise _too_long(name, longest)
        except soundfile.LibsndfileError:
            fault = f"{name} is truncated or damaged: its decoder breaks off"
            raise ValueError(_joined(name) if _is_joined(path) else fault) from None
        return Decoded(np.concatenate(blocks), sound.samplerate, sound.channels, promised, file.tell(),
                       sound.format, sound.extra_info)  # fmt: skip


def _too_long(name: str, longest: float) -> ValueError:
    return ValueError(f"{name} lasts longer than {longest:g} s: cut it, or set data.longest")


class Shown:
    """A file as it is shown to libsndfile, which calls `read`, `seek` and `tell`.

    A RIFF size that is not the file's is shown as 8: so libsndfile recognises a file that was never closed, and takes
    an empty data chunk to reach to the end.

    Args:
        file: file that is shown.
        times: factor of its length as it is shown; libsndfile guesses the samples of an MP3 from its length.
    """

    def __init__(self, file: BinaryIO, times: int = 1) -> None:
        self.file, self.times = file, times
        self.size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        file.seek(0)
        self.is_unclosed = head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 != self.size

    def read(self, count: int) -> bytes:
        """Read bytes; those far beyond the end, where libsndfile looks for a tag while it opens a file, are zero."""
        start = self.file.tell()
        if start > self.size:
            return bytes(count)
        found = self.file.read(count)
        if not self.is_unclosed or start > 7:
            return found
        shown = found[: max(0, 4 - start)] + b"\x08\0\0\0"[max(0, start - 4) :] + found[8 - start :]
        return shown[: len(found)]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        if whence == os.SEEK_END:
            return self.file.seek(self.size * self.times + offset)
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self.file.tell()


def _truncated(name: str) -> str:
    return f"{name} is truncated: its header promises more than the file holds"


def _joined(name: str) -> str:
    return f"{name} holds another file behind its end, as if several were joined; split it, or convert it anew"


def _is_joined(path: Path) -> bool:
    """Find the first bytes of a whole file a second time, or the first page of an Ogg behind its later ones."""
    with open(path, "rb") as file:
        head = file.read(64)
        # A tag may stand before a FLAC.
        first = next((kind for kind in FIRST_BYTES if re.match(kind, head, re.DOTALL)),
                     FIRST_BYTES[-1] if head[:3] == b"ID3" else None)  # fmt: skip
        if first is not None:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return len(list(re.finditer(first, content, re.DOTALL))) > 1
    firsts = [is_first for is_first, _ in _ogg_pages(path)]
    return any(later and not earlier for earlier, later in pairwise(firsts))


def _is_followed(path: Path, end: int) -> bool:
    """Tell whether another MP3 stands behind the end of one, and not merely its own last frames."""
    is_long = path.stat().st_size - end > PADDING
    return _begins(path, end, TAGGED_BEHIND) or (is_long and _begins(path, end, FRAME_BEHIND))


def _begins(path: Path, place: int, pattern: bytes) -> bool:
    with open(path, "rb") as file:
        file.seek(place)
        return re.match(pattern, file.read(256), re.DOTALL) is not None


def _lacks_bytes(found: Decoded) -> bool:
    """Compare the bytes of samples that a header promises with those that libsndfile found, by its report."""
    block = re.search(r"Block Align *: (\d+)", found.report)
    tolerated = max(8 * found.channels, int(block[1]) if block else 0)
    return any(int(promised) - int(there) > tolerated and not _is_placeholder(int(promised))
               for promised, there in SHORTER.findall(found.report))  # fmt: skip


def _is_placeholder(size: int) -> bool:
    """Tell the sizes that programs write to a pipe, where they cannot know the length."""
    return size == 0 or 0x7FFF0000 <= size <= 0x80000000 or size >= 0xFFFF0000


def _is_cut_page(path: Path) -> bool:
    ends = [end for _, end in _ogg_pages(path)]
    return bool(ends) and ends[-1] > path.stat().st_size


def _ogg_pages(path: Path) -> Iterator[tuple[bool, int]]:
    """Walk the pages of an Ogg (RFC 3533): whether each is the first of its stream, and where it ends."""
    with open(path, "rb") as file:
        while (head := file.read(27))[:4] == b"OggS":
            lengths = file.read(head[26]) if len(head) == 27 else b""
            whole = len(head) == 27 and len(lengths) == head[26]
            end = file.tell() + (sum(lengths) if whole else 1)
            yield bool(head[5:6] and head[5] & 2), end
            file.seek(end)
