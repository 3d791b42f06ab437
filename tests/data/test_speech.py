"""Speech: bad clips are one line, features are of their frames, crops stay aligned, and prepared clips are reused."""

import math
import os
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from condgen.conditioning import ClassEmbedding, FrameSequence
from condgen.data import Clip, Linguistic, MelSpectrogram, Phoneme, Position, ReferenceSpectrogram, Speech
from condgen.data.decoding import read_audio
from condgen.data.features import fundamental
from condgen.data.recordings import RecordingReader
from condgen.data.speech import by_length
from condgen.data.store import ClipStore
from condgen.models import ConditionalModel, WaveNet

RATE = 8000
SPLITS = ("train", "val", "test")


def sine(hz, samples=RATE, rate=RATE, size=0.5):
    return (size * np.sin(2 * np.pi * hz * np.arange(samples) / rate)).astype(np.float32)


def write(path, waveform, rate=RATE, subtype="FLOAT"):
    soundfile.write(path, waveform, rate, subtype=subtype if str(path).endswith(".wav") else None)
    return path


def clip_of(path, speaker="ann", **options):
    return Clip(path, {"speaker": speaker}, origin=f"list, row {path.stem}", **options)


def source_of(clips):
    """A source whose splits all hold the same clips."""
    names = {"speaker": sorted({clip.labels["speaker"] for clip in clips})}
    return SimpleNamespace(names=names, phonemes=[], clips=lambda split: clips)


def first_sample(hop, frames=None, size=1):
    """A feature that is the first sample of its frame."""

    def measure(waveform, sample_rate, clip):
        return waveform[::hop][:frames].expand(size, -1)

    return SimpleNamespace(size=size, hop=hop, given="audio", measure=measure)


@pytest.fixture
def make_speech(tmp_path):
    """Speech from ramps of some lengths, on a grid so fine that each sample is its own level."""

    def make(lengths, features=None, **options):
        clips = []
        for i, length in enumerate(lengths):
            path = tmp_path / f"{i}.wav"
            if not path.exists():
                write(path, np.linspace(-0.9 + i * 0.01, 0.9, length, dtype=np.float32))
            clips.append(clip_of(path, "ann" if i % 2 else "bob"))
        options = {
            "sample_rate": RATE,
            "levels": 65536,
            "companding": "linear",
            "normalise": "none",
            "remove_dc": False,
            **options,
        }
        with_functions = {name: partial_vars(feature) for name, feature in (features or {}).items()}
        return Speech(source_of(clips), features=with_functions, cache=str(tmp_path / "cache"), **options)

    return make


def partial_vars(feature):
    """Settings decide the store's name and must be plain: a planted feature keeps its function on its type."""
    if not isinstance(feature, SimpleNamespace):
        return feature
    settings = {name: value for name, value in vars(feature).items() if name != "measure"}
    made = type("Planted", (SimpleNamespace,), {"measure": staticmethod(feature.measure)})(**settings)
    return made


def ready(data, stage=None):
    data.prepare_data()
    data.setup(stage)
    return data


# Recordings.


def test_a_recording_is_what_was_written(tmp_path):
    for name, subtype, tolerance in (("a.wav", "FLOAT", 0), ("b.wav", "PCM_16", 1e-4), ("c.flac", None, 1e-4)):
        waveform, rate, _ = read_audio(write(tmp_path / name, sine(100), subtype=subtype))
        assert rate == RATE
        assert waveform.dtype == torch.float32
        np.testing.assert_allclose(waveform, sine(100), rtol=0, atol=tolerance)


def empty(path):
    write(path, np.zeros(0, np.float32))


def stereo(path):
    write(path, np.stack([sine(100), sine(200)], axis=1))


def not_a_number(path):
    write(path, np.where(np.arange(RATE) == 77, np.nan, sine(100)).astype(np.float32))


def infinite(path):
    write(path, np.where(np.arange(RATE) == 77, np.inf, sine(100)).astype(np.float32))


def truncated(path):
    write(path, sine(100), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-1000])


def truncated_by_ten_samples(path):
    write(path, sine(100), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-20])


def cut_off_in_its_header(path):
    write(path, sine(100))
    path.write_bytes(path.read_bytes()[:20])


def of_another_rate(path):
    write(path, sine(100, rate=16000), 16000)


def missing(path):
    pass


def text(path):
    path.write_text("This is no audio.")


def nothing_at_all(path):
    path.write_bytes(b"")


def shorter_than_a_frame(path):
    write(path, sine(100, 30))


BAD = [
    (empty, "is empty"),
    (stereo, "has 2 channels, not one: mix it down, or set data.mono to true"),
    (not_a_number, "holds NaN or infinite samples"),
    (infinite, "holds NaN or infinite samples"),
    (truncated, "is truncated: its header promises more than the file holds"),
    (truncated_by_ten_samples, "is truncated: its header promises more than the file holds"),
    (cut_off_in_its_header, "is not a readable audio file|is truncated"),
    (of_another_rate, "has 16000 samples per second, not 8000: set data.resample to true to convert it"),
    (missing, "does not exist"),
    (text, "is not a readable audio file"),
    (nothing_at_all, "is not a readable audio file"),
    (shorter_than_a_frame, "has 30 samples, fewer than the 40 that the frames of its features need"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD, ids=[spoil.__name__ for spoil, _ in BAD])
def test_a_bad_clip_is_one_line_that_names_it_and_leaves_nothing_behind(tmp_path, spoil, message):
    (tmp_path / "clips").mkdir()
    good, bad = write(tmp_path / "clips" / "1.wav", sine(100)), tmp_path / "clips" / "2.wav"
    spoil(bad)
    cache = tmp_path / "cache"
    data = Speech(source_of([clip_of(good), clip_of(bad)]), RATE, features={"place": Position(40)}, cache=str(cache))
    for call in (data.prepare_data, data.setup):
        with pytest.raises(ValueError, match=message) as found:
            call()
        assert str(found.value).startswith(f"{bad} (list, row 2)")
        assert "\n" not in str(found.value)
        assert all(path.name.startswith(".") and len(ClipStore.open(path).files) == 1 for path in cache.glob("*"))


@pytest.mark.parametrize("kept", [0.2, 0.99])
def test_a_truncated_flac_is_refused(tmp_path, kept):
    path = write(tmp_path / "a.flac", sine(100) + 0.1 * np.random.default_rng(0).random(RATE).astype(np.float32))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"is truncated|is not a readable audio file"):
        read_audio(path)


