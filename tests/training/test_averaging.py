"""The running average of weights: one formula for both tasks."""

import pytest
import pytorch_lightning as pl
import torch

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, Images
from condgen.models import PixelCNN
from condgen.training import EMA, LikelihoodTask
from condgen.training.averaging import move_average


def test_the_average_moves_by_one_less_the_decay_which_grows_with_the_updates():
    """By hand: (1 + 0) / (10 + 0) = 0.1 at first, (1 + 5) / (10 + 5) = 0.4 after five updates, then the decay."""
    for updates, decay, expected in [(0, 0.9, 0.9), (5, 0.9, 0.6), (10**6, 0.75, 0.25)]:
        average = torch.zeros(2)
        move_average([average], [torch.ones(2)], updates, decay)
        assert torch.allclose(average, torch.full((2,), expected))


def test_whole_numbers_are_copied():
    average = torch.tensor([3])
    move_average([average], [torch.tensor([8])], torch.tensor(4), 0.9)
    assert average.item() == 8


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(ValueError, match=rf"decay {decay} is not in \[0, 1\)"):
        EMA(decay)
    with pytest.raises(ValueError, match=rf"ema_decay {decay} is not in \[0, 1\)"):
        LikelihoodTask(PixelCNN((1, 4, 4), channels=4, layers=1, head=4), conditioning="none", ema_decay=decay)


class Remember(pl.Callback):
    """Keeps the weights after every batch."""

    def __init__(self):
        self.weights = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.weights.append({name: p.detach().clone() for name, p in pl_module.named_parameters()})


@pytest.mark.parametrize("way", ["the task's", "one's own"])
def test_ema_follows_its_recursion_and_is_what_a_checkpoint_holds(tmp_path, way):
    torch.manual_seed(0)
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=2, head=4, first_kernel_size=3)
    conditions = {"digit": ClassEmbedding(3, names=Digits().names["digit"])}
    decays = {"ema_decay": 0.5} if way == "the task's" else {"ema_decay": 0.9}  # one's own comes first
    task = LikelihoodTask(network, conditions, learning_rate=1e-2, **decays)
    remember = Remember()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_steps=5,
        enable_checkpointing=False, limit_val_batches=0, default_root_dir=tmp_path,
        callbacks=[remember, *([] if way == "the task's" else [EMA(decay=0.5)])],
    )  # fmt: skip
    trainer.fit(task, Images(Digits()))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    expected = remember.weights[0]
    for count, weights in enumerate(remember.weights[1:], start=1):
        weight = 1 - min(0.5, (1 + count) / (10 + count))
        expected = {name: e + weight * (weights[name] - e) for name, e in expected.items()}
    stored = torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]
    assert any((stored[name] - remember.weights[-1][name]).abs().max() > 1e-4 for name in expected)
    for name, average in expected.items():
        torch.testing.assert_close(stored[name], average)


def test_without_decay_there_is_no_average(tmp_path):
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=1, head=4)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_steps=1,
        enable_checkpointing=False, limit_val_batches=0, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(LikelihoodTask(network, conditioning="none", ema_decay=0), Images(Digits()))
    assert not any(isinstance(callback, EMA) for callback in trainer.callbacks)
