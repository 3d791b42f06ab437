"""Weights that are no numbers any more never take the place of good ones, and the run says which are kept."""

import math

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, Images
from condgen.models import Discriminator, Generator, PixelCNN
from condgen.training import AdversarialTask, LikelihoodTask, SampleGrid


def likelihood():
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=1, head=4)
    return LikelihoodTask(network, {"digit": ClassEmbedding(3, num_classes=10)})


def adversarial():
    networks = Generator((1, 8, 8), levels=17, noise=4, channels=4), Discriminator((1, 8, 8), channels=4)
    return AdversarialTask(*networks, {"digit": ClassEmbedding(3, num_classes=10)})


class Spoil(Callback):
    """Makes a weight no number after the last step of the second epoch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 4:
            next(pl_module.parameters()).data.flatten()[0] = math.nan


@pytest.mark.parametrize("validation", [0, 1])
@pytest.mark.parametrize("task", [likelihood, adversarial])
def test_weights_that_are_no_numbers_are_never_saved_over_good_ones(tmp_path, task, validation):
    trainer = pl.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_epochs=3, limit_train_batches=2, logger=False,
        limit_val_batches=validation, callbacks=[Spoil(), SampleGrid()], enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    last = tmp_path / "checkpoints" / "last.ckpt"
    words = r"not finite any more at step 4: lower the learning rate; .*(last|best).ckpt is kept: start"
    with pytest.raises(FloatingPointError, match=words) as found:
        trainer.fit(task(), Images(Digits()))
    assert "\n" not in str(found.value)
    for path in tmp_path.rglob("*.ckpt"):
        state = torch.load(path, weights_only=True)
        assert state["global_step"] == 2
        assert all(value.isfinite().all() for value in state["state_dict"].values())
    assert last.exists()


def test_a_run_without_checkpoints_says_that(tmp_path):
    task = likelihood()
    torch.nn.init.constant_(next(task.model.network.parameters()), math.nan)
    trainer = pl.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_steps=1, logger=False, num_sanity_val_steps=0,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with pytest.raises(FloatingPointError, match=r"the loss is nan at step 0: lower .*; the run has kept no"):
        trainer.fit(task, Images(Digits()))


@pytest.mark.parametrize("task", [likelihood, adversarial])
def test_all_processes_stop_where_one_has_a_loss_that_is_no_number(tmp_path, task, monkeypatch):
    """The others would wait for it without end; this process has a good loss, and hears of a bad one."""
    asked = []
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    monkeypatch.setattr(
        pl.strategies.SingleDeviceStrategy, "reduce_boolean_decision",
        lambda self, decision, all: asked.append(decision) or True,
    )  # fmt: skip
    trainer = pl.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_steps=1, logger=False, num_sanity_val_steps=0,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with pytest.raises(FloatingPointError, match="loss is no number in another process at step 0"):
        trainer.fit(task(), Images(Digits()))
    assert asked == [False]