def test_a_wav_from_a_pipe_is_read_although_its_header_knows_no_length(tmp_path):
    path = write(tmp_path / "a.wav", sine(100), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    for unknown in (0, 0xFFFFFFFF):
        content[4:8] = unknown.to_bytes(4, "little")
        path.write_bytes(content)
        assert len(read_audio(path)[0]) == RATE


def test_a_class_that_is_not_known_is_refused_and_leaves_nothing_behind(tmp_path):
    clip = clip_of(write(tmp_path / "1.wav", sine(100)), "eve")
    source = SimpleNamespace(names={"speaker": ["ann", "bob"]}, clips=lambda split: [clip])
    with pytest.raises(ValueError, match="speaker 'eve' is not one of ann, bob"):
        Speech(source, RATE, cache=str(tmp_path / "cache")).prepare_data()
    assert not list((tmp_path / "cache").glob("*"))
    assert not list((tmp_path / "cache").glob(".*"))


def read(path, rate=RATE, phonemes=None, **options):
    return RecordingReader(rate, **options).read(clip_of(path, phonemes=phonemes))


@pytest.mark.parametrize("size", [0.001, 0.3, 1.0])
def test_the_peak_becomes_0_95(tmp_path, size):
    waveform = sine(100, size=size)
    found = read(write(tmp_path / "a.wav", waveform)).waveform.numpy()
    assert np.abs(found).max() == pytest.approx(0.95, rel=1e-5)
    np.testing.assert_allclose(found, waveform * (0.95 / np.abs(waveform).max()), rtol=1e-4, atol=1e-7)


def test_without_normalising_nothing_is_changed(tmp_path):
    path = write(tmp_path / "a.wav", sine(100))
    np.testing.assert_array_equal(read(path, normalise="none", remove_dc=False).waveform, sine(100))


def lufs(waveform, rate):
    """ITU-R BS.1770-4 for one channel and a steady signal, where no gate acts; its filters are given at 48 kHz."""
    from scipy.signal import lfilter, resample_poly

    at_48k = resample_poly(waveform, 48000 // rate, 1)
    shelf = lfilter([1.53512485958697, -2.69169618940638, 1.19839281085285],
                    [1.0, -1.69065929318241, 0.73248077421585], at_48k)  # fmt: skip
    high_passed = lfilter([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621], shelf)
    return -0.691 + 10 * math.log10(np.mean(high_passed[4800:] ** 2))


@pytest.mark.parametrize("seconds", [0.1, 0.39, 0.4, 0.41, 1.0, 3.0])
@pytest.mark.parametrize("size", [0.01, 0.9])
def test_the_loudness_becomes_minus_23_lufs(tmp_path, seconds, size):
    waveform = sine(500, int(seconds * 16000), 16000, size)
    found = read(write(tmp_path / "a.wav", waveform, 16000), 16000, normalise="loudness").waveform
    assert lufs(np.tile(found, math.ceil(1 / seconds)), 16000) == pytest.approx(-23, abs=0.3)


def test_a_peak_beyond_1_lowers_the_loudness(tmp_path):
    clicks = np.zeros(2 * RATE, np.float32)
    clicks[::2000] = 0.5
    found = read(write(tmp_path / "a.wav", clicks), normalise="loudness").waveform
    assert found.abs().max().item() == pytest.approx(0.999)


def test_another_rate_is_converted_where_that_is_allowed(tmp_path):
    path = write(tmp_path / "a.wav", sine(440, 16000, 16000), 16000)
    found = read(path, resample=True, normalise="none").waveform
    assert len(found) == RATE
    np.testing.assert_allclose(found[100:-100], sine(440)[100:-100], atol=1e-2)


QUIET_SPEECH = np.concatenate([np.zeros(4000), sine(200, 8000), np.zeros(6000)]).astype(np.float32)
PHONEMES = (Phoneme("_", 0.0, 0.5), Phoneme("a", 0.5, 1.0), Phoneme("b", 1.0, 1.5), Phoneme("_", 1.5, 2.25))


def test_trimming_drops_the_quiet_ends_and_moves_the_phonemes(tmp_path):
    path = write(tmp_path / "a.wav", QUIET_SPEECH + 1e-5)
    found = read(path, trim=40.0, phonemes=PHONEMES)
    duration = len(found.waveform) / RATE
    assert duration == pytest.approx(1, abs=0.05)
    assert found.dropped == pytest.approx(2.25 - duration)
    symbols = "".join(p.symbol for p in found.clip.phonemes)
    assert symbols.strip("_") == "ab"
    a = next(p for p in found.clip.phonemes if p.symbol == "a")
    onset = int((np.abs(found.waveform.numpy()) > 0.05).argmax()) / RATE
    assert a.start == pytest.approx(onset, abs=2e-3)
    assert a.end - a.start == pytest.approx(0.5)
    assert found.clip.phonemes[0].start == 0
    assert found.clip.phonemes[-1].end == pytest.approx(duration)
    assert all(p.start < p.end for p in found.clip.phonemes)


def test_without_trimming_nothing_is_dropped(tmp_path):
    found = read(write(tmp_path / "a.wav", QUIET_SPEECH), phonemes=PHONEMES)
    assert len(found.waveform) == len(QUIET_SPEECH)
    assert found.dropped == 0
    assert found.clip.phonemes == PHONEMES


def test_what_trimming_dropped_is_told(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("condgen.data.speech.rank_zero_info", told.append)
    path = write(tmp_path / "1.wav", QUIET_SPEECH)
    (tmp_path / "c").mkdir()
    data = Speech(source_of([clip_of(path)]), RATE, trim=40.0, features={"p": Position(80)}, cache=str(tmp_path / "c"))
    ready(data)
    left = len(data.stores["train"].levels) / RATE
    assert told[0] == (f"train: 1 clips, {left:.0f} s; trimming at 40 dB and cutting to whole frames dropped "
                       f"{2.25 - left:.1f} s ({(2.25 - left) / 2.25:.1%})")  # fmt: skip
    assert len(data.stores["train"].levels) % 80 == 0


@pytest.mark.parametrize("normalise", ["peak", "loudness", "none"])
def test_silent_clips_are_named_and_keep_their_level(tmp_path, normalise):
    """Two of three are: zeros, and steps of 16 bits about an offset, which goes."""
    dither = 0.2 + np.random.default_rng(0).integers(-1, 2, RATE) / 32768
    sounds = {"a": sine(100), "b": np.zeros(RATE), "c": dither.astype(np.float32)}
    clips = [clip_of(write(tmp_path / f"{name}.wav", sound)) for name, sound in sounds.items()]
    data = Speech(
        source_of(clips), RATE, 65536, "linear", normalise=normalise, trim=20.0, cache=str(tmp_path / "cache")
    )
    named = rf"silence, no peak above −80 dB, in 2 of 3 clips; .*: {clips[1].path}, {clips[2].path}$"
    with pytest.warns(UserWarning, match=rf"^train: {named}"):
        ready(data, "fit")
    silent = [data.quantization.decode(torch.tensor(data.stores["train"].prepared(i).levels)) for i in (1, 2)]
    for found, expected in zip(silent, (sounds["b"], sounds["c"] - 0.2), strict=True):
        assert np.abs(found.numpy() - expected).max() < 1 / 32768
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ready(data, "fit")


# Features.


@pytest.mark.parametrize(("hop", "window"), [(80, None), (80, 80), (40, 256), (64, 512)])
@pytest.mark.parametrize("frames", [1, 2, 17])
def test_every_feature_has_a_row_of_numbers_for_each_frame(hop, window, frames):
    waveform = torch.from_numpy(sine(200, hop * frames))
    clip = clip_of(SimpleNamespace(stem="1"), phonemes=PHONEMES)
    for feature in (MelSpectrogram(8, hop, window), Position(hop, 3), Linguistic(["_", "a", "b"], hop)):
        found = feature.measure(waveform, RATE, clip)
        assert found.shape == (feature.size, frames)
        assert found.isfinite().all()
        assert found.dtype == torch.float32


@pytest.mark.parametrize("hz", [220.0, 700.0, 1500.0, 3000.0])
def test_a_tone_lights_up_the_band_of_its_frequency(hz):
    import librosa

    centres = librosa.mel_frequencies(42, fmin=0, fmax=RATE / 2)[1:-1]
    found = MelSpectrogram(40, 80, 512).measure(torch.from_numpy(sine(hz)), RATE)[:, 5:-5]
    assert (abs(found.argmax(0) - np.abs(centres - hz).argmin()) <= 1).all()
    assert (found.max(0).values - found.min(0).values > 2).all()


def test_the_mel_spectrogram_is_librosas():
    import librosa

    noise = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    found = MelSpectrogram(20, 100, 400, low=50, high=3500).measure(torch.from_numpy(noise), RATE)
    expected = librosa.feature.melspectrogram(
        y=np.pad(noise, 150), sr=RATE, n_fft=400, hop_length=100, center=False, power=1, n_mels=20, fmin=50, fmax=3500
    )
    np.testing.assert_allclose(found, np.log10(np.maximum(expected, 1e-5)), atol=1e-3)


def test_a_mel_frame_is_centred_on_its_samples():
    """A click lights up the frames whose windows hold it: as far to the left as to the right of its own."""
    waveform = torch.zeros(80 * 11)
    waveform[80 * 5 + 40] = 1
    energy = MelSpectrogram(8, 80).measure(waveform, RATE).sum(0)
    lit = (energy > energy.min() + 0.1).nonzero()[:, 0].tolist()
    assert energy.argmax() == 5
    assert sorted(10 - frame for frame in lit) == lit
    assert MelSpectrogram(8, 80).measure(torch.zeros(80 * 11), RATE).unique().tolist() == [-5]


@pytest.mark.parametrize("window", [79, 81, 40])
def test_a_window_that_cannot_be_centred_is_refused(window):
    with pytest.raises(ValueError, match=f"window {window} must be longer than hop 80 by an even number"):
        MelSpectrogram(8, 80, window)


@pytest.mark.parametrize("frames", [1, 2, 9, 10])
def test_the_position_backwards_is_the_position_of_the_end(frames):
    """cos(k π (1 − p)) = (−1)^k cos(k π p), and seconds since the start become seconds to the end."""
    found = Position(80, 4).measure(torch.zeros(80 * frames), RATE)
    signs = torch.tensor([-1.0, 1, -1, 1])[:, None]
    assert torch.allclose(found[:4].flip(-1), signs * found[:4], atol=1e-5)
    assert torch.allclose(found[4].flip(-1), found[5])
    assert torch.allclose(found[4] + found[5], torch.tensor(frames * 0.01))
    assert torch.allclose(found[4], (torch.arange(frames) + 0.5) * 0.01)


def test_the_position_needs_no_audio():
    noise = torch.randn(800)
    assert torch.equal(Position(80).measure(noise, RATE), Position(80).measure(torch.zeros(800), RATE))


def test_linguistic_frames_hold_the_phonemes_at_and_about_them():
    """Frames of 5 ms under phonemes of 20, 10 and 15 ms; and then nothing, where the last one holds on."""
    phonemes = (Phoneme("b", 0.0, 0.02), Phoneme("a", 0.02, 0.03), Phoneme("_", 0.03, 0.045))
    clip = clip_of(SimpleNamespace(stem="1"), phonemes=phonemes)
    found = Linguistic(["_", "a", "b"], 40).measure(torch.from_numpy(sine(150, 400)), RATE, clip)
    assert found[1].tolist() == [2] * 4 + [1] * 2 + [0] * 4
    assert found[0].tolist() == [2] * 4 + [2] * 2 + [1] * 4
    assert found[2].tolist() == [1] * 4 + [0] * 2 + [0] * 4
    lasted, will_last = (1000 * found[3:5]).tolist()
    assert lasted == pytest.approx([2.5, 7.5, 12.5, 17.5, 2.5, 7.5, 2.5, 7.5, 12.5, 17.5], abs=1e-3)
    assert will_last == pytest.approx([17.5, 12.5, 7.5, 2.5, 7.5, 2.5, 12.5, 7.5, 2.5, 0], abs=1e-3)


@pytest.mark.parametrize(("hz", "rate", "hop"), [(150.0, 8000, 40), (150.0, 16000, 80), (300.0, 8000, 100)])
def test_the_pitch_of_a_tone_is_found_within_2_percent(hz, rate, hop):
    pitch, voiced = fundamental(sine(hz, rate, rate), rate, hop, 60.0, 400.0)
    assert len(pitch) == len(voiced) == rate // hop
    assert voiced.mean() > 0.95
    assert np.abs(np.exp(pitch[voiced > 0]) / hz - 1).max() < 0.02


def test_pitch_is_that_of_its_own_frames():
    """A tone that rises by a fifth half-way, and noise behind it, in which there is no voice."""
    noise = 0.5 * np.random.default_rng(0).normal(size=4000).astype(np.float32)
    pitch, voiced = fundamental(np.concatenate([sine(120, 4000), sine(180, 4000), noise]), RATE, 40, 60.0, 400.0)
    assert np.exp(pitch[10:90]) == pytest.approx(120, rel=0.02)
    assert np.exp(pitch[110:190]) == pytest.approx(180, rel=0.02)
    assert np.abs(np.argmax(pitch > math.log(150)) - 100) <= 4
    assert voiced[10:190].mean() > 0.95 > 0.5 > voiced[210:].mean()
    assert np.isfinite(pitch).all()


def test_where_there_is_no_voice_pitch_is_the_middle_of_its_range():
    pitch, voiced = fundamental(np.zeros(4000, np.float32), RATE, 40, 60.0, 240.0)
    assert (voiced == 0).all()
    assert np.exp(pitch) == pytest.approx(120)


@pytest.mark.parametrize("phonemes", [None, ()])
def test_linguistic_features_of_a_clip_without_phonemes_are_refused(phonemes):
    clip = clip_of(SimpleNamespace(stem="7"), phonemes=phonemes)
    with pytest.raises(ValueError, match="list, row 7 has no phonemes"):
        Linguistic(["a"]).measure(torch.zeros(400), RATE, clip)
    with pytest.raises(ValueError, match="has no phonemes"):
        Linguistic(["a"]).measure(torch.zeros(400), RATE, None)


def test_phonemes_that_the_data_do_not_have_are_refused():
    clip = clip_of(SimpleNamespace(stem="7"), phonemes=PHONEMES)
    with pytest.raises(ValueError, match="list, row 7: phonemes that the data do not have: _ b; known: a c"):
        Linguistic(["a", "c"]).measure(torch.zeros(400), RATE, clip)


# The store.


def test_a_feature_with_wrong_frames_is_refused_with_both_numbers(make_speech):
    data = make_speech([400], {"bad": first_sample(40, frames=9)})
    with pytest.raises(ValueError, match=r"0\.wav.*feature 'bad' has 9 frames: × hop 40 ≠ 400 samples"):
        data.prepare_data()
    assert not list(data.cache.iterdir())


def stores(data):
    return sorted(path.name for path in data.cache.iterdir())


def test_the_same_settings_reuse_a_store_and_others_make_a_new_one(make_speech, monkeypatch):
    lengths = [400, 800]
    ready(make_speech(lengths))
    first = stores(make_speech(lengths))
    assert len(first) == 3
    with monkeypatch.context() as patch:
        patch.setattr("condgen.data.speech.write_store", lambda *args: pytest.fail("prepared again"))
        ready(make_speech(lengths, crop=100, context=50, batch_size=3))
    changes = [
        {"normalise": "peak"}, {"trim": 30.0}, {"levels": 256}, {"companding": "mu_law"}, {"resample": True},
        {"remove_dc": True}, {"mono": True},
        {"features": {"p": Position(40)}}, {"features": {"p": Position(80)}}, {"features": {"q": Position(80)}},
        {"features": {"p": Position(80, waves=3)}}, {"features": {"p": MelSpectrogram(10, 80)}},
    ]  # fmt: skip
    for count, change in enumerate(changes, start=2):
        ready(make_speech(lengths, **change))
        assert len(stores(make_speech(lengths))) == 3 * count, change
    assert set(first) < set(stores(make_speech(lengths)))


def test_all_bad_clips_of_all_splits_are_named_at_once(tmp_path):
    clips = [clip_of(write(tmp_path / f"{i}.wav", sine(100))) for i in range(6)]
    for i in (0, 3, 5):
        clips[i].path.write_text("no sound")
    parts = dict(zip(SPLITS, (clips[:2], clips[2:4], clips[4:]), strict=True))
    source = SimpleNamespace(names={}, clips=parts.__getitem__)
    with pytest.raises(ValueError, match=r"^3 clips cannot be used: ") as found:
        Speech(source, RATE, cache=str(tmp_path / "cache")).prepare_data()
    assert [f"{i}.wav" in str(found.value) for i in range(6)] == [True, False, False, True, False, True]
    assert "\n" not in str(found.value)
    (clips[1].path).unlink()
    clips[0].path.unlink()
    with pytest.raises(ValueError, match=r"0\.wav .*does not exist.*1\.wav .*does not exist.*3\.wav"):
        Speech(source, RATE, cache=str(tmp_path / "cache")).prepare_data()


def test_clips_of_several_channels_are_mixed_down_and_counted_in_one_line(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("condgen.data.speech.rank_zero_info", said.append)
    paths = [write(tmp_path / f"{i}.wav", np.stack([sine(100)] * channels, 1)) for i, channels in enumerate((1, 2, 3))]
    source = SimpleNamespace(names={}, clips=lambda split: [clip_of(path) for path in paths])
    data = Speech(source, RATE, mono=True, cache=str(tmp_path / "cache"))
    data.setup("test")
    assert len(said) == 2
    assert said[1].endswith("; 2 of several channels were mixed down to one")
    levels = np.array(data.stores["test"].levels).reshape(3, -1)
    assert np.abs(np.diff(levels.astype(int), axis=0)).max() <= 1


def test_a_new_folder_of_prepared_clips_is_said_once(make_speech, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("condgen.data.speech.rank_zero_info", said.append)
    ready(make_speech([400, 800]))
    ready(make_speech([400, 800], trim=40.0))
    (line,) = (line for line in said if "--data.cache DIR" in line)
    assert line.startswith(f"prepared clips are kept in a new folder, {tmp_path / 'cache'}, for later runs")


def test_a_split_without_clips_is_refused_before_others_are_prepared(tmp_path):
    path = write(tmp_path / "1.wav", sine(100))
    source = SimpleNamespace(names={}, clips=lambda split: [clip_of(path)] if split == "train" else [])
    data = Speech(source, RATE, cache=str(tmp_path / "cache"))
    with pytest.raises(ValueError, match="the val split of SimpleNamespace has no clips"):
        data.prepare_data()
    assert not (tmp_path / "cache").exists()


def test_a_changed_file_makes_a_new_store(make_speech, tmp_path):
    before = ready(make_speech([400, 800]))
    stat = os.stat(tmp_path / "1.wav")
    write(tmp_path / "1.wav", sine(100, 800))
    os.utime(tmp_path / "1.wav", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    after = ready(make_speech([400, 800]))
    assert len(stores(after)) == 6
    found, old = (np.array(data.stores["train"].levels) for data in (after, before))
    assert np.array_equal(found[:400], old[:400])
    assert np.array_equal(found[400:], after.quantization.encode(torch.from_numpy(sine(100, 800))).numpy())


def test_a_changed_label_or_phoneme_makes_a_new_store(make_speech):
    data = ready(make_speech([400, 800]))
    clips = data.source.clips("train")
    data.source.clips = lambda split: [clips[1]._replace(labels={"speaker": "bob"}), clips[0]]
    data.prepare_data()
    assert len(stores(data)) == 6
    brief = tuple(Phoneme(p.symbol, p.start / 100, p.end / 100) for p in PHONEMES)
    data.source.clips = lambda split: [clips[0]._replace(phonemes=brief), clips[1]]
    data.prepare_data()
    assert len(stores(data)) == 9


def test_phonemes_that_last_longer_than_their_clip_are_refused(make_speech):
    """As when their times are in milliseconds."""
    data = ready(make_speech([400, 800]))
    clips = data.source.clips("train")
    data.source.clips = lambda split: [clips[0]._replace(phonemes=(Phoneme("a", 0, 50),)), clips[1]]
    with pytest.raises(ValueError, match=r"lasts \d+\.\d\d s, but its phonemes last until 50\.00 s"):
        data.prepare_data()


@pytest.mark.parametrize(("levels", "dtype"), [(256, np.uint8), (257, np.int32), (65536, np.int32)])
def test_the_store_holds_what_was_read(make_speech, levels, dtype):
    data = ready(make_speech([400, 720], {"first": first_sample(40, size=2)}, levels=levels))
    store = data.stores["val"]
    assert store.levels.dtype == dtype
    assert store.ends.tolist() == [0, 400, 1120]
    assert {name: ids.tolist() for name, ids in store.ids.items()} == {"speaker": [1, 0]}
    for i, clip in enumerate(data.source.clips("val")):
        waveform = torch.from_numpy(soundfile.read(clip.path, dtype="float32")[0])
        kept = slice(store.ends[i], store.ends[i + 1])
        assert np.array_equal(store.levels[kept], data.quantization.encode(waveform).numpy())
        frames = store.frames["first"][kept.start // 40 : kept.stop // 40]
        assert np.array_equal(frames, np.stack([waveform[::40]] * 2, axis=1))


def test_clips_are_cut_to_whole_frames_of_all_features(make_speech):
    data = ready(make_speech([500, 250], {"a": first_sample(40), "b": first_sample(60)}))
    store = data.stores["train"]
    assert data.unit == 120
    assert np.diff(store.ends).tolist() == [480, 240]
    assert (len(store.frames["a"]), len(store.frames["b"])) == (720 // 40, 720 // 60)
    assert store.dropped.sum() == pytest.approx(30 / RATE)


def test_a_store_that_another_process_finished_first_is_left_alone(make_speech, monkeypatch):
    read, others = RecordingReader.read, []

    def read_while_another_finishes(reader, clip):
        if not others:
            others.append(None)
            others.append(make_speech([400])._prepare("train"))
            others.append((others[1] / "index.json").stat().st_ino)
        return read(reader, clip)

    data = make_speech([400])
    monkeypatch.setattr(RecordingReader, "read", read_while_another_finishes)
    folder = data._prepare("train")
    assert folder == others[1]
    assert (folder / "index.json").stat().st_ino == others[2]
    assert stores(data) == [folder.name]


def test_a_split_without_clips_is_refused(tmp_path):
    source = SimpleNamespace(names={}, clips=lambda split: [])
    with pytest.raises(ValueError, match="the train split of SimpleNamespace has no clips"):
        Speech(source, cache=str(tmp_path)).setup("fit")


# Batches and crops.


def batches(data, split, epochs=1):
    loader, found = getattr(data, f"{split}_dataloader")(), []
    for epoch in range(epochs):
        if split == "train":
            loader.sampler.set_epoch(epoch)  # as the trainer does
        found += list(loader)
    return found


def test_whole_epochs_score_every_sample_once(make_speech):
    lengths = [400, 800, 120, 440, 400, 1200, 40]
    data = ready(make_speech(lengths, {"first": first_sample(40)}, batch_size=3))
    for split in SPLITS:
        seen = torch.cat([batch.x[:, 0][batch.scored] for batch in batches(data, split)])
        assert torch.equal(seen.sort().values, torch.from_numpy(np.sort(data.stores[split].levels)).long())
        assert sorted(int(n) for batch in batches(data, split) for n in batch.scored.sum(1)) == sorted(lengths)


def check_alignment(data, batch, hop):
    """The planted feature is the level of its frame's first sample, wherever that is no padding."""
    for x, frames, scored in zip(batch.x[:, 0], batch.conditions["first"][:, 0], batch.scored, strict=True):
        end = int(scored.nonzero().max()) + 1
        encoded = data.quantization.encode(frames)
        assert torch.equal(encoded[: end // hop], x[:end:hop])
        assert (frames[end // hop :] == 0).all()
        assert (x[end:] == data.quantization.silence).all()


def check_alignments(data, splits, epochs=1):
    torch.manual_seed(0)
    for batch in [batch for split in splits for batch in batches(data, split, epochs)]:
        assert batch.x.shape[-1] == 40 * batch.conditions["first"].shape[-1]
        check_alignment(data, batch, 40)


@pytest.mark.parametrize("crop", [None, 40, 120, 400, 2000])
@pytest.mark.parametrize("context", [0, 80, 4000])
def test_frames_and_samples_of_crops_stay_aligned(make_speech, crop, context):
    options = {"crop": crop, "context": context, "batch_size": 3}
    check_alignments(ready(make_speech([400, 800, 120, 1240], {"first": first_sample(40)}, **options)), SPLITS, 3)


def unaligned_crops(monkeypatch, data):
    monkeypatch.setattr(type(data.dataset("train")), "_window", lambda data, length, rng: (20, 20, 60, 60))


def frames_of_the_clip_before(monkeypatch, data):
    data.stores["train"].frames["first"] = np.roll(data.stores["train"].frames["first"], 1, axis=0)


@pytest.mark.parametrize("plant", [unaligned_crops, frames_of_the_clip_before])
def test_the_alignment_catches(monkeypatch, make_speech, plant):
    data = ready(make_speech([400, 800], {"first": first_sample(40)}, crop=120))
    check_alignments(data, ["train"])
    plant(monkeypatch, data)
    with pytest.raises(AssertionError):
        check_alignments(data, ["train"])


@pytest.mark.parametrize("context", [0, 80, 200])
def test_exactly_the_crop_is_scored_and_never_its_context(make_speech, context):
    """Ramps rise from sample to sample, so a sample's level tells where in its clip it was."""
    data = ready(make_speech([800, 80, 1240], crop=120, context=context, batch_size=3))
    clips = [np.array(data.stores["train"].levels[slice(*ends)]) for ends in zip(
        data.stores["train"].ends[:-1], data.stores["train"].ends[1:], strict=True)]  # fmt: skip
    torch.manual_seed(0)
    begins = set()
    for batch in batches(data, "train", 60):
        for x, scored in zip(batch.x[:, 0].numpy(), batch.scored.numpy(), strict=True):
            at, length = np.flatnonzero(scored), int(scored.sum())
            assert np.array_equal(at, np.arange(at[0], at[0] + length))
            clip = next(clip for clip in clips if np.isin(x[at], clip).all() and length == min(120, len(clip)))
            first = int(np.searchsorted(clip, x[at[0]]))
            assert at[0] == min(first, context)
            assert np.array_equal(x[: at[-1] + 1], clip[first - at[0] : first + length])
            assert (x[at[-1] + 1 :] == data.quantization.silence).all()
            begins.add((len(clip), first))
    assert {first for length, first in begins if length == 80} == {0}
    assert len(begins) > 60


def test_every_place_is_cropped_to(make_speech):
    data = ready(make_speech([240], {"first": first_sample(40)}, crop=120))
    torch.manual_seed(0)
    seen = {int(batch.x[batch.scored[:, None]].min()) for batch in batches(data, "train", 60)}
    assert seen == {int(data.stores["train"].levels[i]) for i in (0, 40, 80, 120)}


def test_crops_give_every_scored_sample_the_whole_receptive_field(make_speech):
    """With enough context, a crop's likelihood is its share of the whole clip's."""
    torch.manual_seed(0)
    network = WaveNet(64, channels=4, dilations=[1, 2, 4], hop=4, sample_rate=RATE, companding="linear")
    encoders = {"first": FrameSequence(1, 3), "speaker": ClassEmbedding(3, num_classes=2)}
    model = ConditionalModel(network, encoders, "film").double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    assert network.receptive_field == 8
    make = partial(make_speech, [48, 60], {"first": first_sample(4)}, levels=64, batch_size=1)
    whole = ready(make()).dataset("train")
    data = ready(make(crop=12, context=8)).dataset("train")
    ends = whole.store.ends
    for i in (0, 1):
        x, conditions, _ = whole.__getitems__([i])
        each = model(x, conditions).log_prob(x)[0, 0]
        for first in range(0, int(ends[i + 1] - ends[i]) - 12 + 1, 4):
            data._window = lambda length, rng, first=first: (max(0, first - 8), first, first + 12, first + 12)
            found = model.log_prob(*data.__getitems__([i]))
            assert torch.allclose(found, each[first : first + 12].sum(), atol=1e-10)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 50, 401])
def test_ordering_by_length_gives_every_clip_once(count, batch_size):
    lengths = np.random.default_rng(0).integers(1, 10_000, count)
    order = by_length(lengths, batch_size)
    first, second = (order(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert first == order(torch.Generator().manual_seed(0))
    assert sorted(first) == sorted(second) == list(range(count))
    assert count < 50 or first != second
    if count > 100 and batch_size > 1:
        spread = [np.ptp(lengths[first[i : i + batch_size]]) for i in range(0, count, batch_size)]
        assert np.mean(spread) < 1500


def test_evaluation_batches_hold_clips_of_like_length_even_where_training_is_cropped(make_speech):
    data = ready(make_speech([400, 80, 480, 120, 440, 160], crop=80, batch_size=2))
    assert [batch.scored.sum(1).tolist() for batch in batches(data, "val")] == [[80, 120], [160, 400], [440, 480]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 100}, "crop 100 is not a multiple of 40, the samples of a whole frame"),
        ({"context": 50}, "context 50 is not a multiple of 40"),
        ({"crop": 0}, "crop 0 is not at least 1"),
        ({"crop": -40}, "crop -40 is not at least 1"),
        ({"context": -40}, "context -40 is not at least 0"),
        ({"levels": 1}, "levels 1 is not from 2 to 65536"),
        ({"companding": "a_law"}, "unknown companding 'a_law'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make_speech, options, message):
    with pytest.raises(ValueError, match=message):
        make_speech([400], {"first": first_sample(40)}, **options)


def test_conditions_are_named_ids_and_frames(make_speech):
    data = ready(make_speech([400, 800, 120], {"first": first_sample(40), "place": Position(80, 2)}))
    batch = data.dataset("test").__getitems__([2, 0])
    assert batch.conditions["speaker"].tolist() == [data.names["speaker"].index("bob")] * 2
    assert batch.x.shape == (2, 1, 400)
    assert {name: tuple(value.shape) for name, value in batch.conditions.items()} == {
        "speaker": (2,), "first": (2, 1, 10), "place": (2, 4, 5)
    }  # fmt: skip
    assert batch.x.dtype == torch.long


def test_a_batch_feeds_a_model(make_speech):
    data = ready(make_speech([400, 800, 120], {"place": Position(40, 2)}, levels=256, crop=160, context=80))
    torch.manual_seed(0)
    network = WaveNet(256, channels=4, dilations=[1, 2, 4], hop=40, sample_rate=RATE, companding="linear")
    encoders = {"speaker": ClassEmbedding(3, names=data.names["speaker"]), "place": FrameSequence(4, 3)}
    model = ConditionalModel(network, encoders, "film")
    for batch in batches(data, "train") + batches(data, "val"):
        nats = -model.log_prob(*batch)
        assert nats.shape == (len(batch.x),)
        assert torch.allclose(nats / batch.scored.sum(1), torch.tensor(math.log(256)), rtol=0.1)


def model_of_places():
    """A model of the speaker and of the place in the clip, which both act."""
    torch.manual_seed(0)
    network = WaveNet(256, channels=4, dilations=[1, 2, 4], hop=40, sample_rate=RATE, companding="linear")
    encoders = {"speaker": ClassEmbedding(3, num_classes=2), "place": FrameSequence(4, 3, context=1)}
    model = ConditionalModel(network, encoders, "film").double()
    for parameter in model.film_generator.parameters():
        torch.nn.init.normal_(parameter)
    return model


def test_padding_changes_no_likelihood(make_speech):
    data = ready(make_speech([400, 800, 120], {"place": Position(40, 2)}, levels=256)).dataset("val")
    model = model_of_places()
    together = model.log_prob(*data.__getitems__([0, 1, 2]))
    alone = torch.cat([model.log_prob(*data.__getitems__([i])) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-9)


LENGTHS = [40 * n for n in (10, 20, 3, 31, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23)]


@pytest.mark.parametrize("crop", [None, 200])
def test_batches_have_a_few_lengths_and_what_pads_them_is_not_scored(make_speech, crop):
    """Ramps tell which clip a row is of: the mask is of its samples alone."""
    data = ready(make_speech(LENGTHS, {"first": first_sample(40)}, batch_size=3, crop=crop, context=80))
    torch.manual_seed(0)
    for split in SPLITS:
        few = set(data.padded_lengths(split).tolist())
        found = batches(data, split, 5)
        assert {batch.x.shape[-1] for batch in found} <= few
        assert len(few) <= 8
        for batch in found:
            check_alignment(data, batch, 40)
    whole = torch.cat([batch.x[:, 0][batch.scored] for batch in batches(data, "val")])
    assert torch.equal(whole.sort().values, torch.from_numpy(np.sort(data.stores["val"].levels)).long())
    assert (set(data.padded_lengths("train").tolist()) == {120, 280}) == (crop is not None)


def test_the_lengths_of_batches_change_no_likelihood(make_speech):
    """A padded batch scores what the same clips score unpadded, each for itself."""
    data = ready(make_speech(LENGTHS, {"place": Position(40, 2)}, levels=256, batch_size=3))
    model = model_of_places()
    together = torch.cat([model.log_prob(*batch) for batch in data.val_dataloader()])
    order = np.argsort(LENGTHS, kind="stable").tolist()
    alone = torch.cat([model.log_prob(*data.dataset("val").__getitems__([i])) for i in order])
    assert torch.allclose(together, alone, rtol=1e-12)
    assert any(batch.x.shape[-1] > batch.scored.sum(1).max() for batch in data.val_dataloader())


def test_the_lengths_of_batches_are_told_and_shared_by_the_splits(make_speech, monkeypatch):
    told = []
    monkeypatch.setattr("condgen.data.speech.rank_zero_info", told.append)
    data = ready(make_speech([400, 800]), "fit")
    assert told[-1] == "batches have 2 lengths, 400, 800 samples: 0% more than the clips'"
    data.stores["val"] = ready(make_speech([400, 800, 1200]), "validate").stores["val"]
    assert data.padded_lengths("train").tolist() == data.padded_lengths("val").tolist() == [400, 800, 1200]
    told.clear()
    ready(make_speech([400, 800], length=500), "fit")
    assert not [line for line in told if "batches" in line]


def test_with_a_length_every_example_is_a_clip_and_silence_or_the_beginning_of_a_longer_one(make_speech):
    speech = make_speech([300, 700], {"first": first_sample(100)}, length=500)
    speech.setup()
    x, conditions, scored = speech.dataset("train").__getitems__([0, 1])
    whole = make_speech([300, 700], {"first": first_sample(100)})
    whole.setup()
    longer = whole.dataset("train").__getitems__([0, 1])
    assert speech.shape == (1, 500)
    assert x.shape == (2, 1, 500)
    assert torch.equal(x[:, :, :500], longer.x[:, :, :500])
    assert (x[0, 0, 300:] == speech.quantization.silence).all()
    assert scored.sum(1).tolist() == [300, 500]
    assert conditions["first"].shape == (2, 1, 5)
    assert whole.shape is None


def test_a_length_goes_with_no_crop_and_is_whole_frames(make_speech):
    with pytest.raises(ValueError, match="length 500 and crop 200 cannot both be given"):
        make_speech([700], length=500, crop=200)
    with pytest.raises(ValueError, match="length 550 is not a multiple of 100"):
        make_speech([700], {"first": first_sample(100)}, length=550)


# Crops and order of clips: no part of a clip is left out, and what stands beside a crop is on its side.


def counting_speech(samples, **options):
    """A data module whose only clip is 0, 1, 2, …, so that a level tells where it stood."""
    data = Speech(Source(), 1000, levels=4096, companding="linear", **options)
    levels = np.arange(samples, dtype=np.int32)
    one = np.ones(1)
    store = ClipStore(levels, np.array([0, samples]), {}, {}, ["a.wav"], 0 * one, one == 0, one, ["a"])
    data.stores = {"train": store}
    return data


class Source:
    """Of nothing: the stores are filled by hand."""

    names, phonemes = {}, []


def test_the_ends_of_a_clip_are_scored_too():
    """A sample lies in at least 100 of the 381 places from which a crop of 100 is drawn, beyond the ends of a clip of
    280 too. Drawn from inside alone, its first sample would be in one of 181."""
    torch.manual_seed(0)
    x, _, scored = counting_speech(280, crop=100, beginnings=0).dataset("train").__getitems__([0] * 3000)
    counts = np.bincount(x[:, 0][scored].numpy(), minlength=280)
    assert counts.min() > 0.85 * 3000 * 100 / 381


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_so_many_crops_begin_where_the_clip_begins(share):
    """Of 400 places of a crop of 100, those of the first sample or before are 101; of the others a share is moved."""
    torch.manual_seed(0)
    x, _, scored = counting_speech(299, crop=100, beginnings=share).dataset("train").__getitems__([0] * 3000)
    firsts = torch.tensor([row[0][mask][0] for row, mask in zip(x, scored, strict=True)])
    by_chance = 101 / 400
    assert abs((firsts == 0).double().mean() - (share + (1 - share) * by_chance)) < 0.03
    assert share == 1 or firsts.max() == 199


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_of_beginnings_is_between_0_and_1(share):
    with pytest.raises(ValueError, match=f"beginnings {share} is not a share between 0 and 1"):
        counting_speech(280, crop=100, beginnings=share)


@pytest.mark.parametrize(("context", "lookahead"), [(30, 0), (0, 30), (20, 40)])
def test_context_stands_before_what_is_scored_and_lookahead_behind_it(context, lookahead):
    torch.manual_seed(0)
    data = counting_speech(1000, crop=50, context=context, lookahead=lookahead).dataset("train")
    for x, mask in zip(*data.__getitems__([0] * 50)[::2], strict=True):
        held, scored = x[0][x[0] < 1000], x[0][mask]
        assert held.min() == max(0, scored.min() - context)
        assert held.max() == min(999, scored.max() + lookahead)


def order(data, seed):
    torch.manual_seed(seed)
    return torch.cat([batch.conditions["speaker"] for batch in data.train_dataloader()]).tolist()


def make_clips():
    """A data module of 40 clips of one length, each with an id of its own."""
    data = counting_speech(10, length=10)
    ids = {"speaker": np.arange(40)}
    files, ends, ones = ["a.wav"] * 40, np.arange(0, 401, 10), np.ones(40)
    store = ClipStore(np.zeros(400, np.int32), ends, {}, ids, files, 0 * ones, ones == 0, ones, files)
    data.stores = {"train": store}
    return data


def test_a_resumed_module_goes_on_in_the_order_that_was_saved():
    first, resumed, other = make_clips(), make_clips(), make_clips()
    expected = order(first, seed=1)
    assert sorted(expected) == list(range(40))
    resumed.load_state_dict(first.state_dict())
    assert order(resumed, seed=2) == expected
    assert order(other, seed=2) != expected


# Another recording of the same speaker.


def reference(**options):
    return ReferenceSpectrogram(**{"bands": 4, "hop": 40, "longest": 8, **options})


@pytest.fixture
def voices(tmp_path):
    """Clips of two speakers, each of a pitch of its own, so that a clip is known by its spectrogram."""
    clips = [clip_of(write(tmp_path / f"{i}.wav", sine(200 + 300 * i, 240 + 80 * i)), "ann" if i < 3 else "bob")
             for i in range(6)]  # fmt: skip
    return ready(Speech(source_of(clips), RATE, features={"voice": reference()}, cache=str(tmp_path / "cache")))


def test_a_voice_is_shown_by_another_clip_of_the_speaker_as_it_is_measured_itself(voices):
    store, train = voices.stores["train"], voices.dataset("train")
    own = [torch.from_numpy(np.array(store.frames["voice"][begin // 40 : end // 40])).T[:, :8]
           for begin, end in zip(store.ends[:-1], store.ends[1:], strict=True)]  # fmt: skip
    seen = {row: set() for row in range(6)}
    torch.manual_seed(0)
    for _ in range(20):
        batch = train.__getitems__(range(6))
        assert batch.conditions["voice"].shape == (6, 4, 8)
        for row, frames in enumerate(batch.conditions["voice"]):
            (which,) = [i for i, part in enumerate(own) if torch.equal(frames[:, : part.shape[1]], part)]
            assert not frames[:, own[which].shape[1] :].any()
            seen[row].add(which)
    assert seen == {row: {i for i in range(6) if i // 3 == row // 3 and i != row} for row in range(6)}


@pytest.mark.parametrize("split", ["val", "test"])
def test_held_out_voices_are_always_shown_by_the_same_clip(split, voices):
    held_out = voices.dataset(split)
    together = held_out.__getitems__(range(6)).conditions["voice"]
    for row in range(6):
        assert torch.equal(held_out.__getitems__([row]).conditions["voice"][0], together[row])


def test_a_voice_that_is_shown_is_no_frame_in_time_with_the_audio(voices):
    condition = voices.conditions["voice"]
    assert (condition.kind, condition.size, condition.hop) == ("a recording", 4, None)


def test_a_speaker_of_one_clip_or_none_or_a_clip_too_short_is_refused(tmp_path):
    clips = [
        clip_of(write(tmp_path / f"{i}.wav", sine(200, 240)), name) for i, name in enumerate(("ann", "ann", "bob"))
    ]
    data = ready(Speech(source_of(clips), RATE, features={"voice": reference()}, cache=str(tmp_path / "cache")))
    with pytest.raises(ValueError, match="the train split, by speaker, has one example alone of bob"):
        data.dataset("train")
    with pytest.raises(
        ValueError, match="'voice' shows another clip of the same reader, and the data have no 'reader'"
    ):
        Speech(source_of(clips), RATE, features={"voice": reference(of="reader")}, cache=str(tmp_path / "cache"))
    short = [clip_of(write(tmp_path / "short.wav", sine(200, 199)))] * 2
    with pytest.raises(
        ValueError, match=r"row short lasts 0\.0\d+ s, and a recording that shows a voice must last at le"
    ):
        ready(Speech(source_of(short), RATE, features={"voice": reference()}, cache=str(tmp_path / "cache")))
    with pytest.raises(ValueError, match="longest 4 is not at least 5 frames"):
        reference(longest=4)
