"""A run that goes on: one folder, figures appended and none twice, the best kept, and a torn last file passed over."""

import csv
import os
from pathlib import Path

import pytest
import torch
from jsonargparse import Namespace

from condgen.cli import main
from condgen.commands.going_on import find_last
from condgen.commands.one_run import stay_in_its_folder

RUN = Path("runs/pixelcnn_digits/version_0")
SMALL = ["--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1", "--trainer.accelerator", "cpu",
         "--model.samples_every_n_epochs", "0"]  # fmt: skip


def fit(epochs, *options):
    return main(["fit", "-c", "pixelcnn_digits", *SMALL, "--trainer.max_epochs", str(epochs), *options])


def figures():
    with open(RUN / "metrics.csv", newline="") as text:
        return list(csv.DictReader(text))


def folders():
    return sorted(path.name for path in RUN.parent.iterdir())


def test_continuations_are_one_run_with_all_figures_and_its_best(capsys):
    assert fit(2, "--model.learning_rate", "1e-2") == 0
    before, best = figures(), torch.load(RUN / "checkpoints/best.ckpt", weights_only=True)
    assert {row["step"] for row in before} == {"1", "3"}
    score = min(float(row["val/bits_per_dim"]) for row in before if row["val/bits_per_dim"])
    for epochs in (3, 4):
        assert fit(epochs, "--ckpt_path", "last") == 0
    assert folders() == ["version_0"]
    after = figures()
    assert [[row[name] for name in before[0]] for row in after[: len(before)]] == [[*row.values()] for row in before]
    steps = [
        (row["step"], name) for row in after for name, value in row.items() if value and name not in ("step", "epoch")
    ]
    assert len(steps) == len({*steps})  # nothing is logged twice
    assert {step for step, _ in steps} == {"1", "3", "5", "7"}
    found = torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)
    kept = next(c for c in found["callbacks"].values() if c.get("monitor") == "val/bits_per_dim")
    scores = [float(row["val/bits_per_dim"]) for row in after if row["val/bits_per_dim"]]
    assert len(scores) == 4
    assert float(kept["best_model_score"]) == pytest.approx(min(score, *scores))
    assert best["global_step"] <= torch.load(RUN / "checkpoints/best.ckpt", weights_only=True)["global_step"]


def test_what_was_logged_after_the_checkpoint_is_logged_again_and_not_twice():
    assert fit(1) == 0
    early = (RUN / "checkpoints/last.ckpt").read_bytes()
    assert fit(3, "--ckpt_path", "last") == 0
    whole = figures()
    (RUN / "checkpoints/last.ckpt").write_bytes(early)  # as if the machine had stopped before the later ones
    assert fit(3, "--ckpt_path", "last") == 0
    again = figures()
    assert [row["step"] for row in again] == [row["step"] for row in whole]
    for name in ("train/bits_per_dim", "val/bits_per_dim"):
        assert [row[name] for row in again] == [row[name] for row in whole]


def test_going_back_to_the_best_and_another_place_begin_folders_of_their_own():
    assert fit(1) == 0
    assert fit(2, "--ckpt_path", str(RUN / "checkpoints/best.ckpt")) == 0
    assert folders() == ["version_0", "version_1"]
    assert fit(2, "--ckpt_path", str(RUN / "checkpoints/last.ckpt"), "--trainer.logger.init_args.version", "7") == 0
    assert folders() == ["version_0", "version_1", "version_7"]


@pytest.mark.parametrize(
    ("path", "logger", "version"),
    [
        ("a/b/version_3/checkpoints/last.ckpt", {"save_dir": "a", "name": "b"}, 3),
        ("a/b/version_3/checkpoints/best.ckpt", {"save_dir": "a", "name": "b"}, None),
        ("a/b/version_3/checkpoints/last.ckpt", {"save_dir": "a", "name": "c"}, None),
        ("a/b/checkpoints/last.ckpt", {"save_dir": "a", "name": "b"}, None),
        ("a/b/version_3/checkpoints/last.ckpt", {"save_dir": "a", "name": "b", "version": 1}, 1),
    ],
)
def test_the_folder_is_the_runs_own(path, logger, version):
    trainer = Namespace(logger=Namespace(class_path="lightning.CSVLogger", init_args=Namespace(logger)))
    stay_in_its_folder(Path(path), trainer)
    assert trainer.logger.init_args.get("version") == version


def test_a_torn_last_file_is_passed_over_for_the_newest_whole_one(tmp_path, capsys):
    folder = tmp_path / "run/version_0/checkpoints"
    folder.mkdir(parents=True)
    for age, name in enumerate(("last", "best", "old")):
        torch.save({"name": name}, folder / f"{name}.ckpt")
        os.utime(folder / f"{name}.ckpt", (1000 - age, 1000 - age))
    content = (folder / "last.ckpt").read_bytes()
    (folder / "last.ckpt").write_bytes(content[: len(content) // 2])
    os.utime(folder / "last.ckpt", (2000, 2000))
    trainer = {"default_root_dir": str(tmp_path)}
    assert find_last(trainer) == folder / "best.ckpt"
    assert "passed over, since it cannot be read; it may be truncated" in capsys.readouterr().err
    for name in ("best", "old"):
        (folder / f"{name}.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no checkpoint below .* can be read; start a new run"):
        find_last(trainer)
