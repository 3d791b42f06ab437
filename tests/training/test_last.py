"""`last.ckpt`: it is there before the first epoch ends, lies between two batches, and is whole whatever happens."""

import errno
import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, Images
from condgen.models import PixelCNN
from condgen.training import LikelihoodTask
from condgen.training.last import Last, WholeFiles


def likelihood():
    torch.manual_seed(0)
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=1, head=4)
    return LikelihoodTask(network, {"digit": ClassEmbedding(3, num_classes=10)}, learning_rate=1e-2)


class At(Callback):
    """Does something at a batch, counted from 1 over the whole run, before its step."""

    def __init__(self, batch, what):
        self.batch, self.what, self.count = batch, what, 0

    def on_train_batch_start(self, *_):
        self.count += 1
        if self.count == self.batch:
            self.what()


def fit(folder, *callbacks, ckpt_path=None, epochs=2, **options):
    pl.seed_everything(0)
    trainer = pl.Trainer(
        default_root_dir=folder, max_epochs=epochs, limit_train_batches=4, limit_val_batches=1, logger=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", callbacks=list(callbacks), **options
    )  # fmt: skip
    trainer.fit(likelihood(), Images(Digits(), batch_size=16), ckpt_path=ckpt_path, weights_only=True)
    return trainer


def read(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def equal(one, other):
    return all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())


def kill(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGINT, SystemExit), (signal.SIGTERM, SIGTERMException)])
def test_a_stopped_run_finishes_its_batch_and_goes_on_as_if_it_had_never_stopped(tmp_path, number, ends, capsys):
    fit(tmp_path / "whole")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ends):
        fit(tmp_path / "stopped", At(3, kill(number)))
    assert read(tmp_path / "stopped")["global_step"] == 3
    assert ("stopping after this batch" in capsys.readouterr().err) == (number == signal.SIGINT)
    signal.signal(signal.SIGINT, before)  # Lightning leaves it switched off
    fit(tmp_path / "stopped", ckpt_path=tmp_path / "stopped/checkpoints/last.ckpt")
    whole, resumed = read(tmp_path / "whole"), read(tmp_path / "stopped")
    assert (resumed["global_step"], resumed["epoch"]) == (8, 1)
    assert equal(whole, resumed)


def test_the_second_ctrl_c_does_what_it_did_before(tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
        raise ValueError("the batch ends here")

    with pytest.raises(ValueError, match="the batch ends here"):
        fit(tmp_path, At(2, twice))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_crash_in_the_first_epoch_leaves_what_is_some_minutes_old(tmp_path):
    def crash():
        raise RuntimeError("a cosmic ray")

    with pytest.raises(RuntimeError, match="cosmic"):
        fit(tmp_path, At(3, crash), Last(minutes=1e-9))
    assert read(tmp_path)["global_step"] == 2


def test_between_two_checkpoints_nothing_is_written(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(WholeFiles, "save_checkpoint", lambda self, content, path, **_: written.append(str(path)[-9:]))
    fit(tmp_path, epochs=1)
    assert sorted(written) == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch, fault):
    path, io = tmp_path / "last.ckpt", WholeFiles()
    io.save_checkpoint({"step": 1}, path)

    def torn(content, file):
        file.write(b"half")
        raise fault

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(type(fault)) as raised:
        io.save_checkpoint({"step": 2}, path)
    assert isinstance(fault, KeyboardInterrupt) or str(raised.value) == f"cannot write {path}: No space left on device"
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_where_temporary_files_lie_does_not_matter_and_ones_own_writer_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "is not there"))
    trainer = fit(tmp_path, epochs=1)
    assert type(trainer.strategy.checkpoint_io) is WholeFiles
    assert read(tmp_path)["epoch"] == 0

    class Own(TorchCheckpointIO):
        pass

    own = Own()
    assert fit(tmp_path / "own", epochs=1, plugins=[own]).strategy.checkpoint_io is own


def test_checkpoints_of_before_give_it_its_state_and_bad_minutes_are_refused():
    assert Last().state_key == ModelCheckpoint(filename="last", save_on_train_epoch_end=True).state_key
    with pytest.raises(ValueError, match="minutes 0 from checkpoint to checkpoint are not above 0"):
        Last(minutes=0)
