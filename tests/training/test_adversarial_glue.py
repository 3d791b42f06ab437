"""What an adversarial step hands to whom: noise, conditions, data and weights, seen by spies."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, Images, Labelled
from condgen.models import Discriminator, Generator
from condgen.training.adversarial import AdversarialTask
from condgen.training.callbacks import SampleQuality

SHAPE = (1, 8, 8)
QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def make_task(classes=10, name="digit", **options):
    torch.manual_seed(0)
    generator, discriminator = Generator(SHAPE, 8, 8, "none", levels=17), Discriminator(SHAPE, 8)
    return AdversarialTask(generator, discriminator, {name: ClassEmbedding(8, num_classes=classes)}, **options)


def fit(task, data=None, seed=0, ckpt_path=None, **options):
    saves = any(isinstance(c, ModelCheckpoint) for c in options.get("callbacks", ()))
    trainer = pl.Trainer(**{**QUIET, "enable_checkpointing": saves, "limit_val_batches": 0, **options})
    pl.seed_everything(seed, verbose=False)
    trainer.fit(task, data or Images(Digits(), batch_size=16), ckpt_path=ckpt_path, weights_only=True)


def calls(module):
    """List the inputs and the output of every call of a module from now on."""
    seen = []
    module.register_forward_hook(lambda _, inputs, output: seen.append((*inputs, output)))
    return seen


def noise_of(rank):
    """The noise that a process of a rank gives to its generator in two batches."""
    task = make_task()
    task.__class__ = type("Ranked", (AdversarialTask,), {"global_rank": rank})
    seen = calls(task.generator)
    fit(task, max_steps=2)
    return torch.cat([z for z, *_ in seen])


def test_every_rank_draws_noise_of_its_own():
    first, again, second = noise_of(0), noise_of(0), noise_of(1)
    assert torch.equal(first, again)
    assert not (first[:, None] == second).all(-1).any()


@pytest.mark.parametrize("conditioning", ["projection", "film"])
def test_generated_data_are_judged_under_the_conditions_they_were_drawn_with(conditioning):
    task = make_task(discriminator_conditioning=conditioning)
    drawn, judged = calls(task.generator), calls(task.discriminator)
    fit(task, max_steps=1)
    (_, asked, x), (_, asked_again, x_again) = drawn
    (both, labels, _), (last, last_labels, _) = judged
    assert len(asked["digit"].unique()) > 1
    assert torch.equal(both[16:], x)
    assert torch.equal(labels["digit"][16:], asked["digit"])
    assert torch.equal(labels["digit"][:16], asked["digit"])  # real data, whose conditions the generator was given
    assert torch.equal(last, x_again)
    assert torch.equal(last_labels["digit"], asked_again["digit"])


def test_held_out_data_are_ranked_against_the_average():
    task = make_task()
    data = Images(Digits(), batch_size=100)
    live, average = calls(task.generator), calls(task.model)
    pl.Trainer(**QUIET, enable_checkpointing=False).validate(task, data, verbose=False)
    assert sum(len(x) for *_, x in average) == len(data.splits["val"].x)
    assert not live


class Sides:
    """Noise in two classes, of which validation has the second alone."""

    shape, levels, names = SHAPE, 17, {"side": ["0", "1"]}

    def load(self, split):
        generator = torch.Generator().manual_seed(0)
        ids = torch.ones(20, dtype=torch.long) if split == "val" else torch.arange(20) % 2
        return Labelled(torch.randint(17, (20, *SHAPE), generator=generator).byte(), {"side": ids})


def test_sample_quality_looks_at_the_average_under_validation_conditions():
    task, data = make_task(classes=2, name="side"), Images(Sides(), batch_size=20)
    quality = SampleQuality(num_samples=20, classifier_steps=1)
    trainer = pl.Trainer(**QUIET, enable_checkpointing=False, max_steps=1, num_sanity_val_steps=0, callbacks=[quality])
    live, average, asked = calls(task.generator), calls(task.model), calls(task.model.encoders["side"])
    trainer.fit(task, data)
    assert len(live) == 2  # of the only training step
    assert sum(len(x) for *_, x in average) == 20 + 20  # of the held-out rank and of the callback
    assert all((ids == 1).all() for ids, _ in asked)
    assert "val/read_side" in trainer.callback_metrics


def test_r1_is_taken_at_real_data(monkeypatch):
    """Real data lie on the grid of levels; what a generator draws does not."""
    seen = []
    monkeypatch.setattr("condgen.training.adversarial.r1_penalty", lambda score, x: seen.append(x) or x.sum() * 0)
    fit(make_task(r1=1.0), max_steps=2)
    assert len(seen) == 2
    levels = (torch.cat(seen).detach() + 1) * 8
    assert torch.allclose(levels, levels.round(), atol=1e-5)
    assert levels.round().unique().numel() > 5


def test_a_run_resumed_under_another_global_seed_goes_on_bit_for_bit(tmp_path):
    """The seeds of the order and of the noise are those of the run that began."""

    def run(seed, ckpt_path=None):
        task, saver = make_task(), ModelCheckpoint(tmp_path / str(seed), "{step}", every_n_train_steps=2, save_top_k=-1)
        fit(task, seed=seed, max_steps=4, callbacks=[saver], ckpt_path=ckpt_path)
        return task.state_dict()

    whole, resumed, other = run(1), run(2, tmp_path / "1" / "step=2.ckpt"), run(3)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    assert any(not torch.equal(whole[name], other[name]) for name in whole)
