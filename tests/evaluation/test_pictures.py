"""Pictures: every image where it belongs, enlarged without smoothing, and its label beside its row."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from condgen.conditioning import ClassEmbedding, FeatureVector
from condgen.evaluation.pictures import conditions_grid, decibels, save_counts, save_grid, some_classes, tile


def grid(tmp_path, x, levels, columns, labels):
    save_grid(tmp_path / "grid.png", x, levels, columns, labels)
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]
    return np.array(Image.open(tmp_path / "grid.png"))


def test_images_stand_row_by_row_with_white_lines_between_them():
    canvas = tile(torch.arange(4).view(4, 1, 1, 1) // 2, 2, 2)
    assert canvas.shape == (5, 5, 3)
    assert canvas[1, 1].tolist() == canvas[1, 3].tolist() == [0, 0, 0]
    assert canvas[3, 1].tolist() == canvas[3, 3].tolist() == [255, 255, 255]
    assert (canvas[::2] == 255).all()


def test_the_picture_holds_every_level_and_nothing_between_them(tmp_path):
    x = torch.tensor([0, 1, 2, 2, 1, 0]).view(6, 1, 1, 1).expand(-1, 1, 8, 8)
    picture = grid(tmp_path, x, 3, 3, ["", ""])
    images = picture[:, -(3 * 9 + 1) * 12 :]  # right of the labels; 8 rows are enlarged 12 times
    assert images.shape[:2] == ((2 * 9 + 1) * 12, (3 * 9 + 1) * 12)
    assert set(np.unique(images)) == {0, 128, 255}
    middles = images[(5 * 12, 14 * 12), :][:, [5 * 12, 14 * 12, 23 * 12]][..., 0]
    assert middles.tolist() == [[0, 128, 255], [255, 128, 0]]


def test_a_label_stands_beside_its_row_in_letters_of_any_language(tmp_path):
    x = torch.zeros(3, 1, 8, 8)
    picture = grid(tmp_path, x, 2, 1, ["", "ʃ", "наша $x_1$"])
    margin = picture.shape[1] - (9 + 1) * 12
    dark = [(picture[row * 108 + 12 : (row + 1) * 108, :margin] < 100).any() for row in range(3)]
    assert dark == [False, True, True]
    assert (picture[:, :4] == 255).all()


@pytest.mark.parametrize(("size", "zoom"), [((8, 8), 12), ((32, 32), 3), ((28, 28), 3), ((4, 48), 2), ((96, 96), 1),
                                            ((300, 200), 1)])  # fmt: skip
def test_small_images_are_enlarged_by_a_whole_factor_and_large_ones_are_not(tmp_path, size, zoom):
    picture = grid(tmp_path, torch.zeros(1, 1, *size), 2, 1, [""])
    assert picture.shape[:2] == ((size[0] + 2) * zoom, (size[1] + 2) * zoom + 12)


def test_a_long_label_takes_no_more_than_its_place(tmp_path):
    picture = grid(tmp_path, torch.zeros(1, 1, 8, 8), 2, 1, ["w" * 10_000])
    assert picture.shape[1] < 1000


# Pictures: what stands in a row is what its label says.


def test_every_row_of_a_grid_has_the_conditions_of_its_label():
    """Three classes, and a vector that the two examples at hand fill in."""
    model = SimpleNamespace(encoders={"fruit": ClassEmbedding(2, names=["a", "b", "c"]), "size": FeatureVector(1, 2)})
    conditions, labels = conditions_grid(model, {"size": torch.tensor([[10.0], [20.0]])})
    assert labels == ["a", "b", "c"]
    assert conditions["fruit"].tolist() == [0, 1, 2]
    assert conditions["size"].flatten().tolist() == [10, 20, 10]


def test_images_are_laid_out_in_rows_between_white_lines():
    canvas = tile(torch.tensor([0, 1, 2]).view(3, 1, 1, 1), levels=5, columns=2)
    white = 255
    assert canvas[..., 0].tolist() == [
        [white] * 5, [white, 0, white, 64, white], [white] * 5, [white, 128, white, white, white], [white] * 5,
    ]  # fmt: skip


@pytest.mark.parametrize(("classes", "size"), [(3, (300, 300)), (40, (2000, 2000)), (41, (800, 1200)),
                                               (100_000, (800, 1200))])  # fmt: skip
def test_a_picture_of_many_classes_stays_one_that_can_be_looked_at(tmp_path, classes, size):
    names = [f"speaker $_{i}" for i in range(classes)]
    counts = {(i % classes, (i * i) % classes): 1 + i % 3 for i in range(300)}
    save_counts(tmp_path / "read.png", counts, names, "speaker")
    width, height = Image.open(tmp_path / "read.png").size
    assert width <= size[0] + 10
    assert height <= size[1] + 10


def test_the_pairs_most_often_confused_are_shown_first(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_yticks", lambda self, places, labels: shown.extend(labels))
    counts = {(0, 0): 50, (1, 2): 3, (2, 1): 9, (5, 3): 4}
    save_counts(tmp_path / "read.png", counts, [f"s{i}" for i in range(60)], "speaker")
    assert shown == ["s2 → s1", "s5 → s3", "s1 → s2"]


@pytest.mark.parametrize("classes", [1, 39, 40, 41, 1000])
def test_some_classes_are_all_or_forty_evenly_spread(classes):
    shown = some_classes(classes)
    assert len(shown) == min(classes, 40)
    assert shown[0] == 0
    assert max(b - a for a, b in pairwise([*shown, classes])) <= -(-classes // 40)


def test_a_spectrogram_is_librosas():
    """Of a tone in noise, of silence, and of a clip shorter than the window."""
    librosa = pytest.importorskip("librosa")
    tone = np.sin(np.arange(2000) * 0.7) + 0.01 * np.random.default_rng(0).normal(size=2000)
    for waveform in (tone, np.zeros(500), tone[:100]):
        spectrum = np.abs(librosa.stft(waveform.astype(np.float32), n_fft=320, hop_length=40))
        wanted = librosa.amplitude_to_db(spectrum, ref=np.max, top_db=70)
        assert np.abs(decibels(waveform, 320, 40) - wanted).max() < 0.01
