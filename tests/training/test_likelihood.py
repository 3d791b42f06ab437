"""Training: exact averages, the right weights averaged and decayed, and runs that go on as if never stopped."""

import math
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from condgen.checkpoint import Checkpoint
from condgen.conditioning import ClassEmbedding, FrameSequence
from condgen.data import Clip, Digits, Images, Position, Speech
from condgen.data.images import as_is
from condgen.data.store import ClipStore
from condgen.models import PixelCNN, WaveNet
from condgen.training import EMA, LikelihoodTask


def make_task(**options):
    torch.manual_seed(0)
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=2, head=4, first_kernel_size=3)
    return LikelihoodTask(network, {"digit": ClassEmbedding(3, names=Digits().names["digit"])}, **options)


def make_trainer(tmp_path, **options):
    defaults = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(default_root_dir=tmp_path, **{"enable_checkpointing": False, **defaults, **options})


def test_logged_likelihood_is_the_mean_over_examples_with_a_partial_last_batch(tmp_path):
    task, data = make_task(), Images(Digits(), batch_size=99)
    found = make_trainer(tmp_path).test(task, data, verbose=False)[0]
    split = data.splits["test"]
    assert len(split.x) % 99 != 0
    with torch.no_grad():
        nats = -task.model.log_prob(split.x, split.conditions).double().mean().item()
    assert found["test/nats"] == pytest.approx(nats, rel=1e-5)
    assert found["test/bits_per_dim"] == pytest.approx(nats / (64 * math.log(2)), rel=1e-5)


def test_training_lowers_the_loss(tmp_path):
    task, data = make_task(learning_rate=1e-2, warmup_steps=1), Images(Digits())
    before = make_trainer(tmp_path).test(task, data, verbose=False)[0]["test/nats"]
    make_trainer(tmp_path, max_epochs=3, limit_val_batches=0).fit(task, data)
    assert make_trainer(tmp_path).test(task, data, verbose=False)[0]["test/nats"] < before - 10


def test_depth_and_start_of_the_generator_reach_it_and_its_checkpoint(tmp_path):
    assert list(make_task(film_depth=0).state_dict()) == list(make_task().state_dict())
    task = make_task(film_depth=2, film_start="small", learning_rate=1e-2, warmup_steps=1, ema_decay=0)
    assert len(task.model.film_generator.hidden["digit"]) == 4
    assert task.model.film_generator.beta["digit"].weight.abs().sum() > 0
    before = {name: value.clone() for name, value in task.model.film_generator.named_parameters()}
    trainer = make_trainer(tmp_path, max_epochs=1, limit_val_batches=0, enable_checkpointing=True)
    trainer.fit(task, Images(Digits()))
    assert all(not torch.equal(value, before[n]) for n, value in task.model.film_generator.named_parameters())
    trainer.save_checkpoint(tmp_path / "deep.ckpt")
    opened = Checkpoint.open(tmp_path / "deep.ckpt").model().film_generator.state_dict()
    assert all(torch.equal(value, opened[name]) for name, value in task.model.film_generator.state_dict().items())


def test_only_the_networks_matrices_decay(tmp_path):
    task = make_task(weight_decay=0.1)
    make_trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(task, Images(Digits()))
    groups = task.optimizers().optimizer.param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(decay) == len(list(task.parameters()))
    assert {decay[id(p)] for p in task.model.film_generator.parameters()} == {0.0}
    assert {decay[id(p)] for p in task.model.network.parameters() if p.ndim > 1} == {0.1}


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path):
    def fit(name, epochs, ckpt_path=None):
        pl.seed_everything(0)
        task = make_task(learning_rate=1e-2, schedule="constant")
        data = Images(Digits(), batch_size=16)
        data.train_dataloader = lambda: DataLoader(data.dataset("train"), batch_size=16, collate_fn=as_is)  # in order
        keep = ModelCheckpoint(tmp_path / name, "last", enable_version_counter=False, save_on_train_epoch_end=True)
        make_trainer(
            tmp_path, max_epochs=epochs, limit_train_batches=3, limit_val_batches=0, enable_checkpointing=True,
            callbacks=[EMA(decay=0.9), keep],
        ).fit(task, data, ckpt_path=ckpt_path, weights_only=True)  # fmt: skip
        return torch.load(tmp_path / name / "last.ckpt", weights_only=True)

    fit("first", 1)
    resumed, straight = fit("resumed", 2, tmp_path / "first" / "last.ckpt"), fit("straight", 2)
    assert resumed["global_step"] == straight["global_step"] == 6
    for part in ("state_dict", "current_model_state"):
        for name, value in straight[part].items():
            assert torch.equal(resumed[part][name], value), name


class AnySpeech:
    names: ClassVar = {"speaker": ["ann", "bob"]}

    def clips(self, split):
        return []


