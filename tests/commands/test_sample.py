"""`condgen sample`: what is drawn, from which weights, by which engine; and that nothing half-written stays."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from condgen.checkpoint import Checkpoint
from condgen.cli import main
from condgen.engines.draw import Draw
from condgen.sampling import sample as draw_samples


def rows(out):
    return [json.loads(line) for line in Path(out, "manifest.jsonl").read_text().splitlines()]


def test_sampling_needs_only_the_checkpoint(pixelcnn, sample, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--condition.digit", "7,3", "--num_samples", "3", "--seed", "5"]
    assert sample(pixelcnn, "a", *options) == 0
    assert sorted(path.name for path in Path("a").iterdir()) == [
        "digit=3_0003.png", "digit=3_0004.png", "digit=3_0005.png", "digit=7_0000.png", "digit=7_0001.png",
        "digit=7_0002.png", "grid.png", "manifest.jsonl", "samples.npz",
    ]  # fmt: skip
    with np.load("a/samples.npz", allow_pickle=False) as file:
        assert file["samples"].shape == (6, 1, 8, 8)
        assert file["samples"].dtype == np.uint8
        assert file["samples"].max() < 17
        assert file["digit"].tolist() == [7, 7, 7, 3, 3, 3]
        samples, log_prob = file["samples"], file["log_prob"]
    found = rows("a")
    assert [row["index"] for row in found] == list(range(6))
    assert [row["conditions"]["digit"] for row in found] == list("777333")
    assert [row["log_prob"] for row in found] == log_prob.tolist()
    assert all(row["seed"] == 5 and len(row["checkpoint"]) == 64 and "torch" in row["versions"] for row in found)
    assert sample(pixelcnn, "b", *options, "--batch_size", "1", "--engine", "naive") == 0
    with np.load("b/samples.npz", allow_pickle=False) as file:
        assert (file["samples"] != samples).mean() < 0.01


def test_the_engine_is_named_in_a_line(pixelcnn, sample, tmp_path, capsys):
    options = ["--condition.digit", "7", "--device", "cpu"]
    assert sample(pixelcnn, tmp_path / "a", *options) == 0
    assert "; engine 'compiled' (numba, " in capsys.readouterr().out
    assert sample(pixelcnn, tmp_path / "b", *options, "--engine", "cached") == 0
    assert "; engine 'cached' (as asked)" in capsys.readouterr().out


def test_an_interrupted_run_keeps_the_batches_that_are_finished(pixelcnn, sample, tmp_path, monkeypatch, capsys):
    options = ["--condition.digit", "7,3", "--num_samples", "3", "--batch_size", "2"]
    assert sample(pixelcnn, tmp_path / "whole", *options) == 0
    original, seen = Draw.keep, []

    def keep(self, steps, parameters, values):
        seen.append(self)
        if len({id(draw) for draw in seen}) == 3:
            raise KeyboardInterrupt
        return original(self, steps, parameters, values)

    monkeypatch.setattr(Draw, "keep", keep)
    assert sample(pixelcnn, tmp_path / "part", *options) == 130
    assert "stopped after 2 of 3 batches, which are kept in" in capsys.readouterr().err
    assert not (tmp_path / "part").exists()
    kept = tmp_path / "part.unfinished" / "samples"
    assert sorted(path.name[-8:-4] for path in kept.glob("*.png")) == ["0000", "0001", "0002", "0003"]
    monkeypatch.undo()
    assert sample(pixelcnn, tmp_path / "part", *options) == 0
    whole, part = (np.load(tmp_path / name / "samples.npz") for name in ("whole", "part"))
    assert all((part[name] == whole[name]).all() for name in ("samples", "digit", "log_prob"))
    assert [row["index"] for row in rows(tmp_path / "part")] == [0, 1, 2, 3, 4, 5]
    assert not (tmp_path / "part.unfinished").exists()


def test_all_stands_for_every_class_and_options_are_passed_on(pixelcnn, sample, tmp_path):
    out = tmp_path / "all"
    options = ["--temperature", "0.5", "--top_k", "1", "--top_p", "0.9", "--device", "cpu"]
    assert sample(pixelcnn, out, "--condition.digit", "all", "--num_samples", "2", *options) == 0
    with np.load(out / "samples.npz") as file:
        assert file["digit"].tolist() == [digit for digit in range(10) for _ in range(2)]
        assert (file["samples"][::2] == file["samples"][1::2]).all()  # the mode alone is drawn: no noise is left


def test_guidance_reaches_the_sampler_and_the_manifest(make, sample, tmp_path, one_line):
    checkpoint = make.trained("pixelcnn_digits", tmp_path / "run", "--model.condition_dropout", "0.3")
    model = Checkpoint.open(checkpoint).model()
    assert model.film_generator.dropout == {"digit": 0.3}
    options = ["--condition.digit", "3,5", "--num_samples", "2", "--device", "cpu"]
    for name in ("guidance", "film_guidance"):
        out = tmp_path / name
        assert sample(str(checkpoint), out, *options, f"--{name}", "1.5") == 0
        digits = torch.tensor([3, 3, 5, 5])
        expected = draw_samples(model, {"digit": digits}, progress=False, **{name: 1.5}).x
        assert (np.load(out / "samples.npz")["samples"] == expected.numpy()).all()
        assert {row[name] for row in rows(out)} == {1.5}
    assert sample(str(checkpoint), tmp_path / "o", *options, "--guidance", "-3") == 1
    one_line("guidance -3.0 is not at least -1, which draws without conditions")


def test_guidance_of_a_model_that_knows_no_none_is_one_line(pixelcnn, sample, tmp_path, one_line):
    assert sample(pixelcnn, tmp_path / "o", "--condition.digit", "3", "--guidance", "1") == 1
    one_line("train it with --model.condition_dropout 0.1")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--temperature", "0"], ["temperature 0.0 is not at least 0.0001"]),
        (["--top_p", "2"], ["top_p 2.0 is not from 0.000001 to 1"]),
        (["--num_samples", "0"], ["num_samples 0"]),
        (["--engine", "warp"], ["unknown engine 'warp'", "cached, naive"]),
        (["--seed", "-3"], ["seed"]),
        (["--device", "tpu9"], ["device 'tpu9' is not available"]),
        (["--condition.digit", "2"], ["--condition.digit is given twice", "3,7"]),
        (["--num_sampels", "2"], ["num_sampels"]),
        (["--num_samples", "many"], ["num_samples"]),
    ],
)
def test_bad_requests_are_refused_in_one_line_and_leave_nothing(options, words, pixelcnn, sample, tmp_path, one_line):
    assert sample(pixelcnn, tmp_path / "out", "--condition.digit", "1", *options) == 1
    one_line(*words)
    assert list(tmp_path.iterdir()) == []


def test_samples_of_a_generator_do_not_depend_on_the_batch_size_and_differ_between_weights(cdcgan, sample, tmp_path):
    for name, options in {"one": [], "other": ["--batch_size", "7"], "live": ["--weights", "live"]}.items():
        assert sample(cdcgan, tmp_path / name, "--condition.digit", "all", "--num_samples", "2", *options) == 0
    one, other, live = (np.load(tmp_path / name / "samples.npz")["samples"] for name in ("one", "other", "live"))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, live)


@pytest.mark.parametrize(("options", "words"), [
    (["--truncation", "0"], ["truncation 0.0 is not more than 0"]),
    (["--weights", "best"], ["weights", "best"]),
    (["--num_samples", "0"], ["num_samples 0"]),
])  # fmt: skip
def test_values_out_of_range_are_one_line(options, words, cdcgan, sample, tmp_path, one_line):
    assert sample(cdcgan, tmp_path / "o", "--condition.digit", "all", *options) == 1
    one_line(*words)


@pytest.mark.slow
def test_a_sample_depends_on_seed_and_index_alone(draw, asked, tmp_path):
    options = [*asked(), "--num_samples", "3"]
    assert draw("wavenet_fsdd", tmp_path / "a", *options, "--seed", "4") == 0
    assert draw("wavenet_fsdd", tmp_path / "b", *options, "--seed", "4", "--batch_size", "1") == 0
    assert draw("wavenet_fsdd", tmp_path / "c", *options, "--seed", "5") == 0
    a, b, c = (np.load(tmp_path / name / "samples.npz")["samples"] for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert not np.array_equal(a[0], a[1])


@pytest.mark.slow
def test_copies_are_as_long_as_what_they_copy(draw, make, tmp_path):
    make.tone(tmp_path / "long.wav", 200, 1234)
    make.tone(tmp_path / "short.wav", 200, 500, rate=4000)
    mels = f"{tmp_path / 'long.wav'},{tmp_path / 'short.wav'}"
    assert draw("wavenet_fsdd_mel", tmp_path / "out", "--condition.speaker", "theo", "--condition.mel", mels) == 0
    names = [f"speaker=theo_mel={name}.wav_000{i}.wav" for i, name in enumerate(("long", "short"))]
    assert [soundfile.info(tmp_path / "out" / name).frames for name in names] == [1200, 960]
    assert not (tmp_path / "out" / "samples.npz").exists()


@pytest.mark.slow
def test_a_text_is_spoken_in_each_voice_and_a_bad_one_is_one_line(make, sample, tmp_path, one_line, capsys):
    pytest.importorskip("espeakng_loader", reason="the wheel espeakng-loader is not installed")
    places = ["--data.source.root", str(tmp_path / "espeak"), "--data.cache", str(tmp_path / "cache")]
    checkpoint = make.trained("wavenet_espeak", tmp_path, *places, "--data.source.texts", '["ten", "net", "tent"]',
                              "--data.source.pitches", "[50]")  # fmt: skip
    out, voices = tmp_path / "out", ["--condition.speaker", "all", "--condition.text"]
    assert sample(checkpoint, out, *voices, "net") == 0
    lengths = [soundfile.info(out / row["file"]).frames for row in rows(out)]
    assert all(1000 < n < 8000 and n % 40 == 0 for n in lengths)
    assert [row["conditions"]["speaker"] for row in rows(out)] == ["en-us+f2", "en-us+m3"]
    for text, words in (("Ω", ["cannot be spoken", "'Ω'"]), ("fish", ["phonemes that the data do not have", "ʃ"])):
        capsys.readouterr()
        assert sample(checkpoint, tmp_path / "other", *voices, text) == 1
        one_line(*words)
        assert not (tmp_path / "other").exists()


def test_more_than_a_thousand_samples_are_in_folders_that_may_be_overwritten(pixelcnn, sample, tmp_path, one_line):
    options = ["--condition.digit", "all", "--num_samples", "101", "--engine", "compiled"]
    assert sample(pixelcnn, tmp_path / "o", *options) == 0
    assert {p.name for p in (tmp_path / "o").iterdir()} == {"0000-0999", "1000-1999", "grid.png", "manifest.jsonl",
                                                            "samples.npz"}  # fmt: skip
    files = [row["file"] for row in rows(tmp_path / "o")]
    assert (files[0], files[1009]) == ("0000-0999/digit=0_0000.png", "1000-1999/digit=9_1009.png")
    assert all((tmp_path / "o" / file).is_file() for file in files)
    (tmp_path / "o" / "1000-1999" / "digit=9_1010.png").touch()
    assert sample(pixelcnn, tmp_path / "o", "--condition.digit", "1", "--overwrite") == 1
    one_line("holds more than results (1000-1999/digit=9_1010.png)")
    (tmp_path / "o" / "1000-1999" / "digit=9_1010.png").unlink()
    assert sample(pixelcnn, tmp_path / "o", "--condition.digit", "1", "--overwrite") == 0
    assert len(list((tmp_path / "o").iterdir())) == 4


def test_help_names_every_option_with_the_words_of_the_docstring(capsys):
    assert main(["sample", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "[MODEL]" in text
    assert "checkpoint that `condgen fit` wrote; --ckpt_path says the same" in text
    assert "--trust TRUST [TRUST ...]" in text
    assert "--weights {ema,live}" in text
