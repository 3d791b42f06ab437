"""Adversarial training: what is counted, what a step changes, resuming bit for bit, two processes, and the alarms."""

import copy
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import nn
from torch.utils.data import DataLoader

from condgen.conditioning import ClassEmbedding, FeatureMap, FrameSequence
from condgen.data import Digits, Images, Labelled
from condgen.models import Discriminator, Generator
from condgen.training import EMA
from condgen.training.adversarial import AdversarialTask, Real, check_strategy, diversity, ranked
from condgen.training.callbacks import AdversarialAlarm, SampleQuality

SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Let a trainer that is told no folder write into one of the test's own."""
    monkeypatch.chdir(tmp_path)


def make_task(generator=(), discriminator=(), **options):
    torch.manual_seed(0)
    options = {
        "augment": [],
        "learning_rate": 1e-3,
        "conditions": {"digit": ClassEmbedding(8, num_classes=10)},
        **options,
    }
    return AdversarialTask(
        Generator(SHAPE, **{"noise": 8, "channels": 8, "levels": 17, **dict(generator)}),
        Discriminator(SHAPE, **{"channels": 8, "spectral_norm": True, **dict(discriminator)}),
        **options,
    )


def fit(task, data=None, ckpt_path=None, **options):
    defaults = {
        "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in options.get("callbacks", ())),
        "limit_val_batches": 0,
    }  # fmt: skip
    trainer = pl.Trainer(**{**defaults, **options})
    pl.seed_everything(0, verbose=False)
    trainer.fit(task, data or Images(Digits(), batch_size=128), ckpt_path=ckpt_path, weights_only=True)
    return trainer


def everything(trainer):
    """All that a run has learned and counted, as tensors by name."""
    task = trainer.lightning_module
    found = dict(task.state_dict())
    for i, optimizer in enumerate(trainer.optimizers):
        for j, state in optimizer.state_dict()["state"].items():
            found |= {f"optimizer {i} {j} {name}": torch.as_tensor(value) for name, value in state.items()}
        found[f"rate {i}"] = torch.tensor(optimizer.param_groups[0]["lr"])
    counts = (trainer.global_step, trainer.fit_loop.total_batch_idx, trainer.current_epoch)
    return found | {"counts": torch.tensor(counts)}


class Remember(Callback):
    """Keeps copies of the networks after every batch."""

    def __init__(self):
        self.states, self.steps = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.states.append({name: value.clone() for name, value in pl_module.state_dict().items()})
        self.steps.append(trainer.global_step)


# What is counted.


