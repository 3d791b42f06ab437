"""Every recipe runs, in miniature."""

import hashlib
import itertools
import json
import os
import re
import runpy
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from condgen.cli import main

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "recipes"


def run(recipe, *options, cwd):
    command = [sys.executable, str(RECIPES / recipe), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # tests share the cores
    found = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout


@pytest.mark.slow
def test_the_demo_trains_samples_and_measures(tmp_path):
    pytest.importorskip("espeakng_loader", reason="the wheel espeakng-loader is not installed")
    (tmp_path / "data").mkdir()
    found = run("demo.py", "--max_epochs", "1", "--classifier_steps", "20", "--speech_epochs", "1", cwd=tmp_path)
    assert "bits/dim. Samples read as the digit asked for" in found
    assert (tmp_path / "runs/demo/samples/grid.png").is_file()
    assert (tmp_path / "runs/demo/report/real.png").is_file()


@pytest.mark.slow
def test_the_comparison_has_a_row_per_mechanism_and_repeats_nothing(tmp_path):
    options = ["--conditionings", "[film]", "--max_epochs", "1", "--classifier_steps", "5"]
    monitored = tmp_path / "runs" / "compare_conditioning" / "film_0" / "report" / "report.json"
    first = run("compare_conditioning.py", *options, cwd=tmp_path)
    written = monitored.stat().st_mtime_ns
    assert run("compare_conditioning.py", *options, cwd=tmp_path) == first
    assert monitored.stat().st_mtime_ns == written
    assert [line.split("|")[1].strip(" `") for line in first.splitlines()[2:]] == ["film"]


@pytest.mark.slow
def test_the_sampling_benchmark_writes_a_row_per_engine_and_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = (
        "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --trainer.limit_val_batches 1 --trainer.accelerator cpu"
    )
    assert main(["fit", "-c", str(RECIPES.parent / "configs/pixelcnn_digits.yaml"), *small.split()]) == 0
    checkpoint = "runs/pixelcnn_digits/version_0/checkpoints/last.ckpt"
    names = ["PixelCNN, digits 8×8, 17 levels", "WaveNet, 30 layers, 64/128/64, softmax-256"]
    options = ["--batches", "[1]", "--threads", "[1]", "--seconds", "0.01", "--repeats", "1", "--compile", "false",
               "--models", json.dumps(names)]  # fmt: skip
    command = [sys.executable, str(RECIPES / "benchmark_sampling.py"), "--checkpoints", '{"none.ckpt": {}}']
    refused = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
    assert "benchmark_sampling: checkpoint none.ckpt does not exist" in refused.stderr
    compared = json.dumps({checkpoint: {"digit": "3"}})
    found = run("benchmark_sampling.py", *options, "--json", "rows.json", "--checkpoints", compared, cwd=tmp_path)
    assert "Streams in chunks of 160, 800, 4000 samples keep" in found
    assert f"{checkpoint}: rounding decided 0 of 2,048 draws; 16-bit weights cost" in found
    rows = json.loads((tmp_path / "rows.json").read_text())
    engines = ("naive", "cached", "compiled", "compiled_bfloat16")
    assert {(row["model"], row["engine"]) for row in rows} == {(m, e) for m in names for e in engines}
    assert len(rows) == 8
    for row in rows:
        assert {"batch", "threads", "samples_per_second", "samples_per_cpu_second", "matmul_fraction"} <= set(row)
        assert row["samples_per_cpu_second"] > 0
        assert row["model"] in found
    assert (tmp_path / "runs" / "benchmark_sampling" / "table.png").is_file()
    assert (tmp_path / "runs" / "benchmark_sampling" / "table.md").read_text() == found


@pytest.mark.slow
def test_the_training_benchmark_compares_the_networks_before_it_times_them(tmp_path):
    names = ["WaveNet, 30 layers, 64/128/64", "PixelCNN, 32×32×3, 8 layers, 96 channels"]
    # Where a processor does not multiply in 16 bits, a step of these models takes minutes.
    variants = ["condgen", "channels-last", *(["bf16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else [])]
    options = ["--variants", json.dumps(variants), "--repeats", "1", "--json", "rows.json",
               "--models", json.dumps(names)]  # fmt: skip
    found = run("benchmark_training.py", *options, cwd=tmp_path)
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["variant"] for row in rows} == {"plain nn.Conv", *variants}
    assert {row["model"] for row in rows} == set(names)
    assert all(0 < row["matmul_fraction"] < 2 and row["model"] in found for row in rows)
    assert (tmp_path / "runs" / "benchmark_training" / "table.md").read_text() == found


@pytest.mark.slow
def test_a_model_that_comes_with_the_package_is_made_by_one_command(tmp_path):
    checkpoint = ROOT / "tests" / "checkpoints" / "pixelcnn_digits.format1.ckpt"
    report = {
        "checkpoint": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "weights": "ema",
        "seed": 0,
        "samples": {},
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    run(
        "pretrained.py",
        "digits",
        "--ckpt_path",
        str(checkpoint),
        "--report",
        "report.json",
        "--into",
        "made",
        cwd=tmp_path,
    )
    card = (tmp_path / "made" / "digits" / "README.md").read_text()
    assert "condgen fit -c pixelcnn_digits" in card
    assert "Not said" not in card


def test_the_makefile_runs_the_demo_and_the_tests():
    makefile = (RECIPES.parent / "Makefile").read_text()
    assert "recipes/demo.py" in makefile
    assert "pytest" in makefile
    assert "make test" in (RECIPES.parent / ".ci" / "run").read_text()


def write_mnist(folder):
    """Write noise in the layout of MNIST, with every digit in every split."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, count in (("train", 10_100), ("t10k", 40)):
        images = generator.integers(0, 256, (count, 28, 28), np.uint8)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())


@pytest.mark.slow
def test_the_adversarial_recipe_measures_the_best_and_the_last_checkpoint(tmp_path):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    write_mnist(tmp_path / "mnist")
    run("adversarial_mnist.py", "mnist", "--max_epochs", "1", "--num_samples", "20", "--classifier_steps", "1",
        cwd=tmp_path)  # fmt: skip
    for kind in ("best", "last"):
        report = json.loads((tmp_path / f"runs/adversarial_mnist/report_{kind}/report.json").read_text())
        assert report["samples"]["digit"]["lesson"]["count"] == 100
    assert (tmp_path / "runs/adversarial_mnist/samples/grid.png").is_file()


@pytest.mark.slow
def test_the_comparison_of_augmentation_trains_on_as_many_examples_as_it_says_and_repeats_nothing(tmp_path):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    write_mnist(tmp_path / "mnist")
    options = ["mnist", "--examples", "[4]", "--steps", "2", "--channels", "4", "--num_samples", "20",
               "--classifier_steps", "1"]  # fmt: skip
    first = run("compare_augmentation.py", *options, cwd=tmp_path)
    assert "| 4 | nothing |" in first
    assert "| 4 | level, shift, cutout |" in first
    checkpoints = list((tmp_path / "runs/compare_augmentation").rglob("last.ckpt"))
    stored = [torch.load(checkpoint, weights_only=True) for checkpoint in checkpoints]
    assert {count for s in stored for count in s["class_examples"]["digit"].values()} == {4}
    assert sorted(len(s["hyper_parameters"]["augment"]) for s in stored) == [0, 3]
    written = [path.stat().st_mtime_ns for path in checkpoints]
    assert run("compare_augmentation.py", *options, cwd=tmp_path) == first
    assert [path.stat().st_mtime_ns for path in checkpoints] == written


@pytest.mark.slow
def test_the_adversarial_comparison_writes_a_table_and_its_plot_and_repeats_nothing(tmp_path):
    options = ["--rows", '["concat | concat (the original)"]', "--seeds", "1", "--max_epochs", "10",
               "--classifier_steps", "5"]  # fmt: skip
    first = run("compare_adversarial.py", *options, cwd=tmp_path)
    figures = next(tmp_path.rglob("figures.json"))
    written = figures.stat().st_mtime_ns
    assert run("compare_adversarial.py", *options, cwd=tmp_path) == first
    assert figures.stat().st_mtime_ns == written
    assert first.count("| concat | concat (the original) |") == 2  # the last checkpoint and the best
    assert (tmp_path / "runs/compare_adversarial/table.md").read_text() == first
    assert (tmp_path / "runs/compare_adversarial/table.png").is_file()


def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOUR_EPOCHS", "1")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    cells = json.loads((RECIPES / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    assert 20 <= len(cells) <= 30
    names: dict = {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"tour.ipynb, cell {number}", "exec"), names)
    assert names["between"].images().shape == (9, 8, 8)
    assert names["film"].flatten().shape[0] == 10
    assert "torch.tensor(" not in "".join(line for cell in cells for line in cell["source"])


def test_one_class_turns_into_another(tmp_path, monkeypatch):
    """The ends of a row are what the classes themselves look like with the same noise."""
    import condgen

    monkeypatch.chdir(tmp_path)
    checkpoint = ROOT / "tests" / "checkpoints" / "cdcgan_digits.format1.ckpt"
    main = runpy.run_path(str(RECIPES / "interpolation.py"))["main"]
    main(str(checkpoint), out="between.png", rows=2, steps=3, seed=0, zoom=1)
    picture = np.array(Image.open("between.png"))
    model = condgen.load(checkpoint)
    names = model.conditions["digit"]
    size = picture.shape[0] // 2
    for row, pair in enumerate(((names[0], names[2]), (names[2], names[4]))):
        ends = model.sample(digit=list(pair), seed=[row, row]).images()
        rows = picture[row * size : (row + 1) * size]
        assert (rows[:, :size] == ends[0]).all()
        assert (rows[:, -size:] == ends[1]).all()


@pytest.mark.slow
def test_the_gallery_draws_a_row_per_class_and_says_every_word(tmp_path):
    run("gallery.py", "--out", "shown", "--models", '["digits", "spoken_digits"]', "--columns", "2", cwd=tmp_path)
    with Image.open(tmp_path / "shown" / "digits.png") as grid:
        assert grid.height > 4 * grid.width
    with Image.open(tmp_path / "shown" / "spoken_digits.png") as drawn:
        assert drawn.width > 1000
    sound = soundfile.info(tmp_path / "shown" / "spoken_digits.wav")
    assert (sound.samplerate, sound.frames) == (8000, 60 * (3600 + 1000))  # six speakers, ten digits, and pauses


def test_the_gallery_shows_what_lies_in_it_and_is_small():
    page = RECIPES / "gallery" / "README.md"
    linked = {(page.parent / name).resolve() for name in re.findall(r"\]\(([^)]+)\)", page.read_text())}
    assert all(path.is_file() for path in linked)
    kept = {path for path in page.parent.iterdir() if path != page}
    assert kept <= linked
    assert sum(path.stat().st_size for path in kept) < 3_000_000


@pytest.mark.slow
def test_the_curve_of_guidance_has_a_row_per_weight_and_repeats_nothing(make, tmp_path):
    checkpoint = make.trained("pixelcnn_digits", tmp_path / "run", "--model.condition_dropout", "0.3")
    options = [str(checkpoint), "--weights", "[0, 2]", "--num_samples", "20", "--samplings", "2", "--classifier_steps",
               "1"]  # fmt: skip
    first = run("guidance.py", *options, cwd=tmp_path)
    rows = [line.split(" | ")[:2] for line in first.splitlines()[2:] if line]
    assert rows == [["| logits", "0"], ["| logits", "2"], ["| FiLM parameters", "2"]]
    out = tmp_path / "runs" / "guidance"
    points = json.loads((out / "points.json").read_text())
    assert [(p["kind"], p["weight"], p["seed"]) for p in points] == [
        ("guidance", 0, 0), ("guidance", 0, 1), ("guidance", 2, 0), ("guidance", 2, 1), ("film_guidance", 2, 0),
        ("film_guidance", 2, 1),
    ]  # fmt: skip
    assert (out / "guidance.png").is_file()
    written = (out / "points.json").stat().st_mtime_ns
    assert run("guidance.py", *options, cwd=tmp_path) == first
    assert (out / "points.json").stat().st_mtime_ns == written


@pytest.mark.slow
def test_the_page_of_task_representations_is_made_of_what_there_is(tmp_path):
    found = run("task_representations.py", "--classifier_steps", "2", cwd=tmp_path)
    assert re.search(r"^\| digits \| bias \| 10 \| 960 \|.* bits/dim \|$", found, re.MULTILINE)
    pictures = {path.name for path in (tmp_path / "recipes" / "task_representations").iterdir()}
    assert pictures == {"digits_path_digit.png", "digits_ablation.png"}


@pytest.mark.slow
def test_the_few_shot_curve_has_a_row_per_cell_and_repeats_nothing(tmp_path, make):
    for speakers, name in ((("george", "theo", "lucas"), "joint"), (("george", "theo"), "base")):
        for digit, (number, speaker), take in itertools.product(range(2), enumerate(speakers), range(9)):
            make.tone(tmp_path / name / f"{digit}_{speaker}_{take}.wav", 150 + 90 * number + 300 * digit, 1600)
        data = ["--data.source.root", str(tmp_path / name), "--data.cache", str(tmp_path / "cache")]
        (tmp_path / f"{name}.ckpt").write_bytes(
            Path(make.trained("wavenet_fsdd", tmp_path / f"{name}_run", *data)).read_bytes()
        )
    options = ["base.ckpt", "joint", "--joint", "joint.ckpt", "--clips", "[3]", "--seeds", "1", "--steps", "2",
               "--classifier_steps", "2"]  # fmt: skip
    first = run("few_shot.py", *options, cwd=tmp_path)
    rows = [line.split("|")[1:3] for line in first.splitlines()[2:]]
    assert [tuple(map(str.strip, row)) for row in rows] == [
        ("nothing: the mean of all speakers", "0"), ("embedding", "3"), ("film", "3"),
        ("all, with the other speakers", "all"), ("real clips", ""),
    ]  # fmt: skip
    out = tmp_path / "runs" / "few_shot"
    assert (out / "curve.png").is_file()
    report = json.loads((out / "report.json").read_text())
    assert {(cell["what"], cell["clips"]) for cell in report["cells"]} == {(what, 3) for what in ("embedding", "film")}
    adapted = json.loads((out / "film_3_0" / "model" / "config.json").read_text())["adapted"]
    assert (adapted["class"], adapted["examples"], adapted["what"]) == ("lucas", 3, "film")
    written = (out / "film_3_0" / "figures.json").stat().st_mtime_ns
    assert run("few_shot.py", *options, cwd=tmp_path) == first
    assert (out / "film_3_0" / "figures.json").stat().st_mtime_ns == written


@pytest.mark.slow
def test_what_is_shown_or_told_is_measured_beside_real_examples_and_repeats_nothing(tmp_path, make):
    for speakers, name in ((("george", "theo", "lucas"), "all"), (("george", "theo"), "base")):
        for digit, (number, speaker), take in itertools.product(range(2), enumerate(speakers), range(8)):
            make.tone(tmp_path / name / f"{digit}_{speaker}_{take}.wav", 150 + 90 * number + 300 * digit, 1600)
    data = {
        "wavenet_fsdd_voice": ["--data.source.root", str(tmp_path / "base"), "--data.cache", str(tmp_path / "cache")],
        "pixelcnn_captions": ["--data.source.copies", "1"],
        "cdcgan_captions": ["--data.source.copies", "1"],
    }
    for name, own in data.items():
        checkpoint = make.trained(name, tmp_path / f"{name}_run", *own)
        (tmp_path / f"{name}.ckpt").write_bytes(Path(checkpoint).read_bytes())
    told = '["pixelcnn_captions.ckpt", "cdcgan_captions.ckpt"]'
    options = ["--voice", "wavenet_fsdd_voice.ckpt", "--root", "all", "--captions", told, "--clips", "3", "--pictures",
               "4", "--samplings", "2", "--classifier_steps", "2"]  # fmt: skip
    first = run("shown.py", *options, cwd=tmp_path)
    out = tmp_path / "runs" / "shown"
    report = json.loads((out / "report.json").read_text())
    assert report["voice"]["clips"] == 3
    for model, kind in itertools.product(("pixelcnn_captions", "cdcgan_captions"), ("seen", "never together")):
        found = report["captions"][model][kind]
        assert found["captions"] == 4
        assert set(found["real"]) == {"size", "digit", "place", "all"}
        assert len(found["samplings"]) == 2
        assert found["real"] == report["captions"]["pixelcnn_captions"][kind]["real"]  # read by the same classifiers
    assert "Nearer to lucas than in average voice" in first
    assert sorted(path.name for path in out.iterdir()) == [
        "captions", "prepared", "report.json", "shown.png", "table.md", "voice",
    ]  # fmt: skip
    assert {path.name.rpartition("_")[2] for path in (out / "voice").glob("*.wav")} == {
        "real.wav", "shown.wav", "another.wav", "average.wav",
    }  # fmt: skip
    written = (out / "voice" / "sampling_0.json").stat().st_mtime_ns
    assert run("shown.py", *options, cwd=tmp_path) == first
    assert (out / "voice" / "sampling_0.json").stat().st_mtime_ns == written
