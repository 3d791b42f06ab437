"""What a likelihood task hands to its optimizer: which parameters decay, and when the learning rate moves."""

import pytest
import pytorch_lightning as pl
import torch

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, Images
from condgen.models import PixelCNN
from condgen.training import LikelihoodTask


def make_task(**options):
    torch.manual_seed(0)
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=2, head=4, first_kernel_size=3)
    return LikelihoodTask(network, {"digit": ClassEmbedding(3, names=Digits().names["digit"])}, **options)


def fit(task, *callbacks, **options):
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    trainer = pl.Trainer(accelerator="cpu", limit_val_batches=0, callbacks=[*callbacks], **quiet, **options)
    trainer.fit(task, Images(Digits(), batch_size=16))


class NoGradients(pl.Callback):
    """Lets a step see a loss that is flat."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        for parameter in pl_module.parameters():
            parameter.grad.zero_()


def test_without_gradients_a_step_shrinks_the_networks_matrices_and_nothing_else():
    """Decoupled decay multiplies by 1 − rate · decay: Loshchilov and Hutter, 2019, algorithm 2."""
    task = make_task(learning_rate=0.1, warmup_steps=1, schedule="constant", weight_decay=0.5)
    before = {name: value.detach().clone() for name, value in task.model.named_parameters()}
    fit(task, NoGradients(), max_steps=1)
    for name, value in task.model.named_parameters():
        decays = name.startswith("network.") and value.ndim > 1
        torch.testing.assert_close(value.detach(), before[name] * (1 - 0.1 * 0.5 if decays else 1))


class Rates(pl.Callback):
    """Keeps the learning rate of every step."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.seen.append(optimizer.param_groups[0]["lr"])


def test_the_learning_rate_moves_at_every_step():
    """It rises over four of eight steps, in two epochs, and then falls by a cosine that would be 0 at the ninth."""
    rates = Rates()
    fit(make_task(learning_rate=1.0, warmup_steps=4), rates, max_epochs=2, limit_train_batches=4)
    fall = [(1 + torch.cos(torch.tensor(torch.pi * i / 4)).item()) / 2 for i in range(4)]
    assert rates.seen == pytest.approx([0.25, 0.5, 0.75, 1, *fall], abs=1e-6)