@pytest.mark.parametrize("discriminator_steps", [1, 3])
def test_steps_are_the_generators(discriminator_steps):
    remember = Remember()
    trainer = fit(make_task(discriminator_steps=discriminator_steps), max_steps=4, callbacks=[remember])
    assert trainer.global_step == 4
    assert remember.steps == [(i + 1) // discriminator_steps for i in range(4 * discriminator_steps)]


def test_checkpoints_come_every_so_many_generator_steps(tmp_path):
    saver = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    fit(make_task(discriminator_steps=2), max_steps=7, callbacks=[saver])
    assert {path.stem for path in tmp_path.glob("*.ckpt")} == {"step=2", "step=4", "step=6"}


def test_the_learning_rate_falls_to_nothing_by_the_last_generator_step():
    rates = []

    class Rates(Callback):
        def on_train_batch_end(self, trainer, *_):
            rates.append([o.param_groups[0]["lr"] for o in trainer.optimizers])

    task = make_task(discriminator_steps=2, schedule="cosine", discriminator_learning_rate=2e-3)
    fit(task, max_epochs=2, callbacks=[Rates()])
    assert len(rates) == 20
    assert rates[0] == [1e-3, 2e-3]
    assert rates[9] == pytest.approx([0.5e-3, 1e-3])
    assert max(rates[-1]) < 1e-9


# What a step changes.


def changed(before, after, prefix):
    return {name for name in before if name.startswith(prefix) and not torch.equal(before[name], after[name])}


def test_every_batch_trains_the_discriminator_and_the_due_ones_the_generator():
    remember = Remember()
    fit(make_task(generator={"norm": "none"}, discriminator_steps=2), max_steps=2, callbacks=[remember])
    first, second, third, fourth = remember.states
    for before, after, due in [(first, second, True), (second, third, False), (third, fourth, True)]:
        assert changed(before, after, "discriminator.network.convs")
        assert bool(changed(before, after, "generator.")) == due
        assert bool(changed(before, after, "model.")) == due


def test_the_average_follows_the_generator_by_the_formula():
    remember, task = Remember(), make_task(ema_decay=0.3)
    average = {name: value.clone() for name, value in task.model.state_dict().items()}
    fit(task, max_steps=6, callbacks=[remember])
    for step, state in enumerate(remember.states):
        decay = min(0.3, (1 + step) / (10 + step))
        for name, value in average.items():
            live = state[f"generator.{name}"]
            average[name] = value + (1 - decay) * (live - value) if value.is_floating_point() else live
            assert torch.allclose(state[f"model.{name}"], average[name], atol=1e-6), name


def test_the_average_always_evaluates():
    task = make_task()
    task.train()
    assert task.generator.training
    assert not any(module.training for module in task.model.modules())


@pytest.mark.parametrize("loss", ["non_saturating", "hinge", "least_squares", "wasserstein"])
@pytest.mark.parametrize("discriminator_conditioning", ["none", "concat", "bias", "film", "projection", "auxiliary"])
def test_every_loss_and_every_discriminator_train(loss, discriminator_conditioning):
    task = make_task(loss=loss, discriminator_conditioning=discriminator_conditioning, r1=0.1, gradient_penalty=1.0)
    before = copy.deepcopy(task.state_dict())
    fit(task, max_steps=2)
    # Under some losses real and generated scores pull a common offset in opposite directions.
    own = [name for name, _ in task.discriminator.named_parameters() if name != "network.output.bias"]
    moved = changed(before, task.state_dict(), "discriminator.")
    assert {f"discriminator.{name}" for name in own} <= moved
    assert changed(before, task.state_dict(), "generator.film_generator.")


@pytest.mark.parametrize("conditioning", ["none", "concat", "bias", "scale", "gate", "film"])
def test_every_mechanism_trains(conditioning):
    task = make_task(conditioning=conditioning)
    before = copy.deepcopy(task.state_dict())
    fit(task, max_steps=2)
    own = {f"generator.{name}" for name, _ in task.generator.named_parameters()}
    # At the first step the embedding's gradient passes zero-started heads; by the second it does not.
    assert own <= changed(before, task.state_dict(), "generator.")


def test_depth_and_start_are_those_of_the_generator_and_of_its_average_alone():
    task = make_task(film_depth=1, film_start="small", discriminator_conditioning="film")
    for model in (task.generator, task.model):
        assert len(model.film_generator.hidden["digit"]) == 2
        assert model.film_generator.delta["digit"].weight.abs().sum() > 0
    assert len(task.discriminator.film_generator.hidden["digit"]) == 0
    assert task.discriminator.film_generator.delta["digit"].weight.abs().sum() == 0


def test_the_auxiliary_loss_asks_for_the_right_class():
    task = make_task(discriminator_conditioning="auxiliary", auxiliary=2.0)
    logits, asked = torch.randn(4, 10), torch.tensor([1, 2, 3, 4])
    by_hand = -2 * torch.stack([logits[i].log_softmax(0)[label] for i, label in enumerate(asked)]).mean()
    assert torch.allclose(task._auxiliary_loss({"digit": logits}, {"digit": asked}), by_hand)


def test_penalties_are_those_of_the_discriminator():
    """With one linear layer, R1 is half its squared weights and the gradient penalty (‖w‖ − 1)²."""
    task = make_task(r1=3.0, gradient_penalty=5.0)
    linear = nn.Linear(64, 1, bias=False)

    class Linear(nn.Module):
        conditions = ()

        def forward(self, x, conditions):
            return type("Judgement", (), {"score": linear(x.flatten(1))[:, 0]})

    task.discriminator = Linear()
    norm = linear.weight.norm()
    found = task._penalty(Real(torch.randn(5, *SHAPE), {}), torch.randn(5, *SHAPE))
    assert torch.allclose(found, 3 * norm.square() / 2 + 5 * (norm - 1).square(), rtol=1e-5)


@pytest.mark.slow
def test_samples_become_readable_and_heed_their_class():
    quality = SampleQuality(num_samples=100, classifier_steps=200)
    trainer = fit(
        make_task({"start": 2, "channels": 64, "noise": 32}, {"start": 2, "channels": 64}, ema_decay=0.99,
                  conditions={"digit": ClassEmbedding(32, num_classes=10)}),
        Images(Digits()), max_epochs=10, check_val_every_n_epoch=10, limit_val_batches=1.0, callbacks=[quality],
    )  # fmt: skip
    assert trainer.callback_metrics["val/accuracy_digit"] > 0.8
    assert trainer.callback_metrics["val/frechet"] < 200


# Resuming.


@pytest.mark.parametrize("stop", [3, 10, 14], ids=["within an epoch", "at its end", "within the next"])
@pytest.mark.parametrize("discriminator_steps", [1, 2])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path, stop, discriminator_steps):
    options = {"discriminator_steps": discriminator_steps, "schedule": "cosine", "r1": 0.1, "gradient_penalty": 1.0,
               "augment": ["level", "shift", "cutout"]}  # fmt: skip

    def run(steps, ckpt_path=None):
        saver = ModelCheckpoint(
            dirpath=tmp_path / str(steps), every_n_train_steps=stop, save_top_k=-1, filename="{step}"
        )
        trainer = fit(
            make_task(discriminator={"norm": "batch"}, **options), max_steps=steps, callbacks=[saver],
            ckpt_path=ckpt_path, limit_val_batches=1, num_sanity_val_steps=1,
        )  # fmt: skip
        return everything(trainer)

    whole = run(2 * stop)
    torch.manual_seed(99)  # nothing may hang on the state that the first run left
    resumed = run(2 * stop, tmp_path / str(2 * stop) / f"step={stop}.ckpt")
    assert whole.keys() == resumed.keys()
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def test_a_planted_fault_in_the_order_of_data_is_noticed(tmp_path, monkeypatch):
    """The test above would pass for a run that resumes at the epoch's first batch, if it could not tell."""
    monkeypatch.setattr("condgen.data.images.batches_given", lambda trainer: 0)
    with pytest.raises(AssertionError):
        test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path, 3, 1)


