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
    write_store(tmp_path / "store", clips, reader, Quantization(256), {"onset": Onset()}, {}, 10, "preparing")
    store = ClipStore.open(tmp_path / "store")
    first = store.frames["onset"][[0, store.ends[1] // 10], 0]
    assert np.diff(store.ends) == pytest.approx([1000, 1000], abs=50)
    assert first == pytest.approx([0, 0], abs=0.05)
