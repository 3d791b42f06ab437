"""Sound is written in 16 bits, at the rate given."""

import numpy as np
import soundfile

from condgen.evaluation.sound import write_wav


def test_a_waveform_comes_back_to_half_a_step_of_16_bits(tmp_path):
    waveform = np.random.default_rng(0).uniform(-0.99, 0.99, 400).astype(np.float32)
    write_wav(tmp_path / "a.wav", waveform, 8000)
    found = soundfile.info(tmp_path / "a.wav")
    assert (found.samplerate, found.channels, found.subtype, found.frames) == (8000, 1, "PCM_16", 400)
    read, _ = soundfile.read(tmp_path / "a.wav")
    assert np.abs(read - waveform).max() <= 2**-15
