"""Adversarial generators on the command line: the same fit, sample and evaluate, and what is refused."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from condgen.checkpoint import load
from condgen.cli import main
from condgen.evaluation.samples import train_classifiers

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = [
    "--model.network.channels", "4", "--model.discriminator.channels", "4", "--trainer.max_epochs", "1",
    "--trainer.limit_train_batches", "3", "--trainer.accelerator", "cpu", "--trainer.check_val_every_n_epoch", "1",
    "--trainer.enable_progress_bar", "false",
]  # fmt: skip


def fit(folder, config, *options):
    logs = ["--trainer.default_root_dir", str(folder), "--trainer.logger.save_dir", str(folder)]
    with pytest.MonkeyPatch.context() as patch:  # the classifier that looks on need not be a good one
        patch.setattr(
            "condgen.training.callbacks.train_classifiers", lambda data, _, seed: train_classifiers(data, 3, seed)
        )
        return main(["fit", "-c", str(CONFIGS / f"{config}.yaml"), *SMALL, *logs, *options])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert fit(folder, "cdcgan_digits") == 0
    return str(next(folder.rglob("last.ckpt")))


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    (folder / "fsdd").mkdir()
    for digit, speaker, take in itertools.product((1, 2, 3), ("ann", "bob"), (0, 1, 5, 6, 7)):
        wave = 0.5 * np.sin(np.arange(600 + 100 * take) * (0.1 + 0.05 * digit))
        soundfile.write(folder / "fsdd" / f"{digit}_{speaker}_{take}.wav", wave, 8000)
    shapes = [f"--model.{part}.shape=[1,1024]" for part in ("network", "discriminator")]
    data = ["--data.source.root", str(folder / "fsdd"), "--data.cache", str(folder / "cache"), "--data.length", "1024"]
    assert fit(folder, "cdcgan_fsdd", *shapes, *data, "--data.batch_size", "4") == 0
    return str(next(folder.rglob("last.ckpt")))


@pytest.fixture(scope="module")
def pixelcnn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pixelcnn")
    assert main([
        "fit", "-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--model.network.channels", "4",
        "--model.network.layers", "2", "--model.network.head", "4", "--trainer.limit_train_batches", "1",
        "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false",
        "--trainer.default_root_dir", str(folder),
        "--trainer.logger.save_dir", str(folder),
    ]) == 0  # fmt: skip
    return str(next(folder.rglob("last.ckpt")))


def one_line(capsys, *words):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("condgen: error:")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_fit_leaves_checkpoints_figures_and_a_grid_per_class(checkpoint):
    run = Path(checkpoint).parents[1]
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/rank", "train/diversity", "val/rank", "val/frechet", "val/accuracy_digit"} <= set(header)


def test_grids_while_training_come_from_the_same_noise(tmp_path):
    options = ["--trainer.callbacks+", "condgen.training.SampleGrid", "--trainer.max_epochs", "2"]
    rates = ["--model.learning_rate", "0.0", "--trainer.limit_train_batches", "1", "--model.network.norm", "none"]
    assert fit(tmp_path, "cdcgan_digits", *options, *rates) == 0
    grids = [path.read_bytes() for path in sorted(tmp_path.rglob("samples/*.png"))]
    assert len(grids) == 2
    assert grids[0] == grids[1]


def sample(checkpoint, out, *options):
    return main(["sample", "--ckpt_path", checkpoint, "--condition.digit", "all", "--out", str(out), *options])


def test_sample_writes_what_it_writes_for_every_model(checkpoint, tmp_path):
    assert sample(checkpoint, tmp_path / "o", "--num_samples", "3", "--seed", "5", "--truncation", "0.8") == 0
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"samples.npz", "grid.png", "manifest.jsonl"}
    with np.load(tmp_path / "o" / "samples.npz") as arrays:
        assert set(arrays) == {"samples", "digit"}
        assert arrays["samples"].shape == (30, 1, 8, 8)
        assert arrays["samples"].dtype == np.uint8
        assert arrays["samples"].max() <= 16
        assert arrays["digit"].tolist() == [i // 3 for i in range(30)]
    row = json.loads((tmp_path / "o" / "manifest.jsonl").read_text().splitlines()[29])
    assert {k: row[k] for k in ("index", "conditions", "seed", "truncation", "weights")} == {
        "index": 29, "conditions": {"digit": "9"}, "seed": 5, "truncation": 0.8, "weights": "ema",
    }  # fmt: skip
    assert "temperature" not in row


def test_samples_do_not_depend_on_the_batch_size_and_differ_between_weights(checkpoint, tmp_path):
    for name, options in {"one": [], "other": ["--batch_size", "7"], "live": ["--weights", "live"]}.items():
        assert sample(checkpoint, tmp_path / name, "--num_samples", "2", *options) == 0
    one, other, live = (np.load(tmp_path / name / "samples.npz")["samples"] for name in ("one", "other", "live"))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, live)


def test_each_kind_of_weights_is_the_one_of_that_name(checkpoint):
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    for weights, prefix in (("ema", "model."), ("live", "generator.")):
        model = load(checkpoint, weights=weights)
        assert not model.training
        assert all(torch.equal(value, state[prefix + name]) for name, value in model.state_dict().items())


def test_live_weights_of_a_likelihood_model_are_the_last_ones(pixelcnn):
    checkpoint = torch.load(pixelcnn, weights_only=True)
    averaged, live = (load(pixelcnn, weights=weights).state_dict() for weights in ("ema", "live"))
    assert all(torch.equal(v, checkpoint["current_model_state"][f"model.{n}"]) for n, v in live.items())
    assert any(not torch.equal(v, averaged[n]) for n, v in live.items())


def test_audio_is_written_as_wav_files_of_its_length(audio, tmp_path):
    options = ["--condition.speaker", "bob", "--num_samples", "2"]
    assert (
        main(["sample", "--ckpt_path", audio, "--condition.digit", "1,2", "--out", str(tmp_path / "o"), *options]) == 0
    )
    waves = sorted((tmp_path / "o").glob("*.wav"))
    assert [soundfile.info(wave).frames for wave in waves] == [1024] * 4
    assert soundfile.info(waves[0]).samplerate == 8000
    with np.load(tmp_path / "o" / "samples.npz") as arrays:
        assert arrays["samples"].shape == (4, 1, 1024)
    assert json.loads((tmp_path / "o" / "manifest.jsonl").read_text().splitlines()[3])["samples"] == 1024


@pytest.mark.slow
def test_evaluate_reports_reading_lessons_and_distances_of_images(checkpoint, tmp_path, capsys):
    options = ["--num_samples", "60", "--classifier_steps", "30", "--lesson_samples", "100"]
    assert main(["evaluate", "--ckpt_path", checkpoint, "--out", str(tmp_path / "r"), *options]) == 0
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    found = report["samples"]["digit"]
    assert "likelihood" not in report
    assert {"accuracy", "shuffled", "coverage", "frechet", "within", "lesson", "floor"} <= found.keys()
    assert found["lesson"]["count"] == 100
    assert found["lesson"]["real_accuracy"] > found["lesson"]["accuracy"]  # a generator of three steps teaches nothing
    assert found["floor"]["shuffled"] < 0.3 < found["floor"]["accuracy"]
    text = capsys.readouterr().out
    assert "| held-out examples read right by a classifier trained on 100 of these alone |" in text
    assert {"report.md", "report.json", "samples.png", "real.png", "read_digit.png"} == {
        path.name for path in (tmp_path / "r").iterdir()
    }


@pytest.mark.slow
def test_evaluate_measures_audio(audio, tmp_path):
    options = ["--num_samples", "8", "--classifier_steps", "5", "--truncation", "0.5", "--weights", "live"]
    assert main(["evaluate", "--ckpt_path", audio, "--out", str(tmp_path / "r"), *options]) == 0
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["samples"].keys() == {"digit", "speaker"}
    assert (report["truncation"], report["weights"]) == (0.5, "live")
    assert soundfile.info(tmp_path / "r" / "sample_0.wav").frames == 1024


def test_a_run_goes_on_from_its_last_checkpoint(tmp_path):
    for epochs in ("1", "2"):
        again = ["--ckpt_path", "last"] if epochs == "2" else []
        assert fit(tmp_path, "cdcgan_digits", "--trainer.max_epochs", epochs, *again) == 0
    newest = max(tmp_path.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    assert torch.load(newest, weights_only=True)["global_step"] == 6


@pytest.mark.parametrize("option", [
    ["--temperature", "0.9"], ["--top_k", "3"], ["--top_p", "0.5"], ["--engine", "naive"], ["--keep_rows", "2"],
    ["--complete", "x.npy"], ["--prime", "x.wav"], ["--seconds", "1.0"],
])  # fmt: skip
def test_options_of_likelihood_models_are_refused(option, checkpoint, tmp_path, capsys):
    assert sample(checkpoint, tmp_path / "o", *option) == 1
    instead = "leave it out" if option[0] == "--engine" else "it takes --truncation"
    one_line(capsys, option[0], "is for likelihood models", instead)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("options", "words"), [
    (["--truncation", "0"], ["truncation 0.0 is not more than 0"]),
    (["--weights", "best"], ["weights", "best"]),
    (["--num_samples", "0"], ["num_samples 0"]),
])  # fmt: skip
def test_values_out_of_range_are_one_line(options, words, checkpoint, tmp_path, capsys):
    assert sample(checkpoint, tmp_path / "o", *options) == 1
    one_line(capsys, *words)


def test_a_label_that_does_not_exist_is_one_line(checkpoint, tmp_path, capsys):
    options = ["--condition.digit", "11", "--out", str(tmp_path / "o")]
    assert main(["sample", "--ckpt_path", checkpoint, *options]) == 1
    one_line(capsys, "condition 'digit' has no class '11'")


def test_a_pixelcnn_is_refused_where_a_generator_is_meant_and_the_other_way_round(
    checkpoint, pixelcnn, tmp_path, capsys
):
    for command in ("sample", "evaluate"):
        options = ["--condition.digit", "3"] if command == "sample" else []
        out = ["--out", str(tmp_path / "o"), *options]
        assert main([command, "--ckpt_path", pixelcnn, "--truncation", "0.5", *out]) == 1
        one_line(capsys, "--truncation is for adversarial generators", "a PixelCNN: use --temperature")
        assert main([command, "--ckpt_path", checkpoint, "--temperature", "0.5", *out]) == 1
        one_line(capsys, "--temperature is for likelihood models", "it takes --truncation")
    for option in ("--ckpt_path", "--weights"):
        assert fit(tmp_path, "cdcgan_digits", option, pixelcnn) == 1
        one_line(capsys, "last.ckpt holds a LikelihoodTask (PixelCNN), and the configuration trains a AdversarialTask")
        assert main(["fit", "-c", str(CONFIGS / "pixelcnn_digits.yaml"), option, checkpoint]) == 1
        one_line(capsys, "last.ckpt holds a AdversarialTask (Generator)", "trains a LikelihoodTask: they do not fit")


def test_a_size_that_does_not_fit_the_body_is_one_line(tmp_path, capsys):
    assert fit(tmp_path, "cdcgan_digits", "--model.network.shape", "[1, 30, 30]") == 1
    one_line(capsys, "multiples of 8; got 30 × 30: resize or crop the data, to 32 × 32")


def test_weight_averaging_in_the_configuration_is_one_line(tmp_path, capsys):
    assert fit(tmp_path, "cdcgan_digits", "--trainer.callbacks+", "condgen.training.EMA") == 1
    one_line(capsys, "averages its generator by itself", "remove EMA")


def test_clipping_and_accumulation_which_manual_optimization_lacks_are_one_line(tmp_path, capsys):
    for option in (["--trainer.gradient_clip_val", "1.0"], ["--trainer.accumulate_grad_batches", "2"]):
        assert fit(tmp_path, "cdcgan_digits", *option) == 1
        one_line(capsys, "manual optimization")