class Crops(Speech):
    """Clips of two lengths, of which training takes crops."""

    def __init__(self):
        super().__init__(AnySpeech(), sample_rate=8000, levels=16, crop=16, context=8, batch_size=4)
        lengths, ones = [40, 64] * 12, np.ones(24)
        ends, files = np.cumsum([0, *lengths]), [f"{i}.wav" for i in range(24)]
        levels, ids = np.random.default_rng(0).integers(0, 16, ends[-1]).astype(np.int32), np.arange(24) % 2
        store = ClipStore(levels, ends, {}, {"speaker": ids}, files, 0 * ones, ones == 0, ones, files)
        self.stores = dict.fromkeys(("train", "val"), store)

    def prepare_data(self):
        pass

    def setup(self, stage=None):
        pass


def pictures():
    return Images(MovedDigits(), batch_size=16)


class MovedDigits(Digits):
    """Digits that are binarized at every fetch."""

    def load(self, split):
        return super().load(split)._replace(binarize=True)


def pixelcnn(dropout=0.5):
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=2, head=4, dropout=dropout)
    return LikelihoodTask(
        network, {"digit": ClassEmbedding(3, num_classes=10)}, condition_dropout=dropout, schedule="constant"
    )


def wavenet(dropout=0.5):
    network = WaveNet(16, channels=4, layers=3, stacks=1, head=4, sample_rate=8000, dropout=dropout)
    return LikelihoodTask(
        network, {"speaker": ClassEmbedding(3, names=["ann", "bob"])}, condition_dropout=dropout, schedule="constant"
    )


@pytest.mark.parametrize(("stop", "workers"), [(2, 0), (4, 2), (6, 0)])
@pytest.mark.parametrize(("task", "data"), [(pixelcnn, pictures), (wavenet, Crops)])
def test_a_run_with_dropout_and_crops_resumes_bit_for_bit(tmp_path, task, data, stop, workers):
    """Whatever the process's random numbers are, and however many processes load: in an epoch and between two."""

    def fit(name, steps, seed, num_workers, ckpt_path=None):
        pl.seed_everything(seed)
        module, source = task(), data()
        source.num_workers = num_workers
        keep = ModelCheckpoint(tmp_path / name, "{step}", every_n_train_steps=1, save_top_k=-1)
        make_trainer(
            tmp_path, max_steps=steps, max_epochs=-1, limit_train_batches=4, limit_val_batches=0,
            enable_checkpointing=True, callbacks=[keep],
        ).fit(module, source, ckpt_path=ckpt_path, weights_only=True)  # fmt: skip
        assert [path.name for path in (tmp_path / name).glob("*-v*")] == []  # what is read below is of this run
        return torch.load(tmp_path / name / f"step={steps}.ckpt", weights_only=True)

    whole = fit("whole", 7, 0, 0)
    fit("stopped", stop, 0, workers)
    resumed = fit("resumed", 7, 3, workers, tmp_path / "stopped" / f"step={stop}.ckpt")
    for part in ("state_dict", "current_model_state"):
        assert [n for n, value in whole[part].items() if not torch.equal(resumed[part][n], value)] == []


def test_a_loss_that_is_not_a_number_stops_with_advice(tmp_path):
    task = make_task()
    torch.nn.init.constant_(next(task.model.network.parameters()), math.nan)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0: lower the learning rate"):
        make_trainer(tmp_path, max_epochs=1).fit(task, Images(Digits()))


def test_a_model_that_does_not_fit_the_data_is_refused_before_training(tmp_path):
    classes = ClassEmbedding(3, names=Digits().names["digit"])
    cases = [
        (PixelCNN((1, 9, 8), 17, channels=4, layers=2, head=4), {"digit": classes}, r"shape is \(1, 9, 8\)"),
        (PixelCNN((1, 8, 8), 16, channels=4, layers=2, head=4), {"digit": classes}, "levels is 16, the data's is 17"),
        (PixelCNN((1, 8, 8), 17, channels=4, layers=2, head=4), {"speaker": classes}, "'speaker', which the data"),
        (PixelCNN((1, 8, 8), 17, channels=4, layers=2, head=4), {"digit": ClassEmbedding(3, names=["a", "b"])},
         r"classes are \['a', 'b'\]"),
    ]  # fmt: skip
    for network, conditions, message in cases:
        with pytest.raises(ValueError, match=message):
            make_trainer(tmp_path, max_epochs=1).fit(LikelihoodTask(network, conditions), Images(Digits()))


def test_spatial_conditions_train_too(tmp_path):
    from condgen.conditioning import FeatureMap

    torch.manual_seed(0)
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=2, head=4)
    task = LikelihoodTask(network, {"thumbnail": FeatureMap(1, 4, factor=4)}, learning_rate=1e-2, warmup_steps=1)
    data = Images(Digits(), thumbnail=4)
    make_trainer(tmp_path, max_epochs=10, limit_val_batches=0).fit(task, data)
    data.setup("test")
    x, conditions, _ = data.dataset("test").__getitems__(range(100))
    with torch.no_grad():
        true = task.model.log_prob(x, {"thumbnail": conditions["thumbnail"]}).mean()
        other = task.model.log_prob(x, {"thumbnail": conditions["thumbnail"].roll(1, 0)}).mean()
    assert true > other + 1


