"""Runs that go on: which checkpoint, with what settings, and where they are logged."""

import os
from pathlib import Path

import pytest
import torch
import yaml

from condgen.cli import main
from condgen.commands.going_on import Place, default_place, find_last, from_checkpoint, run_folder

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
OPTIONS = ["fit", "-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--model.network.channels", "4",
           "--model.network.layers", "2", "--model.network.head", "4", "--trainer.max_epochs", "1",
           "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "0.5", "--trainer.accelerator", "cpu",
           "--trainer.enable_progress_bar", "false", "--trainer.check_val_every_n_epoch", "1"]  # fmt: skip
LAST = "runs/pixelcnn_digits/version_0/checkpoints/last.ckpt"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A current folder in which a run of one epoch lies."""
    monkeypatch.chdir(tmp_path)
    assert main(OPTIONS) == 0
    return tmp_path


def checkpoints(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("last.ckpt"))


@pytest.mark.parametrize(("argv", "place"), [
    (["fit", "-c", "configs/a.yaml", "--seed_everything", "3"], ("runs", "a")),
    (["fit", "--config=b.c.yaml"], ("runs", "b.c")),
    (["fit", "-c", "a.yaml", "--trainer.max_epochs", "1", "--config", "changes.yml"], ("runs", "changes")),
    (["fit", "--model", "LikelihoodTask"], ("runs", "run")),
    (["fit", "--ckpt_path", "runs/a/version_3/checkpoints/last.ckpt"], ("runs", "a")),
    (["fit", "--ckpt_path=deep/down/a/version_3/checkpoints/best.ckpt"], ("deep/down", "a")),
    (["fit", "--ckpt_path", "a/version_3/last.ckpt"], (".", "a")),
    (["fit", "--ckpt_path", "renamed/checkpoints/last.ckpt"], (".", "renamed")),
    (["fit", "--ckpt_path", "downloads/model.ckpt"], ("runs", "run")),
    (["fit", "-c", "b.yaml", "--ckpt_path", "runs/a/version_3/checkpoints/last.ckpt"], ("runs", "b")),
])  # fmt: skip
def test_a_run_is_logged_as_its_last_configuration_is_called_or_where_its_checkpoint_lies(argv, place):
    assert default_place(argv) == Place(*place)


def test_within_a_run_its_own_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "runs/a/version_3/checkpoints").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "runs/a/version_3")
    found = default_place(["fit", "--ckpt_path", "checkpoints/last.ckpt"])
    assert Path(*found) == tmp_path / "runs/a"
    assert run_folder(Path("config.yaml")) == tmp_path / "runs/a/version_3"


@pytest.mark.parametrize("newest", ["version_0", "version_2", "version_10"])
def test_last_is_the_newest(tmp_path, newest):
    for version in ("version_0", "version_2", "version_10"):
        path = tmp_path / "runs" / version / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        torch.save({}, path)
        os.utime(path, (2000, 2000) if version == newest else (1000, 1000))
    assert find_last({"default_root_dir": str(tmp_path)}).parts[-3] == newest
    own = tmp_path / "runs/version_2/config.yaml"
    assert find_last({"default_root_dir": "elsewhere"}, [str(own)]).parts[-3] == newest


def test_a_checkpoint_alone_is_enough_and_its_run_stays_one_run(run, capsys, monkeypatch):
    assert main(["fit", "--ckpt_path", LAST, "--trainer.max_epochs", "2"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("condgen: of the trainer")]
    assert len(said) == 1
    assert "runs/pixelcnn_digits/version_0/config.yaml: precision 32-true, max_epochs 1," in said[0]
    assert "gradient_clip_val 1.0; left, as it may name what runs or writes: accelerator, logger, default" in said[0]
    assert checkpoints(run) == [LAST]
    assert torch.load(LAST, weights_only=True)["global_step"] == 4
    config = yaml.safe_load(Path("runs/pixelcnn_digits/version_0/config.yaml").read_text())
    assert config["trainer"]["limit_train_batches"] == 2
    assert config["trainer"]["gradient_clip_val"] == 1.0
    monkeypatch.chdir(run / "runs/pixelcnn_digits/version_0")
    assert main(["fit", "--ckpt_path", "checkpoints/last.ckpt", "--trainer.max_epochs", "3"]) == 0
    assert checkpoints(run) == [LAST]
    assert torch.load(run / LAST, weights_only=True)["global_step"] == 6


def test_a_moved_run_goes_on_where_it_lies(run, monkeypatch, capsys):
    (run / "runs/pixelcnn_digits").rename(run / "moved")
    (run / "runs").rmdir()
    going_on = ["--ckpt_path", "last", "--trainer.max_epochs"]
    assert main(["fit", "-c", "moved/version_0/config.yaml", *going_on, "2"]) == 0
    assert "going on from moved/version_0/checkpoints/last.ckpt" in capsys.readouterr().err
    monkeypatch.chdir(run / "moved/version_0")
    assert main(["fit", "-c", "config.yaml", *going_on, "3"]) == 0
    assert checkpoints(run) == ["moved/version_0/checkpoints/last.ckpt"]
    assert main(["fit", "-c", "config.yaml", *going_on, "4", "--trainer.logger.save_dir", str(run / "b")]) == 0
    assert checkpoints(run)[0] == "b/moved/version_0/checkpoints/last.ckpt"


@pytest.mark.parametrize(("options", "words"), [
    ([], ["has done its 1 epochs", "--trainer.max_epochs M with M more than 1"]),
    (["--trainer.max_epochs", "-1", "--trainer.max_steps", "2"], ["its 2 steps", "--trainer.max_steps M"]),
])  # fmt: skip
def test_a_run_that_has_done_all_says_what_to_give_and_leaves_nothing(run, options, words, one_line):
    for given in (["-c", "runs/pixelcnn_digits/version_0/config.yaml", "--ckpt_path", "last"], ["--ckpt_path", LAST]):
        assert main(["fit", *given, *options]) == 1
        one_line(*words)
    assert len(list(run.glob("runs/*/*"))) == 1


def test_last_needs_to_be_told_of_which_run(run, one_line):
    assert main(["fit", "--ckpt_path", "last"]) == 1
    one_line("of which run?", "-c RUN/config.yaml")


HOSTILE = {
    "max_epochs": {"class_path": "os.system"}, "precision": "{class_path: os.system}", "min_epochs": "3 --trainer.x",
    "gradient_clip_algorithm": "value; rm", "logger": {"class_path": "evil.Logger"}, "plugins": ["evil.Plugin"],
    "callbacks": [{"class_path": "evil.Callback"}], "default_root_dir": "/etc", "strategy": "evil",
    "accelerator": "evil", "\x1b[31m": 1, "max_steps": [1], "limit_val_batches": 0.5, "deterministic": True,
}  # fmt: skip


def test_of_a_configuration_beside_a_checkpoint_only_plain_numbers_and_words_are_taken(pixelcnn, tmp_path, capsys):
    file = tmp_path / "got.ckpt"
    file.write_bytes(Path(pixelcnn).read_bytes())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"trainer": HOSTILE, "model": {"class_path": "evil.Model"}}))
    words = from_checkpoint(["fit", "--ckpt_path", str(file)])
    assert [word for word in words if word.startswith("--trainer")] == [
        "--trainer.deterministic=true", "--trainer.limit_val_batches=0.5",
    ]  # fmt: skip
    assert "evil" not in " ".join(words)
    said = capsys.readouterr().err
    assert "deterministic True, limit_val_batches 0.5; left" in said
    assert "logger" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("text", [None, "trainer: [unclosed", "trainer: 3", "!!python/object:os.system {}", "\0",
                                  "[" * 5000, "a: &a [1]\nb: *c"])  # fmt: skip
def test_a_configuration_that_is_none_is_passed_over(text, pixelcnn, tmp_path, capsys):
    file = tmp_path / "got.ckpt"
    file.write_bytes(Path(pixelcnn).read_bytes())
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    assert not [word for word in from_checkpoint(["fit", "--ckpt_path", str(file)]) if word.startswith("--trainer")]
    assert "no readable config.yaml" in capsys.readouterr().err
