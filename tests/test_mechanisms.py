"""The study of mechanisms: its data, its figures on planted cases, equal parameter counts, and that it runs."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy import stats

from condgen.analysis import variance_between
from condgen.conditioning import ClassEmbedding, FiLMParameters, GammaBeta
from condgen.data import Batch, Digits
from condgen.models import ConditionalModel, PixelCNN

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
sys.path.insert(0, str(RECIPES))  # recipes import each other by name

import mechanism_cells as cells  # noqa: E402
import mechanism_data as data  # noqa: E402
import mechanism_measures as measures  # noqa: E402
import mechanism_tables as tables  # noqa: E402
import mechanisms  # noqa: E402

NAMES = {
    "digits": {"digit": list("0123456789")},
    "shifted digits": {"digit": list("0123456789")},
    "GAN digits": {"digit": list("0123456789")},
    "tones": {"pitch": list("abcdef"), "timbre": list("abcde"), "pair": list(map(str, range(30)))},
    "spoken digits": {"speaker": list("abcdef"), "digit": list("0123456789"), "pair": list(map(str, range(60)))},
}


def test_shifted_digits_are_digits_up_to_two_pixels_from_the_middle():
    shifted, plain = data.ShiftedDigits(copies=2).load("train"), Digits().load("train")
    assert shifted.x.shape == (2 * len(plain.x), 1, 12, 12)
    assert torch.equal(shifted.conditions["digit"], plain.conditions["digit"].repeat(2))
    places = set()
    for i in range(200):
        windows = shifted.x[i, 0].unfold(0, 8, 1).unfold(1, 8, 1)
        found = (windows == plain.x[i, 0]).all(-1).all(-1).nonzero().tolist()
        assert found
        places.add(tuple(found[0]))
    assert {row for row, _ in places} == {column for _, column in places} == set(range(5))


@pytest.mark.parametrize(("timbre", "strongest"), [("sine", 1), ("octave", 2), ("reed", 3)])
def test_a_tone_has_the_pitch_and_the_harmonics_that_it_says(timbre, strongest):
    waveform = data.tone(np.random.default_rng(0), 320, timbre, samples=4000)
    assert abs(np.abs(np.fft.rfft(waveform)).argmax() / (320 * strongest) - 1) < 0.021


def test_tones_are_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "TONES", {"train": 2, "val": 1, "test": 1})
    source = data.Tones(str(tmp_path))
    files = sorted(tmp_path.rglob("*.wav"))
    assert len(files) == 4 * len(data.PITCHES) * len(data.TIMBRES)
    assert {clip.path for split in ("train", "val", "test") for clip in source.clips(split)} == set(files)
    before = [file.stat().st_mtime_ns for file in files]
    data.Tones(str(tmp_path))
    assert [file.stat().st_mtime_ns for file in files] == before
    pairs = data.Pairs(source)
    seen = {tuple(clip.labels[name] for name in ("pitch", "timbre")) for clip in pairs.clips("train")}
    held_out = {(p, t) for i, p in enumerate(pairs.names["pitch"]) for j, t in enumerate(pairs.names["timbre"])
                if data.is_held_out(i, j)}  # fmt: skip
    assert seen | held_out == {tuple(pair.split("_")) for pair in pairs.names["pair"]}
    assert not seen & held_out
    assert len(pairs.clips("test")) == 30


def test_recordings_are_cut_to_their_beginning(tmp_path):
    source = tmp_path / "whole"
    source.mkdir()
    waveform = np.linspace(-0.5, 0.5, 4000)
    soundfile.write(source / "7_ann_0.wav", waveform, 8000, subtype="PCM_16")
    for take in (5, 9):  # of the other splits
        soundfile.write(source / f"7_ann_{take}.wav", waveform[:1000], 8000, subtype="PCM_16")
    data.cut(str(source), tmp_path / "cut")
    assert [len(soundfile.read(tmp_path / "cut" / f"7_ann_{take}.wav")[0]) for take in (0, 5, 9)] == [2400, 1000, 1000]
    assert np.allclose(soundfile.read(tmp_path / "cut" / "7_ann_0.wav")[0], waveform[:2400], atol=1e-4)


@pytest.mark.parametrize(("first", "second"), [(6, 5), (6, 10)])
def test_a_fifth_of_the_pairs_is_held_out_and_every_class_is_seen(first, second):
    out = np.array([[data.is_held_out(i, j) for j in range(second)] for i in range(first)])
    assert out.mean() == 0.2
    assert (out.mean(0) < 0.5).all()
    assert (out.mean(1) < 0.5).all()


@pytest.mark.parametrize("family", cells.FAMILIES)
def test_mechanisms_have_equally_many_parameters_and_the_same_network(family):
    sizes, networks = {}, {}
    for conditioning in tables.MECHANISMS:
        cell = cells.Cell("mechanisms", family, conditioning, seed=3)
        if cell not in mechanisms.every_cell(family, 3):
            continue
        features = cells.matched(cell, NAMES[family])
        task = cells.build(cell, NAMES[family], features)
        sizes[conditioning] = cells.count(task.model.film_generator)
        networks[conditioning] = task.model.network.state_dict()
    wanted = sizes["film"]
    assert all(abs(size / wanted - 1) < 0.06 for name, size in sizes.items() if name != "none"), sizes
    for name, weights in networks.items():
        if (family, name) != ("GAN digits", cells.POSITION_WISE):  # its later norms have an affine part of their own
            assert all(torch.equal(value, networks["none"][key]) for key, value in weights.items())


@pytest.mark.parametrize("family", cells.FAMILIES)
def test_a_cell_is_trained_as_its_family_says(family):
    task = cells.build(cells.Cell("mechanisms", family, "film", 0, 1, "small"), NAMES[family], 3)
    rate = task.learning_rates[0] if family == "GAN digits" else task.learning_rate
    assert rate == cells.FAMILIES[family].learning_rate
    assert task.model.film_generator.dropout == {}
    assert task.model.film_generator.conditioning == "film"
    assert all(len(hidden) == 2 for hidden in task.model.film_generator.hidden.values())


def test_every_cell_is_listed_once_and_has_a_file_of_its_own(tmp_path):
    every = [cell for seed in range(2) for family in cells.FAMILIES for cell in mechanisms.every_cell(family, seed)]
    assert len({cell.file(cells.Place(tmp_path)) for cell in every}) == len(every)


def test_the_share_between_maps_is_that_of_a_sum_by_hand():
    gamma = torch.tensor([[0.0, 4.0], [2.0, 6.0]])  # means 1 and 5, within 1
    beta = torch.tensor([[0.0, 0.0], [2.0, 2.0]])  # means 1 and 1, within 1
    constant = torch.tensor([[7.0, -7.0]])
    film = FiLMParameters({"layer": GammaBeta(gamma, beta), "other": GammaBeta(beta=constant)})
    assert measures.share_between_maps(film) == pytest.approx(4 / (4 + 1 + 1))
    assert measures.share_between_maps(FiLMParameters({"layer": GammaBeta(beta=constant)})) is None
    spatial = FiLMParameters({"layer": GammaBeta(beta=gamma.reshape(2, 2, 1, 1).expand(2, 2, 3, 3))})
    assert measures.share_between_maps(spatial) == pytest.approx(4 / 5)


def test_the_share_between_maps_is_that_of_the_packages_analysis():
    gamma, beta = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 6)
    found = measures.share_between_maps(FiLMParameters({"layer": GammaBeta(gamma, beta)}))
    assert found == pytest.approx(variance_between(torch.stack([gamma, beta], 2).double().numpy()))


class Along(ConditionalModel):
    """Says a log-probability that is a function of how far its FiLM parameters are along a way from 0 to 1."""

    def __init__(self, function):
        network = PixelCNN((1, 8, 8), 17, channels=4, layers=1, head=4, first_kernel_size=3)
        super().__init__(network, {"digit": ClassEmbedding(1, num_classes=2)})
        self.function = function

    def film(self, conditions):
        return FiLMParameters({"layer": GammaBeta(beta=conditions["digit"][:, None].double())})

    def log_prob(self, x, conditions, scored=None):
        return self.function(conditions["layer"].beta[:, 0])


@pytest.mark.parametrize(
    ("function", "largest"), [(lambda place: 3 * place, 1), (lambda place: 5.0 * (place > 0.3), 8)]
)
def test_the_largest_step_is_1_on_an_even_way_and_8_where_all_happens_at_once(function, largest):
    test = Batch(torch.zeros(4, 1, 8, 8), {"digit": torch.tensor([0, 1, 0, 1])})
    assert measures.largest_step(Along(function), test, None) == pytest.approx(largest)


def test_an_interval_is_students():
    mean, half = tables.interval([1.0, 2.0, 4.0])
    low, high = stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem([1, 2, 4]))
    assert (mean - half, mean + half) == (pytest.approx(low), pytest.approx(high))
    assert math.isnan(tables.interval([1.0])[1])
    assert tables.write([0.5, None], ".0f", 100) == "50"
    assert tables.write([None], ".0f") == "–"


def test_the_page_has_the_tables_of_the_results_that_lie_beside_it_and_is_small():
    page = RECIPES / "mechanisms" / "README.md"
    results = json.loads((page.parent / "results.json").read_text())
    assert tables.tables(results) in page.read_text()
    linked = {(page.parent / name).resolve() for name in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text())}
    assert {path for path in page.parent.iterdir() if path != page} == linked
    assert sum(path.stat().st_size for path in linked if path.suffix == ".png") < 1_000_000


@pytest.mark.slow
def test_the_study_runs_in_miniature_and_repeats_nothing(tmp_path):
    command = [sys.executable, str(RECIPES / "mechanisms.py"), "--out", "out", "--seeds", "1", "--quick", "true",
               "--families", '["digits", "tones"]']  # fmt: skip

    def run(*options):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run([*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True,
                              timeout=900)  # fmt: skip

    first = run()
    assert first.returncode == 0, first.stderr[-2000:]
    assert "22 of 22 cells to train" in first.stdout
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "results").iterdir()}
    assert len(files) == 22
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert all(result["processor"] and result["seconds"]["training"] > 0 for result in results)
    next(iter(files)).unlink()
    assert "1 of 22 cells to train" in run().stdout
    assert sum(file.stat().st_mtime_ns == written for file, written in files.items()) == 21
    for row in ("| `gate` |", "| position-wise bias |", "| `film`, joint lookup |", "| depth 2, zero |"):
        assert row in (tmp_path / "out" / "tables.md").read_text()
    assert all((tmp_path / "out" / name).stat().st_size < 500_000 for name in ("mechanisms.png", "pairs.png"))


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--families", "[tunes]"], "no family 'tunes'; there are: tones, shifted digits, digits"),
     (["--fsdd", "nowhere"], "nowhere is no folder; --fsdd names that of the Free Spoken Digit Dataset"),
     (["--families", '["spoken digits"]'], "'spoken digits' needs the Free Spoken Digit Dataset"),
     (["--workers", "0"], "workers 0 and seeds 5 are to be at least 1")],
)  # fmt: skip
def test_bad_options_are_one_line_and_write_nothing(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as found:
        mechanisms.auto_cli(mechanisms.main, args=options)
    assert str(found.value).startswith("mechanisms: ")
    assert message in str(found.value)
    assert not list(tmp_path.iterdir())