def test_loading_workers_change_nothing():
    alone, helped = (fit(make_task(), Images(Digits(), 128, num_workers=n), max_steps=12) for n in (0, 2))
    one, other = everything(alone), everything(helped)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


# Two processes, and less precision.

DDP = """
    import sys, warnings, logging
    from pathlib import Path
    import torch, pytorch_lightning as pl
    sys.path.insert(0, {tests!r})
    from test_adversarial import make_task
    from condgen.data import Digits, Images
    from condgen.commands.quiet import quiet

    if __name__ == "__main__":
        torch.set_num_threads(1)
        pl.seed_everything(0, verbose=False)
        with quiet():
            trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp_find_unused_parameters_true", max_steps=6,
                                 logger=False, enable_checkpointing=False, enable_progress_bar=False,
                                 enable_model_summary=False, num_sanity_val_steps=0)
            task = make_task(discriminator={{"norm": "batch", "spectral_norm": False}}, discriminator_steps=2)
            trainer.fit(task, Images(Digits(), batch_size=32))
        torch.save(task.state_dict(), Path({out!r}) / f"{{trainer.global_rank}}.pt")
"""


@pytest.mark.slow
def test_two_processes_have_the_same_parameters_and_no_warnings(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(DDP.format(tests=str(Path(__file__).parent), out=str(tmp_path))))
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert found.returncode == 0, found.stderr[-3000:]
    assert "arning" not in found.stderr, found.stderr
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    parameters = [
        name for name, _ in make_task(discriminator={"norm": "batch", "spectral_norm": False}).named_parameters()
    ]
    assert [name for name in parameters if not torch.equal(ranks[0][name], ranks[1][name])] == []
    moved = make_task(discriminator={"norm": "batch", "spectral_norm": False}).state_dict()
    assert changed(moved, ranks[0], "generator.network.convs")


