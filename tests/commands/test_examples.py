"""Examples to look at: each in the row of its class, and as the model will have it."""

import numpy as np
import soundfile
import torch
from PIL import Image

from condgen.commands.examples import in_turns, rows_by_class, write_examples
from condgen.data import AudioFolder, Images, Labelled, Speech


class Source:
    """Images whose pixels are their class's number, times 3, in no order."""

    shape, levels, names = (1, 44, 44), 16, {"digit": ["0", "1", "2"]}

    def load(self, split):
        ids = torch.tensor([2, 0, 2, *[1] * 9])
        return Labelled((3 * ids).byte().view(-1, 1, 1, 1).expand(-1, 1, 44, 44).contiguous(), {"digit": ids})


def test_rows_hold_the_first_eight_of_each_class():
    data = Images(Source())
    data.setup("fit")
    assert rows_by_class(data) == (["0", "1", "2"], [[1], [3, 4, 5, 6, 7, 8, 9, 10], [0, 2]])


def test_a_picture_has_a_row_per_class_and_white_where_there_are_no_more(tmp_path):
    data = Images(Source())
    data.setup("fit")
    assert write_examples(tmp_path, data) == "examples.png"
    found = np.array(Image.open(tmp_path / "examples.png"))[:, :, 0]
    tiles = found[:, -(8 * 45 + 1) * 2 :]  # twice as large; a white line before each image, and one behind the last
    centres = tiles[46::90, 46::90]
    full, white = (lambda level: round(level * 255 / 15)), 255
    assert centres.tolist() == [[full(0)] + 7 * [white], 8 * [full(3)], 2 * [full(6)] + 6 * [white]]


def test_classes_take_turns():
    assert in_turns([[5, 7], [2], [9, 1, 4]]) == [(0, 5), (1, 2), (2, 9), (0, 7), (2, 1), (2, 4)]


def test_recordings_are_written_as_the_model_will_hear_them(tmp_path):
    for name, pitch in (("ann", 20), ("bob", 30)):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(12):
            wave = 0.25 * np.sin(np.arange(2000 + 10 * i) / pitch)
            soundfile.write(tmp_path / "in" / name / f"{i}.wav", wave, 8000)
    data = Speech(AudioFolder(str(tmp_path / "in")), 8000, cache=str(tmp_path / "cache"))
    data.read("train")
    (tmp_path / "out").mkdir()
    assert write_examples(tmp_path / "out", data) == "examples.png, 0000.wav … 0007.wav"
    assert Image.open(tmp_path / "out" / "examples.png").width > 100
    store, (_, rows) = data.dataset("train").store, rows_by_class(data)
    for i, (row, index) in enumerate(in_turns(rows)[:8]):
        waveform, rate = soundfile.read(tmp_path / "out" / f"{i:04d}.wav")
        heard = data.quantization.decode(torch.from_numpy(store.prepared(index).levels)).numpy()
        np.testing.assert_allclose(waveform, heard, atol=1 / 32_000)
        assert rate == 8000
        assert f"/{('ann', 'bob')[row]}/" in store.files[index]
        assert 0.9 < np.abs(waveform).max() < 1  # its peak was brought to 0.95
