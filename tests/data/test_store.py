"""The store: what is measured of a clip is measured of what stands in it."""

import numpy as np
import pytest
import soundfile

from condgen.data import Clip, Phoneme
from condgen.data.recordings import RecordingReader
from condgen.data.store import ClipStore, write_store
from condgen.quantization import Quantization


class Onset:
    """A feature that is when the first phoneme with a sound begins, by the clip that it is given."""

    size, hop, given, names = 1, 10, "text", None

    def measure(self, waveform, sample_rate, clip):
        start = next(phoneme.start for phoneme in clip.phonemes if phoneme.symbol != "_")
        return waveform.new_full((1, len(waveform) // self.hop), start)


def test_features_are_given_the_phonemes_of_what_trimming_left(tmp_path):
    """Of two clips the second begins with half a second of silence, which goes."""
    clips = []
    for name, silence in (("a", 0.0), ("b", 0.5)):
        tone = 0.5 * np.sin(2 * np.pi * 100 * np.arange(1000) / 1000)
        soundfile.write(tmp_path / f"{name}.wav", np.concatenate([np.zeros(int(1000 * silence)), tone]), 1000)
        phonemes = (Phoneme("_", 0, silence), Phoneme("a", silence, silence + 1))[not silence :]
        clips.append(Clip(tmp_path / f"{name}.wav", {}, phonemes=phonemes))
    reader = RecordingReader(1000, trim=30.0)
    write_store(
        tmp_path / "store", clips, reader, Quantization(256), {"onset": Onset()}, {}, 10, "preparing", tmp_path / "kept"
    )
    store = ClipStore.open(tmp_path / "store")
    first = store.frames["onset"][[0, store.ends[1] // 10], 0]
    assert np.diff(store.ends) == pytest.approx([1000, 1000], abs=50)
    assert first == pytest.approx([0, 0], abs=0.05)


@pytest.fixture
def clips(tmp_path):
    """Four clips, of which the second and the fourth are no sound."""
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", 0.5 * np.sin(np.arange(1000 + 100 * i) / (3 + i)), 1000)
    for i in (1, 3):
        (tmp_path / f"{i}.wav").write_text("no sound")
    phonemes = (Phoneme("a", 0, 0.5),)
    return [Clip(tmp_path / f"{i}.wav", {"speaker": str(i)}, phonemes=phonemes) for i in range(4)]


def store_all(folder, clips):
    names = {"speaker": ["0", "1", "2", "3"]}
    write_store(folder / "store", clips, RecordingReader(1000), Quantization(256), {"onset": Onset()}, names, 10,
                "preparing", folder / "kept")  # fmt: skip
    return ClipStore.open(folder / "store")


def mend(clip):
    soundfile.write(clip.path, 0.5 * np.sin(np.arange(700) / 2), 1000)


def test_all_bad_clips_are_named_and_the_good_ones_are_prepared_once(tmp_path, clips, monkeypatch):
    with pytest.raises(ValueError, match=r"^2 clips cannot be used: .*1\.wav.*; .*3\.wav"):
        store_all(tmp_path, clips)
    assert not (tmp_path / "store").exists()
    read, times = RecordingReader.read, []
    monkeypatch.setattr(RecordingReader, "read", lambda own, clip: times.append(clip.path.stem) or read(own, clip))
    mend(clips[1])
    with pytest.raises(ValueError, match=r"3\.wav") as found:
        store_all(tmp_path, clips)
    assert "1.wav" not in str(found.value)
    mend(clips[3])
    found = store_all(tmp_path, clips)
    assert times == ["1", "3", "3"]
    assert not (tmp_path / "kept").exists()
    (tmp_path / "anew").mkdir()
    anew = store_all(tmp_path / "anew", clips)
    assert times[3:] == ["0", "1", "2", "3"]
    assert np.array_equal(found.levels, anew.levels)
    assert np.array_equal(found.frames["onset"], anew.frames["onset"])
    assert (found.ends.tolist(), found.ids["speaker"].tolist()) == ([0, 1000, 1700, 2900, 3600], [0, 1, 2, 3])
    assert (found.files, found.keys) == (anew.files, anew.keys)


def test_a_good_clip_that_has_changed_in_the_meantime_is_prepared_again(tmp_path, clips):
    with pytest.raises(ValueError, match="cannot be used"):
        store_all(tmp_path, clips)
    for clip in (clips[0], clips[1], clips[3]):
        mend(clip)
    assert np.diff(store_all(tmp_path, clips).ends).tolist() == [700, 700, 1200, 700]


def test_of_many_bad_clips_the_first_twenty_are_named(tmp_path):
    for i in range(23):
        (tmp_path / f"{i}.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"^23 clips cannot be used: .*; and 3 more$") as found:
        store_all(tmp_path, [Clip(tmp_path / f"{i}.wav", {"speaker": "0"}) for i in range(23)])
    assert str(found.value).count(".wav") == 20
    assert not (tmp_path / "kept").exists()