def test_a_strategy_that_would_wait_for_unused_parameters_is_refused():
    check_strategy(SingleDeviceStrategy())
    check_strategy(DDPStrategy(find_unused_parameters=True))
    with pytest.raises(ValueError, match="ddp_find_unused_parameters_true"):
        check_strategy(DDPStrategy())


def test_half_precision_trains_and_penalties_stay_in_float32():
    task = make_task(r1=0.1, gradient_penalty=1.0)
    before = copy.deepcopy(task.state_dict())
    fit(task, max_steps=3, precision="bf16-mixed")
    assert changed(before, task.state_dict(), "generator.network.convs")
    assert all(value.isfinite().all() for value in task.state_dict().values())
    with torch.autocast("cpu", torch.bfloat16):
        assert (
            task._penalty(Real(torch.randn(2, *SHAPE), {"digit": torch.tensor([1, 2])}), torch.randn(2, *SHAPE)).dtype
            == torch.float32
        )


# Figures and alarms.


def test_rank_is_the_share_of_pairs_and_ties_count_half():
    assert ranked(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])) == 0.75
    assert ranked(torch.zeros(3), torch.zeros(2)) == 0.5


def test_diversity_is_one_for_real_pairs_and_nothing_for_collapsed_ones():
    torch.manual_seed(0)
    ids = torch.arange(400) % 2
    draw = lambda: torch.randn(400, *SHAPE) * 0.1 + ids[:, None, None, None]  # noqa: E731
    real = Real(draw(), {"label": ids})
    assert abs(diversity(real, draw(), draw()) - 1) < 0.05  # classes far apart do not count as diversity
    assert diversity(real, real.x, real.x) == 0


def test_a_generator_that_ignores_its_noise_is_told_in_training():
    class Same(Generator):
        def forward(self, z, film=None):
            return super().forward(z * 0, film)

    task = make_task()
    task.generator.network.__class__ = Same
    with pytest.warns(UserWarning, match="samples collapse"):
        fit(task, max_steps=10, callbacks=[AdversarialAlarm(every_n_steps=5)])


# What is refused.


def test_weight_averaging_of_the_whole_task_is_refused():
    with pytest.raises(ValueError, match=r"averages its generator by itself \(model.ema_decay\): remove EMA"):
        fit(make_task(), max_steps=1, callbacks=[EMA()])


class Broken:
    """Digits with other labels."""

    shape, levels = SHAPE, 17

    def __init__(self, change):
        self.names, self.change = Digits().names, change

    def load(self, split):
        x, conditions, *_ = Digits().load(split)
        return Labelled(*self.change(x, conditions["digit"]))


@pytest.mark.parametrize(("change", "message"), [
    (lambda x, ids: (x, {"digit": ids + 1}), "class ids from 1 to 10, and there are 10 classes"),
    (lambda x, ids: (x, {"digit": ids - 1}), "class ids from -1 to 8"),
])  # fmt: skip
def test_labels_outside_the_classes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        fit(make_task(), Images(Broken(change)), max_steps=1)


