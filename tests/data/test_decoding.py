"""Decoding: a file is read whole, or refused in one line; what its header says is no witness."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import condgen
from condgen.data.decoding import Header, Shown, read_audio, read_header

RATE = 16000


def tone(samples=RATE, hz=300):
    """A tone that swells and fades, with noise in places, so that frames of a variable rate differ in size."""
    time = np.arange(samples)
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples) * (time // 4000 % 2)
    return (0.4 * np.sin(2 * np.pi * hz * time / RATE) * np.sin(np.pi * time / 8000) ** 2 + noise).astype(np.float32)


def encoded(kind, waveform=None, **options):
    file = io.BytesIO()
    soundfile.write(file, tone() if waveform is None else waveform, RATE, format=kind, **options)
    return file.getvalue()


@pytest.fixture
def samples_of(tmp_path):
    """The number of samples that are read of a file of some bytes."""

    def read(content):
        (tmp_path / "a").write_bytes(content)
        return len(read_audio(tmp_path / "a").waveform)

    return read


def wav(riff=None, data=None, behind=b""):
    """A WAV of 16,001 samples of 16 bits with sizes written into its header, and bytes behind its samples."""
    content = bytearray(encoded("WAV", tone(RATE + 1)))
    content[4:8] = (len(content) - 8 if riff is None else riff).to_bytes(4, "little")
    content[40:44] = (2 * (RATE + 1) if data is None else data).to_bytes(4, "little")
    return bytes(content) + behind


WHOLE = {
    "eSpeak's": (0x7FFFF024, 0x7FFFF000), "sox's": (0x7FFFF024, 0x7FFFFFFF - 36), "ffmpeg's": (0xFFFFFFFF, 0xFFFFFFFF),
    "none": (0, 0), "no RIFF size": (0, None), "no data size": (36, 0), "its header counted": (2 * RATE + 46, None),
    "a byte more": (2 * RATE + 39, None), "data with a byte more": (None, 2 * RATE + 3),
    "data with eight more": (None, 2 * RATE + 10), "a RIFF size that is too small": (100, None),
}  # fmt: skip


@pytest.mark.parametrize("sizes", WHOLE.values(), ids=WHOLE)
def test_a_whole_wav_is_read_whole_whatever_sizes_its_header_says(samples_of, sizes):
    assert samples_of(wav(*sizes)) == RATE + 1


def test_a_wav_whose_pad_byte_is_missing_is_whole(samples_of):
    content = encoded("WAV", tone(RATE + 1), subtype="PCM_U8")
    assert len(content) % 2 == 0
    assert samples_of(content) == samples_of(content[:-1]) == RATE + 1


@pytest.mark.parametrize("behind", [b"LIST\x04\0\0\0abcd", bytes(3000)])
def test_what_is_no_sound_behind_the_samples_is_passed_over(samples_of, behind):
    assert samples_of(wav(behind=behind)) == RATE + 1
    assert samples_of(encoded("MP3") + behind) == samples_of(encoded("FLAC") + behind) == RATE


KINDS = ["WAV", "AIFF", "AU", "CAF", "W64", "RF64", "FLAC", "OGG", "MP3"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_cut_file_is_named(samples_of, kind, kept):
    content = encoded(kind)
    with pytest.raises(ValueError, match=r"a is (truncated|not a readable audio file)") as found:
        samples_of(content[: int(kept * len(content))])
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("kept", [0.3, 0.95])
def test_an_ogg_cut_within_a_page_is_named_for_what_it_is(samples_of, subtype, kept):
    content = encoded("OGG", subtype=subtype)
    with pytest.raises(ValueError, match="is truncated"):
        samples_of(content[: int(kept * len(content))])


def test_a_cut_file_of_blocks_is_named(samples_of):
    content = encoded("WAV", subtype="IMA_ADPCM")
    with pytest.raises(ValueError, match="is truncated"):
        samples_of(content[:-3000])


@pytest.mark.parametrize("kind", KINDS)
def test_files_joined_one_behind_the_other_are_named(samples_of, kind):
    with pytest.raises(ValueError, match="holds another file behind its end"):
        samples_of(encoded(kind) + encoded(kind, tone(9000, 500)))


def test_wavs_from_pipes_that_were_joined_are_named(samples_of):
    with pytest.raises(ValueError, match="holds another file behind its end"):
        samples_of(wav(0xFFFFFFFF, 0xFFFFFFFF) + wav(0xFFFFFFFF, 0xFFFFFFFF))


def test_mp3s_with_tags_that_were_joined_are_named(samples_of):
    with pytest.raises(ValueError, match="holds another file behind its end"):
        samples_of(encoded("MP3") + b"TAG" + bytes(125) + encoded("MP3"))


TAG = b"ID3\x03\0\0\0\0\0\x50" + bytes(80)


@pytest.mark.parametrize("kind", ["FLAC", "MP3"])
def test_files_with_tags_in_front_are_whole_and_joined_ones_are_named(samples_of, kind):
    assert samples_of(TAG + encoded(kind)) == RATE
    with pytest.raises(ValueError, match="holds another file behind its end"):
        samples_of(2 * (TAG + encoded(kind)))


@pytest.mark.parametrize("length", [RATE, 100_000])
def test_a_flac_from_a_pipe_is_read_whole_although_its_header_knows_no_length(samples_of, length):
    content = bytearray(encoded("FLAC", tone(length)))
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])
    assert samples_of(bytes(content)) == length
    with pytest.raises(ValueError, match="is truncated or damaged"):
        samples_of(bytes(content[: len(content) // 2]))
    with pytest.raises(ValueError, match="holds another file behind its end"):
        samples_of(2 * bytes(content))


def without_length(waveform, mode):
    """An MP3 without its first frame, which holds no sound but tells the length (Xing, Info)."""
    content = encoded("MP3", waveform, bitrate_mode=mode)
    return content[content.index(content[:2], 4) :]


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_that_does_not_tell_its_length_is_read_whole(samples_of, mode):
    """Its first frame is of silence and so small that the others are more than twice as long."""
    waveform = np.concatenate([np.zeros(RATE // 2, np.float32), tone(4 * RATE)])
    frame = 576
    content = without_length(waveform, mode)
    assert len(waveform) <= samples_of(content) <= len(waveform) + 4 * frame
    assert samples_of(content + b"TAG" + bytes(125)) == samples_of(content)
    assert 2 * len(waveform) <= samples_of(content + content)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_that_tells_its_length_is_read_whole(samples_of, mode):
    content = encoded("MP3", bitrate_mode=mode)
    assert samples_of(content) == samples_of(content + b"TAG" + bytes(125)) == RATE


@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_an_mp3_of_any_length_is_whole_although_its_last_frames_may_be_padding(tmp_path, rate):
    """What soundfile writes ends, in one of every few lengths, with a frame beyond the samples that there are."""
    for length in range(8_820, 20_000, 441):
        soundfile.write(tmp_path / "a.mp3", tone(length), rate)
        assert len(read_audio(tmp_path / "a.mp3").waveform) == length
        joined = 2 * (tmp_path / "a.mp3").read_bytes()
        (tmp_path / "a.mp3").write_bytes(joined)
        with pytest.raises(ValueError, match="holds another file behind its end"):
            read_audio(tmp_path / "a.mp3")


def test_a_file_of_several_blocks_is_read_in_order(tmp_path):
    waveform = tone(200_000)
    soundfile.write(tmp_path / "a.wav", waveform, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav").waveform, waveform)


@pytest.mark.parametrize("step", [1, 3, 4, 8, 100])
def test_a_riff_size_is_shown_as_8_however_it_is_read(tmp_path, step):
    content = wav(0xFFFFFFFF)
    (tmp_path / "a.wav").write_bytes(content)
    with open(tmp_path / "a.wav", "rb") as file:
        shown = Shown(file)
        found = b"".join(iter(lambda: shown.read(step), b""))
    assert found == content[:4] + b"\x08\0\0\0" + content[8:]


def test_several_channels_are_refused_and_the_option_is_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(), np.zeros(RATE)], axis=1), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"has 2 channels, not one: mix it down, or set data\.mono to true"):
        read_audio(tmp_path / "a.wav")
    found = read_audio(tmp_path / "a.wav", mono=True)
    assert found.channels == 2
    np.testing.assert_allclose(found.waveform, tone() / 2, atol=1e-7)


def test_recordings_are_read_here_and_nowhere_else():
    """The other files read what eSpeak NG or a command has just written, and the comment of a sample; and write."""
    files = Path(condgen.__file__).parent.rglob("*.py")
    reading = re.compile(r"soundfile\.(read|info|blocks|SoundFile)\b|librosa\.load|torchaudio\.load|wavfile")
    found = {file.name for file in files if reading.search(file.read_text(encoding="utf-8"))}
    assert found == {"decoding.py", "espeak.py", "show.py", "sound.py", "writing.py"}


@pytest.mark.parametrize("suffix", ["flac", "wav", "ogg", "mp3"])
def test_a_file_that_lasts_too_long_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.zeros(9 * 8_000, np.float32), 8_000)
    assert len(read_audio(path, longest=9.5).waveform) == pytest.approx(72_000, abs=3_000)  # an MP3 has padding
    with pytest.raises(ValueError, match=r"a\.\w+ lasts longer than 8 s: cut it, or set data\.longest"):
        read_audio(path, longest=8.0)


def test_a_small_file_that_claims_hours_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    """An hour and a second of silence at the least rate: some kilobytes."""
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 1_000, 1) as file:
        for _ in range(3_601):
            file.write(np.zeros(1_000, np.float32))
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *args, **options: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="lasts longer than 3600 s"):
        read_audio(path)


@pytest.mark.parametrize("rate", [1, 999, 768_001])
def test_a_rate_that_sound_does_not_have_is_refused(tmp_path, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100, np.float32), 8_000)
    content = bytearray(path.read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"has {rate:,} samples per second; sound has from 1,000 to 768,000"):
        read_audio(path)


def test_a_header_says_rate_and_channels(tmp_path):
    soundfile.write(tmp_path / "0.wav", np.zeros((10, 2)), 44_100)
    assert read_header(tmp_path / "0.wav") == Header(44_100, 2)
    (tmp_path / "0.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"^row 7 is not a readable audio file"):
        read_header(tmp_path / "0.wav", "row 7")
    with pytest.raises(ValueError, match=r"gone\.wav does not exist"):
        read_header(tmp_path / "gone.wav")