def make_speech(tmp_path, **options):
    """Tones of two speakers, each at a pitch of its own."""
    import numpy as np
    import soundfile

    clips = []
    for i, length in enumerate((400, 640, 520, 800)):
        soundfile.write(tmp_path / f"{i}.wav", np.sin((0.2 + 0.3 * (i % 2)) * np.arange(length)), 1000, subtype="FLOAT")
        clips.append(Clip(tmp_path / f"{i}.wav", {"speaker": "ab"[i % 2]}))
    source = SimpleNamespace(names={"speaker": ["a", "b"]}, clips=lambda split: clips)
    return Speech(source, 1000, 64, features={"place": Position(40, 2)}, cache=str(tmp_path / "cache"), **options)


def make_audio_task(**options):
    torch.manual_seed(0)
    network = WaveNet(64, channels=8, layers=5, stacks=1, **{"hop": 40, "sample_rate": 1000, **options})
    conditions = {"speaker": ClassEmbedding(3, names=["a", "b"]), "place": FrameSequence(4, 3)}
    return LikelihoodTask(network, conditions, learning_rate=1e-2, warmup_steps=1, schedule="constant")


def test_audio_is_measured_per_scored_sample_whatever_the_padding(tmp_path):
    task, data = make_audio_task(), make_speech(tmp_path, batch_size=3)
    found = make_trainer(tmp_path).test(task, data, verbose=False)[0]
    alone = data.dataset("test")
    with torch.no_grad():
        nats = [task.nats(alone.__getitems__([i])).item() for i in range(4)]
    assert found["test/bits_per_sample"] == pytest.approx(sum(nats) / (2360 * math.log(2)), rel=1e-5)
    assert found["test/nats"] == pytest.approx(sum(nats) / 4, rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"weight_norm": True}, {"output": "gaussian", "input": "scalar"}], ids=str)
def test_training_on_crops_lowers_the_loss_of_whole_clips(tmp_path, options):
    task, data = make_audio_task(**options), make_speech(tmp_path, crop=160, context=40, batch_size=4)
    before = make_trainer(tmp_path).test(task, data, verbose=False)[0]["test/bits_per_sample"]
    make_trainer(tmp_path, max_epochs=40, limit_val_batches=0).fit(task, data)
    assert make_trainer(tmp_path).test(task, data, verbose=False)[0]["test/bits_per_sample"] < before - 1


def test_audio_that_a_model_does_not_fit_is_refused_before_training(tmp_path):
    data = make_speech(tmp_path)
    for options, message in (
        ({"sample_rate": 8000}, "sample_rate is 8000, the data's is 1000"),
        ({"hop": 20}, "hop 20 ×"),
    ):
        with pytest.raises(ValueError, match=message):
            make_trainer(tmp_path, max_epochs=1).fit(make_audio_task(**options), data)


def test_crops_with_too_little_context_are_warned_of_before_training(tmp_path):
    data = make_speech(tmp_path, crop=160)
    with pytest.warns(UserWarning, match="crops have 0 samples of context and the model sees 32"):
        make_trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(make_audio_task(), data)


# What a likelihood task hands to its optimizer: which parameters decay, and when the learning rate moves.


def small_task(**options):
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
    task = small_task(learning_rate=0.1, warmup_steps=1, schedule="constant", weight_decay=0.5)
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
    fit(small_task(learning_rate=1.0, warmup_steps=4), rates, max_epochs=2, limit_train_batches=4)
    fall = [(1 + torch.cos(torch.tensor(torch.pi * i / 4)).item()) / 2 for i in range(4)]
    assert rates.seen == pytest.approx([0.25, 0.5, 0.75, 1, *fall], abs=1e-6)


@pytest.mark.parametrize("change", [lambda batch: tuple(batch)[:2], list], ids=["tuple of two", "list"])
def test_loaders_of_ones_own_may_give_plain_tuples_and_lists(tmp_path, change):
    """As training, validation and samples of the run take them."""
    images = Images(Digits(), batch_size=100)
    images.setup()
    loaders = [DataLoader(images.dataset(s), 100, collate_fn=lambda batch: change(batch)) for s in ("train", "val")]
    trainer = make_trainer(
        tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=1, logger=pl.loggers.CSVLogger(tmp_path)
    )
    trainer.fit(small_task(), *loaders)
    assert trainer.callback_metrics["val/nats"] > 0
    assert len(list(tmp_path.rglob("samples/*.png"))) == 1