@pytest.mark.parametrize(("options", "message"), [
    ({"loss": "perceptual"}, "unknown loss 'perceptual'"),
    ({"discriminator_conditioning": "guess"}, "unknown conditioning 'guess' of a discriminator"),
    ({"conditioning": "magic"}, "unknown conditioning 'magic'"),
    ({"discriminator_steps": 0}, "discriminator_steps 0"),
    ({"ema_decay": 1.0}, "ema_decay 1.0"),
    ({"r1": -1.0}, "r1 -1.0"),
    ({"generator": {"noise": 0}}, "noise 0"),
    ({"generator": {"channels": 0}}, "channels 0"),
    ({"discriminator": {"phase_shuffle": -1}}, "phase_shuffle -1"),
    ({"conditions": {}, "conditioning": "none"}, "needs at least one condition"),
    ({"conditions": {"sketch": FeatureMap(1)}}, "'sketch': the maps of a DCGAN differ in size"),
    ({"augment": ["filter"]}, "augment: images have no 'filter'; known: level, shift, cutout"),
    ({"augment": ["flip"]}, "augment: images have no 'flip'"),
    ({"augment": ["level", "level"]}, "augment: level, level names a change twice"),
    ({"conditions": {"mel": FrameSequence(8)}}, "'mel': .* not FrameSequence"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_task(**options)


def test_networks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"draws \(1, 8, 8\), the discriminator takes \(1, 16, 16\)"):
        AdversarialTask(Generator(SHAPE), Discriminator((1, 16, 16)), {"digit": ClassEmbedding(num_classes=10)})


def test_a_model_of_another_size_than_the_data_is_refused():
    torch.manual_seed(0)
    task = AdversarialTask(
        Generator((1, 16, 16), levels=17), Discriminator((1, 16, 16)), {"digit": ClassEmbedding(num_classes=10)}
    )
    with pytest.raises(ValueError, match=r"the model's shape is \(1, 16, 16\), the data's is \(1, 8, 8\)"):
        fit(task, max_steps=1)


def test_a_loss_that_is_no_number_stops_the_run():
    task = make_task()
    with torch.no_grad():
        next(task.discriminator.network.parameters()).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"loss is nan at step 0: lower model\.learning_rate"):
        fit(task, max_steps=3)


def test_after_training_a_loader_read_by_hand_gives_every_batch():
    data = Images(Digits(), batch_size=128)
    fit(make_task(), data, max_epochs=1)
    assert len(list(data.train_dataloader())) == 10


# What an adversarial step hands to whom: noise, conditions, data and weights, seen by spies.


SMALL = (1, 8, 8)
DIGITS = [str(digit) for digit in range(10)]
QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def small_task(classes=10, name="digit", **options):
    torch.manual_seed(0)
    generator, discriminator = Generator(SMALL, 8, 8, "none", levels=17), Discriminator(SMALL, 8)
    options = {"augment": [], **options}
    return AdversarialTask(generator, discriminator, {name: ClassEmbedding(8, num_classes=classes)}, **options)


def train_small(task, data=None, seed=0, ckpt_path=None, **options):
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
    task = small_task()
    task.__class__ = type("Ranked", (AdversarialTask,), {"global_rank": rank})
    seen = calls(task.generator)
    train_small(task, max_steps=2)
    return torch.cat([z for z, *_ in seen])


def test_every_rank_draws_noise_of_its_own():
    first, again, second = noise_of(0), noise_of(0), noise_of(1)
    assert torch.equal(first, again)
    assert not (first[:, None] == second).all(-1).any()


# Augmentation.


class Marked:
    """An augmentation that leaves a mark: no value of its examples lies in [−1, 1]."""

    changes = ("marked",)

    def __call__(self, x):
        return x + 3


@pytest.mark.parametrize("options", [{}, {"r1": 1.0, "gradient_penalty": 1.0}], ids=["plain", "with penalties"])
def test_in_training_the_discriminator_sees_nothing_but_augmented_examples(options):
    task = small_task(augment=["level"], **options)
    task.augment = Marked()
    judged, drawn = calls(task.discriminator), calls(task.generator)
    train_small(task, max_steps=2)
    assert len(judged) == 4 + len(options) * 2
    assert all(x.min() >= 2 for x, *_ in judged)
    assert all(x.abs().max() <= 1 for *_, x in drawn)


def test_held_out_examples_are_ranked_and_samples_drawn_as_they_are():
    task = small_task(augment=["level", "cutout"])
    task.augment = Marked()
    judged = calls(task.discriminator)
    pl.Trainer(**QUIET, enable_checkpointing=False).validate(task, Images(Digits(), batch_size=100), verbose=False)
    assert judged
    assert all(x.abs().max() <= 1 for x, *_ in judged)


def test_real_and_generated_examples_are_changed_alike_and_each_by_a_draw_of_its_own():
    """Of a constant, a level's change leaves the draw itself."""
    task = small_task(augment=["level"])
    task.generator.network.__class__ = type("Flat", (Generator,), {"forward": lambda self, z, film=None: (
        super(type(self), self).forward(z, film) * 0 + z.mean() * 0)})  # fmt: skip
    judged = calls(task.discriminator)

    class Flat(Sides):
        levels, names = 17, {"digit": DIGITS}

        def load(self, split):
            return Labelled(torch.full((64, *SMALL), 8).byte(), {"digit": torch.arange(64) % 10})

    train_small(task, Images(Flat(), batch_size=64), max_steps=1)
    (both, *_), (last, *_) = judged
    draws = torch.cat([both, last])[:, 0, 0, 0]
    assert len(draws.unique()) == 3 * 64
    assert all(-0.5 <= part.min() < -0.4 and 0.4 < part.max() <= 0.5 for part in draws.chunk(3))


def test_the_generators_gradient_goes_through_the_change():
    """Of what a change has wiped out, nothing is learnt."""
    task = small_task(augment=["level"])
    task.augment = lambda x: 0 * x
    before = copy.deepcopy(task.state_dict())
    train_small(task, max_steps=2)
    assert changed(before, task.state_dict(), "generator.") == set()
    assert changed(before, task.state_dict(), "discriminator.")


def seen_by(rank, seed=0):
    """What the discriminator of a process of a rank sees of real examples in two batches."""
    task = small_task(augment=["level", "shift", "cutout"])
    task.__class__ = type("Ranked", (AdversarialTask,), {"global_rank": rank})
    judged = calls(task.discriminator)
    train_small(task, seed=seed, max_steps=2)
    return torch.cat([x[:16] for x, *_ in judged[::2]])


def test_every_rank_draws_changes_of_its_own_and_a_seed_the_same_again():
    first, again, second = seen_by(0), seen_by(0), seen_by(1)
    assert torch.equal(first, again)
    assert not (first == second).flatten(1).all(1).any()


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "32-true"])
def test_augmented_runs_train_in_every_precision(precision):
    task = small_task(augment=["level", "shift", "cutout"], r1=0.1)
    before = copy.deepcopy(task.state_dict())
    train_small(task, max_steps=3, precision=precision)
    assert changed(before, task.state_dict(), "generator.network.convs")
    assert all(value.isfinite().all() for value in task.state_dict().values())


