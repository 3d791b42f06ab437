"""`condgen evaluate`: what a report holds for every kind of model."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch

from condgen.cli import main
from condgen.commands.measuring import enough_steps
from condgen.sampling import Samples


@pytest.mark.slow
def test_evaluate_writes_a_report_with_pictures(pixelcnn, evaluate, tmp_path, capsys):
    out = tmp_path / "report"
    assert evaluate(pixelcnn, out, "--num_samples", "60", "--limit", "50", "--classifier_steps", "20") == 0
    assert {path.name for path in out.iterdir()} == {"report.md", "report.json", "samples.png", "real.png",
                                                     "read_digit.png"}  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    assert report["likelihood"]["examples"] == 50
    assert report["likelihood"]["swap_gap"].keys() == {"digit"}
    assert report["samples"]["digit"]["count"] == 60
    assert (out / "report.md").read_text() in capsys.readouterr().out


@pytest.mark.slow
def test_evaluate_reports_reading_lessons_and_distances_of_a_generator(cdcgan, evaluate, tmp_path, capsys):
    options = ["--num_samples", "60", "--classifier_steps", "30", "--lesson_samples", "100"]
    assert evaluate(cdcgan, tmp_path / "r", *options) == 0
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
def test_samplings_are_those_of_the_next_seeds(cdcgan, evaluate, tmp_path):
    options = ["--num_samples", "60", "--classifier_steps", "30", "--lesson_samples", "0"]
    assert evaluate(cdcgan, tmp_path / "three", *options, "--samplings", "3", "--seed", "4") == 0
    report = json.loads((tmp_path / "three" / "report.json").read_text())
    found = report["samples"]["digit"]
    assert evaluate(cdcgan, tmp_path / "first", *options, "--seed", "4") == 0
    alone = json.loads((tmp_path / "first" / "report.json").read_text())["samples"]["digit"]
    assert found["samplings"][0] == alone["samplings"][0] == {name: alone[name] for name in alone["samplings"][0]}
    distances = [sampling["frechet"] for sampling in found["samplings"]]
    assert len(set(distances)) == 3
    assert found["frechet"] == pytest.approx(sum(distances) / 3)
    assert found["asked_and_read"] == alone["asked_and_read"]
    assert found["floor"] == alone["floor"]


@pytest.mark.slow
def test_evaluate_measures_audio_of_a_generator(cdcgan_audio, evaluate, tmp_path):
    options = ["--num_samples", "8", "--classifier_steps", "5", "--truncation", "0.5", "--weights", "live"]
    assert evaluate(cdcgan_audio, tmp_path / "r", *options) == 0
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["samples"].keys() == {"digit", "speaker"}
    assert (report["truncation"], report["weights"]) == (0.5, "live")
    assert soundfile.info(tmp_path / "r" / "sample_0.wav").frames == 1024


@pytest.mark.slow
def test_reports_name_bits_gaps_readings_and_copies(trained, evaluate, tmp_path):
    for model in ("wavenet_fsdd", "wavenet_fsdd_mel"):
        options = ["--num_samples", "8", "--classifier_steps", "3", "--temperature", "0.9"]
        assert evaluate(trained(model), tmp_path / model, *options) == 0
        report = json.loads((tmp_path / model / "report.json").read_text())
        assert report["likelihood"]["dim"] == "sample"
        assert 6 < report["likelihood"]["bits_per_dim"] < 9
        assert set(report["samples"]) == {"speaker", "digit"}
        assert (tmp_path / model / "samples.png").is_file()
        assert soundfile.info(tmp_path / model / "real_0.wav").samplerate == 8000
        assert "bits per sample" in (tmp_path / model / "report.md").read_text()
        assert ("copy_synthesis" in report) == (model == "wavenet_fsdd_mel")
    assert report["copy_synthesis"]["quantized"] < report["copy_synthesis"]["distance"]
    assert list(report["likelihood"]["swap_gap"]) == ["speaker"]
    first = json.loads((tmp_path / "wavenet_fsdd" / "report.json").read_text())
    assert list(first["likelihood"]["swap_gap"]) == ["speaker", "digit", "speaker + digit"]


def test_changes_of_the_data_that_it_does_not_know_are_one_line(pixelcnn, evaluate, tmp_path, one_line):
    assert evaluate(pixelcnn, tmp_path / "r", "--data.colour", "red") == 1
    one_line("data with {'colour': 'red'}", "colour")
    assert evaluate(pixelcnn, tmp_path / "r", "--data.batch_size", "many") == 1
    one_line("data with {'batch_size': 'many'}", "batch_size")
    assert list(tmp_path.iterdir()) == []


# `condgen evaluate`: what it is asked for reaches whoever does it.


CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.slow
def test_options_of_sampling_reach_the_sampler(tmp_path, monkeypatch):
    """Samples to be read, to teach and to look at are drawn alike, and the report says how."""
    assert main([
        "fit", "-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--model.network.channels", "4", "--model.network.layers",
        "2", "--model.network.head", "4", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1",
        "--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1", "--trainer.enable_progress_bar", "false",
        "--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(tmp_path), "--trainer.logger.save_dir",
        str(tmp_path),
    ]) == 0  # fmt: skip
    checkpoint = str(next(tmp_path.rglob("last.ckpt")))
    asked = []

    def draw(model, conditions, *, num_samples, **options):
        count = num_samples * len(conditions["digit"])
        asked.append({"count": count, **options})
        return Samples(torch.zeros(count, 1, 8, 8, dtype=torch.long), None, "none", "a test")

    for user in ("condgen.evaluation.samples", "condgen.commands.measuring"):
        monkeypatch.setattr(f"{user}.sampler", lambda model: draw)
    options = ["--temperature", "0.7", "--guidance", "1.5", "--film_guidance", "0.5", "--seed", "3", "--num_samples",
               "12", "--lesson_samples", "20", "--limit", "10", "--batch_size", "7", "--classifier_steps",
               "2"]  # fmt: skip
    assert main(["evaluate", "--ckpt_path", checkpoint, "--out", str(tmp_path / "out"), *options]) == 0
    found, pictured, taught = asked
    assert (found["count"], pictured["count"], taught["count"]) == (12, 120, 20)
    assert (found["batch_size"], taught["batch_size"]) == (7, 7)
    for name, value in (("temperature", 0.7), ("guidance", 1.5), ("film_guidance", 0.5)):
        assert {found[name], taught[name], pictured[name]} == {value}
    assert found["seed"] == 3
    assert len({found["seed"], taught["seed"]}) == 2
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["temperature"], report["guidance"], report["film_guidance"], report["seed"]) == (0.7, 1.5, 0.5, 3)
    assert report["likelihood"]["examples"] == 10


@pytest.mark.parametrize(("error", "status"), [(MemoryError(), 1), (KeyboardInterrupt(), 130), (ValueError("odd"), 1)])
def test_what_is_finished_is_kept_when_the_rest_fails(error, status, pixelcnn, evaluate, tmp_path, monkeypatch, capsys):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr("condgen.commands.measuring.assess", fail)
    options = ["--num_samples", "6", "--limit", "5", "--classifier_steps", "1"]
    assert evaluate(pixelcnn, tmp_path / "r", *options) == status
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["likelihood"]["examples"] == 5
    assert report["samples"] == {}
    assert report["stopped"] == {130: "Ctrl-C"}.get(status, str(error) or type(error).__name__)
    assert "Stopped before the end" in (tmp_path / "r" / "report.md").read_text()
    captured = capsys.readouterr()
    assert "are in" in captured.out
    assert "as far as they are finished" in captured.out
    assert "condgen: " in captured.err
    monkeypatch.setattr("condgen.commands.measuring.likelihood", fail)
    assert evaluate(pixelcnn, tmp_path / "none", *options) == status
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("examples", "steps"), [(1, 100), (15, 100), (128, 110), (640, 550), (1197, 1000),
                                                 (50_000, 1000)])  # fmt: skip
def test_the_steps_of_a_classifier_follow_the_size_of_the_data(examples, steps):
    assert enough_steps(SimpleNamespace(dataset=lambda split: range(examples if split == "train" else 7))) == steps


def test_every_part_is_announced_and_steps_are_those_that_are_asked_for(pixelcnn, evaluate, tmp_path, capsys):
    options = ["--num_samples", "6", "--limit", "5", "--classifier_steps", "2"]
    assert evaluate(pixelcnn, tmp_path / "r", *options) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("condgen: ")] == [
        "condgen: scoring 5 held-out examples", "condgen: drawing 6 samples",
        "condgen: training the classifiers of digit that read them, 2 steps each",
    ]  # fmt: skip
    assert json.loads((tmp_path / "r" / "report.json").read_text())["classifier_steps"] == 2


def test_samples_are_drawn_by_the_engine_that_was_asked_for(pixelcnn, cdcgan, evaluate, tmp_path, one_line):
    options = ["--num_samples", "6", "--limit", "5", "--classifier_steps", "1"]
    for engine in ("naive", "cached"):
        assert evaluate(pixelcnn, tmp_path / engine, *options, "--engine", engine) == 0
        assert json.loads((tmp_path / engine / "report.json").read_text())["engine"] == engine
    assert evaluate(pixelcnn, tmp_path / "o", *options, "--engine", "fast") == 1
    one_line("unknown engine 'fast'")
    assert evaluate(cdcgan, tmp_path / "o", *options, "--engine", "cached") == 1
    one_line("an adversarial generator, which takes no --engine")
