"""The end of `condgen fit`: what is kept and the next command; Ctrl-C; and nothing where nothing began."""

import shlex
import signal
import threading
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from condgen.cli import main

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = ["--model.network.channels", "4", "--model.network.layers", "2", "--model.network.head", "4",
         "--trainer.max_epochs", "2", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "0.5",
         "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false",
         "--trainer.check_val_every_n_epoch", "1"]  # fmt: skip
FIT = ["fit", "-c", str(CONFIGS / "pixelcnn_digits.yaml"), *SMALL]


def told(out):
    """What the end of a run says, by its first word."""
    return dict(line.split(": ", 1) for line in out.splitlines() if line.startswith(("best: ", "last: ", "Draw ")))


def test_a_run_names_its_checkpoints_their_score_and_a_command_that_draws(capsys):
    assert main(FIT) == 0
    captured = capsys.readouterr()
    found = told(captured.out)
    place = "runs/pixelcnn_digits/version_0/checkpoints"
    assert found["best"].startswith(f"{place}/best.ckpt (val/bits_per_dim ")
    assert found["last"] == f"{place}/last.ckpt (2 epochs)"
    assert found["Draw from it"] == (
        f"condgen sample {place}/best.ckpt --condition.digit 0 --out samples"
    )  # fmt: skip
    assert "Trainer.fit" not in captured.out + captured.err
    assert main(shlex.split(found["Draw from it"])[1:]) == 0


@pytest.mark.slow
def test_audio_has_its_seconds_in_the_command(make, tmp_path, capsys):
    make.trained("wavenet_fsdd", tmp_path, *make.spoken_digits(tmp_path))
    command = told(capsys.readouterr().out)["Draw from it"]
    assert command.endswith("--condition.speaker george --condition.digit 0 --seconds 1 --out samples")


def interrupt(monkeypatch, hook, call, error=KeyboardInterrupt):
    """Stop a run at a call of a hook of its task."""
    calls = []

    def stop(self, *args, **options):
        calls.append(1)
        if len(calls) == call:
            raise error

    monkeypatch.setattr(pl.LightningModule, hook, stop)


@pytest.mark.parametrize(("call", "kept"), [(2, False), (4, True)])
def test_what_ctrl_c_leaves_is_said(call, kept, monkeypatch, capsys):
    interrupt(monkeypatch, "on_train_batch_start", call)
    handler = signal.getsignal(signal.SIGINT)
    assert main(FIT) == 130
    assert signal.getsignal(signal.SIGINT) is handler
    captured = capsys.readouterr()
    assert "condgen: stopped" in captured.err
    assert ("No checkpoint is kept" in captured.out) == (not kept)
    assert set(told(captured.out)) == ({"best", "last", "Draw from it"} if kept else set())
    if kept:
        assert told(captured.out)["last"].endswith("last.ckpt (1 epochs)")


def test_of_several_processes_the_first_one_speaks(monkeypatch, capsys):
    monkeypatch.setattr(pl.Trainer, "is_global_zero", property(lambda self: False))
    interrupt(monkeypatch, "on_train_batch_start", 4)
    assert main(FIT) == 130
    captured = capsys.readouterr()
    assert not told(captured.out)
    assert "stopped" not in captured.err


@pytest.mark.parametrize("command", ["validate", "test"])
def test_ctrl_c_stops_other_commands_with_the_same_status(command, pixelcnn, monkeypatch, capsys):
    interrupt(monkeypatch, f"on_{'validation' if command == 'validate' else 'test'}_batch_start", 1)
    assert main([command, "--ckpt_path", pixelcnn, "--trainer.enable_progress_bar", "false"]) == 130
    assert "condgen: stopped" in capsys.readouterr().err


@pytest.mark.parametrize("logger", [[], ["--trainer.logger", "TensorBoardLogger"]])
@pytest.mark.parametrize("fault", [
    ["--model.network.levels", "16"], ["--data.batch_size", "0"], ["--model.ema_decay", "7"],
    ["--data.source.root", "nowhere"], ["--ckpt_path", "nowhere.ckpt"], ["--weights", "nowhere.ckpt"],
])  # fmt: skip
def test_a_run_that_fails_before_it_begins_leaves_nothing(logger, fault):
    if logger:
        pytest.importorskip("tensorboard")
    assert main([*FIT, *logger, *fault]) == 1
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("hook", ["on_train_start", "on_validation_batch_start"])
def test_nor_does_one_that_is_stopped_before_its_first_batch_and_others_stay(hook, monkeypatch):
    assert main(FIT) == 0
    before = sorted(Path().rglob("*"))
    for error in (KeyboardInterrupt, ValueError):
        with monkeypatch.context() as patched:
            interrupt(patched, hook, 1, error)
            assert main(FIT) == (130 if error is KeyboardInterrupt else 1)
        assert sorted(Path().rglob("*")) == before


def test_a_folder_that_was_there_is_left(monkeypatch):
    Path("runs/pixelcnn_digits/version_0").mkdir(parents=True)
    assert main([*FIT, "--trainer.logger.version", "0", "--model.network.levels", "16"]) == 1
    assert Path("runs/pixelcnn_digits/version_0").is_dir()


def test_a_run_that_fails_later_keeps_what_it_has(monkeypatch):
    interrupt(monkeypatch, "on_train_batch_start", 4, ValueError)
    assert main(FIT) == 1
    assert Path("runs/pixelcnn_digits/version_0/checkpoints/last.ckpt").is_file()


def test_the_process_computes_as_before():
    def settings():
        return (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(),
                torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)  # fmt: skip

    before = settings()
    for value in ("true", "warn"):
        assert main([*FIT, "--trainer.deterministic", value, "--trainer.benchmark", "true"]) == 0
        assert settings() == before
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(main(FIT)))
    thread.start()
    thread.join()
    assert statuses == [0]