@pytest.mark.parametrize("conditioning", ["projection", "concat", "auxiliary"])
def test_augmented_runs_train_under_every_kind_of_conditioning(conditioning):
    task = small_task(augment=["level", "shift", "cutout"], discriminator_conditioning=conditioning)
    train_small(task, max_steps=2)
    assert all(value.isfinite().all() for value in task.state_dict().values())


def test_without_a_word_a_run_on_few_examples_is_augmented_and_says_so(caplog):
    task = small_task(augment=None)
    with caplog.at_level("INFO"):
        train_small(task, max_steps=1)
    assert task.augment.changes == ("level", "shift", "cutout")
    assert "digit 8 has 116 training examples, fewer than" in caplog.text
    other = small_task(augment=[])
    train_small(other, max_steps=1)
    assert other.augment.changes == ()


@pytest.mark.parametrize("augment", [None, [], ["level", "cutout"]])
def test_a_checkpoint_holds_what_was_asked_for(tmp_path, augment):
    task = small_task(augment=augment)
    train_small(task, max_steps=1, callbacks=[ModelCheckpoint(tmp_path, "a", save_last=False)])
    stored = torch.load(tmp_path / "a.ckpt", weights_only=True)["hyper_parameters"]
    assert stored["augment"] == augment


@pytest.mark.parametrize("conditioning", ["projection", "film"])
def test_generated_data_are_judged_under_the_conditions_they_were_drawn_with(conditioning):
    task = small_task(discriminator_conditioning=conditioning)
    drawn, judged = calls(task.generator), calls(task.discriminator)
    train_small(task, max_steps=1)
    (_, asked, x), (_, asked_again, x_again) = drawn
    (both, labels, _), (last, last_labels, _) = judged
    assert len(asked["digit"].unique()) > 1
    assert torch.equal(both[16:], x)
    assert torch.equal(labels["digit"][16:], asked["digit"])
    assert torch.equal(labels["digit"][:16], asked["digit"])  # real data, whose conditions the generator was given
    assert torch.equal(last, x_again)
    assert torch.equal(last_labels["digit"], asked_again["digit"])


