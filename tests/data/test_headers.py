"""Headers of recordings: what most clips need is asked for in one line, before any is decoded."""

import warnings

import numpy as np
import pytest
import soundfile

from condgen.data import Clip
from condgen.data.headers import check_headers
from condgen.data.recordings import RecordingReader


def clips(folder, rates, channels=1):
    paths = [folder / f"{i}.wav" for i in range(len(rates))]
    for path, rate in zip(paths, rates, strict=True):
        soundfile.write(path, np.zeros((10, channels)), rate)
    return [Clip(path, {}, origin=str(path)) for path in paths]


def test_another_rate_of_most_clips_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"0\.wav has 4000 samples per second, not 8000: set data\.resample to true to "
                       r"convert it, or data\.sample_rate to 4000 \(3 of 4 clips are such\)$"):  # fmt: skip
        check_headers(clips(tmp_path, [4000, 4000, 8000, 4000]), RecordingReader(8000))


def test_few_of_another_rate_are_left_to_the_reader(tmp_path):
    check_headers(clips(tmp_path, [4000, 8000, 8000, 4000]), RecordingReader(8000))


def test_a_lower_rate_is_raised_and_this_is_said(tmp_path):
    with pytest.warns(UserWarning, match="of 4,000 samples per second are raised to 8,000.*--data.sample_rate 4000 is"):
        check_headers(clips(tmp_path, [4000, 8000, 44_100]), RecordingReader(8000, resample=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_headers(clips(tmp_path, [8000, 44_100]), RecordingReader(8000, resample=True))


def test_rate_and_channels_are_asked_for_together(tmp_path):
    found = clips(tmp_path, [4000], channels=2)
    with pytest.raises(ValueError, match=r"data\.sample_rate to 4000; and .* 2 channels, not one.*data\.mono to true$"):
        check_headers(found, RecordingReader(8000))
    check_headers(found, RecordingReader(4000, mono=True))


def test_files_that_are_no_recordings_are_left_to_the_reader(tmp_path):
    found = clips(tmp_path, [8000, 8000])
    for clip in found:
        clip.path.write_bytes(b"no sound")
    check_headers(found, RecordingReader(8000))