def test_held_out_data_are_ranked_against_the_average():
    task = small_task()
    data = Images(Digits(), batch_size=100)
    live, average = calls(task.generator), calls(task.model)
    pl.Trainer(**QUIET, enable_checkpointing=False).validate(task, data, verbose=False)
    assert sum(len(x) for *_, x in average) == len(data.splits["val"].x)
    assert not live


class Sides:
    """Noise in two classes, of which validation has the second alone."""

    shape, levels, names = SMALL, 17, {"side": ["0", "1"]}

    def load(self, split):
        generator = torch.Generator().manual_seed(0)
        ids = torch.ones(20, dtype=torch.long) if split == "val" else torch.arange(20) % 2
        return Labelled(torch.randint(17, (20, *SMALL), generator=generator).byte(), {"side": ids})


def test_class_ids_may_be_of_8_bits():
    """From loaders of one's own too, where nothing makes them wider."""
    networks = Generator(SMALL, levels=17, noise=4, channels=4), Discriminator(SMALL, 4)
    conditions = {"side": ClassEmbedding(3, num_classes=200)}
    task = AdversarialTask(*networks, conditions, discriminator_conditioning="auxiliary")
    x, ids = torch.randint(17, (8, *SMALL)).byte(), torch.tensor([3, 199] * 4)
    losses = [task._auxiliary_loss({"side": torch.eye(200)[ids]}, {"side": kind}) for kind in (ids, ids.byte())]
    assert losses[0] == losses[1]
    trainer = pl.Trainer(**QUIET, enable_checkpointing=False, max_steps=2, num_sanity_val_steps=0)
    trainer.fit(task, DataLoader([(x, {"side": ids.byte()})] * 2, batch_size=None))
    assert trainer.global_step == 2


def test_sample_quality_looks_at_the_average_under_validation_conditions():
    task, data = small_task(classes=2, name="side"), Images(Sides(), batch_size=20)
    quality = SampleQuality(num_samples=20, classifier_steps=1)
    trainer = pl.Trainer(**QUIET, enable_checkpointing=False, max_steps=1, num_sanity_val_steps=0, callbacks=[quality])
    live, average, asked = calls(task.generator), calls(task.model), calls(task.model.encoders["side"])
    trainer.fit(task, data)
    assert len(live) == 2  # of the only training step
    assert sum(len(x) for *_, x in average) == 20 + 20  # of the held-out rank and of the callback
    assert all((ids == 1).all() for ids, _ in asked)
    assert "val/accuracy_side" in trainer.callback_metrics


def test_r1_is_taken_at_real_data(monkeypatch):
    """Real data lie on the grid of levels; what a generator draws does not."""
    seen = []
    monkeypatch.setattr("condgen.training.adversarial.r1_penalty", lambda score, x: seen.append(x) or x.sum() * 0)
    train_small(small_task(r1=1.0), max_steps=2)
    assert len(seen) == 2
    levels = (torch.cat(seen).detach() + 1) * 8
    assert torch.allclose(levels, levels.round(), atol=1e-5)
    assert levels.round().unique().numel() > 5


def test_a_run_resumed_under_another_global_seed_goes_on_bit_for_bit(tmp_path):
    """The seeds of the order and of the noise are those of the run that began."""

    def run(seed, ckpt_path=None):
        task = small_task()
        saver = ModelCheckpoint(tmp_path / str(seed), "{step}", every_n_train_steps=2, save_top_k=-1)
        train_small(task, seed=seed, max_steps=4, callbacks=[saver], ckpt_path=ckpt_path)
        return task.state_dict()

    whole, resumed, other = run(1), run(2, tmp_path / "1" / "step=2.ckpt"), run(3)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    assert any(not torch.equal(whole[name], other[name]) for name in whole)


def test_a_loader_of_ones_own_may_give_plain_tuples():
    images = Images(Digits(), batch_size=16)
    images.setup()
    task, loader = small_task(), DataLoader(images.dataset("train"), 16, collate_fn=lambda batch: tuple(batch)[:2])
    trainer = pl.Trainer(**QUIET, enable_checkpointing=False, max_epochs=1, limit_train_batches=1, limit_val_batches=1)
    trainer.fit(task, loader, loader)
    assert "val/rank" in trainer.callback_metrics


# A batch of one example.


class Few(Sides):
    """As many examples of noise as are asked for."""

    def __init__(self, count):
        self.count = count

    def load(self, split):
        x, conditions, *_ = super().load("train")
        return Labelled(x[: self.count], {name: ids[: self.count] for name, ids in conditions.items()})


def narrow(generator="batch", discriminator="none", start=1):
    networks = Generator(SMALL, 4, 4, generator, start=start, levels=17), Discriminator(SMALL, 4, discriminator,
                                                                                       start=start)  # fmt: skip
    return AdversarialTask(*networks, {"side": ClassEmbedding(4, num_classes=2)})


@pytest.mark.parametrize("norms", [("batch", "none"), ("none", "batch"), ("batch", "batch")])
def test_a_last_batch_of_one_that_batch_norm_cannot_take_is_left_out_and_that_is_said(norms):
    remember = Remember()
    with pytest.warns(UserWarning, match="a last batch of one example is left out") as seen:
        trainer = fit(narrow(*norms), Images(Few(9), 4), max_epochs=2, limit_val_batches=1.0, callbacks=[remember])
    assert sum("left out" in str(w.message) for w in seen) <= 2
    assert trainer.global_step == 4  # two of three batches in each of two epochs
    assert changed(remember.states[1], remember.states[2], "") == set()


@pytest.mark.parametrize("task", [lambda: narrow(start=2), lambda: narrow("none")], ids=["larger map", "no norm"])
def test_a_batch_of_one_that_can_be_taken_is_and_has_no_diversity(task):
    trainer = fit(task(), Images(Few(9), 4), max_epochs=1)
    assert trainer.global_step == 3
    assert trainer.callback_metrics["train/diversity"] < 10


def test_batches_of_one_throughout_are_refused_before_the_first():
    for data in (Images(Few(9), 1), Images(Few(1), 4)):
        with pytest.raises(ValueError, match=r"batches of one example .*: set data.batch_size to at least 2"):
            fit(narrow(), data, max_epochs=1)
