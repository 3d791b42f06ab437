"""What a run has unless it says otherwise, with a plain trainer too; and that one's own callbacks come first."""

import csv

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, WeightAveraging
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, Images
from condgen.models import Discriminator, Generator, PixelCNN
from condgen.training import EMA, AdversarialTask, LikelihoodTask, SampleGrid, SampleQuality
from condgen.training.callbacks import AdversarialAlarm


def likelihood(**options):
    torch.manual_seed(0)
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=1, head=4)
    return LikelihoodTask(network, {"digit": ClassEmbedding(3, num_classes=10)}, **options)


def adversarial(**options):
    torch.manual_seed(0)
    networks = Generator((1, 8, 8), levels=17, noise=4, channels=4), Discriminator((1, 8, 8), channels=4)
    return AdversarialTask(*networks, {"digit": ClassEmbedding(3, num_classes=10)}, **options)


def fit(folder, task, **options):
    """Train one step; return the trainer."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    steps = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1, "num_sanity_val_steps": 0}
    logger = {"logger": pl.loggers.CSVLogger(folder, name="run")}
    trainer = pl.Trainer(default_root_dir=folder, **{**quiet, **steps, **logger, **options})
    trainer.fit(task, Images(Digits()))
    return trainer


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.name != "hparams.yaml"}


RUN = "run/version_0"
CHECKPOINTS = {f"{RUN}/checkpoints/{name}.ckpt" for name in ("best", "last")}


def test_a_plain_trainer_leaves_checkpoints_samples_and_an_average(tmp_path):
    trainer = fit(tmp_path, likelihood())
    assert files(tmp_path) == CHECKPOINTS | {f"{RUN}/metrics.csv", f"{RUN}/samples/step_0000001.png"}
    assert sum(isinstance(c, EMA) for c in trainer.callbacks) == 1
    assert trainer.checkpoint_callback.monitor == "val/bits_per_dim"
    assert trainer.checkpoint_callback.best_model_path.endswith("best.ckpt")


def test_best_of_an_adversarial_run_is_by_quality_where_that_is_measured(tmp_path):
    trainer = fit(tmp_path / "blind", adversarial())
    assert [c.filename for c in trainer.checkpoint_callbacks] == ["last"]
    assert sum(isinstance(c, AdversarialAlarm) for c in trainer.callbacks) == 1
    assert f"{RUN}/samples/step_0000001.png" in files(tmp_path / "blind")
    quality = SampleQuality(num_samples=20, classifier_steps=1)
    trainer = fit(tmp_path / "seen", adversarial(), callbacks=[quality])
    assert [(c.filename, c.monitor) for c in trainer.checkpoint_callbacks] == [("best", "val/frechet"), ("last", None)]
    assert files(tmp_path / "seen") >= CHECKPOINTS


def test_best_waits_for_epochs_whose_quality_is_measured(tmp_path):
    quality = SampleQuality(num_samples=20, classifier_steps=1, every_n_epochs=2)
    fit(tmp_path, adversarial(), callbacks=[quality], max_epochs=2)
    assert torch.load(tmp_path / RUN / "checkpoints/best.ckpt", weights_only=True)["epoch"] == 1


@pytest.mark.parametrize("task", [likelihood, adversarial])
def test_samples_come_as_often_as_asked_or_never(tmp_path, task):
    for every, steps in [(2, ["step_0000002.png", "step_0000004.png"]), (0, [])]:
        folder = tmp_path / str(every)
        fit(folder, task(samples_every_n_epochs=every), max_epochs=4)
        assert sorted(path.name for path in folder.rglob("samples/*")) == steps


def test_without_checkpointing_or_a_log_there_are_none_and_no_samples(tmp_path):
    fit(tmp_path, likelihood(), enable_checkpointing=False, logger=False)
    assert files(tmp_path) == set()


def test_without_validation_there_is_no_best(tmp_path, recwarn):
    trainer = fit(tmp_path, likelihood(), limit_val_batches=0)
    assert [c.filename for c in trainer.checkpoint_callbacks] == ["last"]
    assert not [w for w in recwarn if "could not find the monitored key" in str(w.message)]


def test_ones_own_callbacks_take_the_place_of_the_defaults_of_their_class(tmp_path):
    own = [EMA(0.5), SampleGrid(per_class=1), ModelCheckpoint(filename="best", monitor="val/nats"), Callback()]
    trainer = fit(tmp_path, likelihood(), callbacks=list(own))
    for kind in (WeightAveraging, SampleGrid):
        assert [c for c in trainer.callbacks if isinstance(c, kind)] == [c for c in own if isinstance(c, kind)]
    assert own[3] in trainer.callbacks
    best, last = trainer.checkpoint_callbacks
    assert best is own[2]
    assert last.filename == "last"


def test_ones_own_checkpoints_stand_beside_the_defaults(tmp_path):
    own = ModelCheckpoint(filename="{epoch}", save_top_k=-1, every_n_epochs=1)
    trainer = fit(tmp_path, likelihood(), callbacks=[own], max_epochs=2)
    assert {path.name for path in tmp_path.rglob("*.ckpt")} == {"best.ckpt", "last.ckpt", "epoch=0.ckpt",
                                                               "epoch=1.ckpt"}  # fmt: skip
    assert own in trainer.checkpoint_callbacks


def test_one_that_keeps_the_last_by_itself_stays_alone_with_it(tmp_path):
    trainer = fit(tmp_path, likelihood(), callbacks=[ModelCheckpoint(monitor="val/nats", save_last=True)])
    assert [c.filename for c in trainer.checkpoint_callbacks] == ["best", None]


def test_only_a_fit_has_them_and_a_second_one_not_twice(tmp_path):
    task = likelihood()
    trainer = fit(tmp_path, task)
    before = list(trainer.callbacks)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(task, Images(Digits()))
    assert trainer.callbacks == before
    trainer = pl.Trainer(default_root_dir=tmp_path, logger=False, accelerator="cpu", enable_progress_bar=False)
    trainer.validate(task, Images(Digits()), verbose=False)
    assert not any(isinstance(c, EMA | SampleGrid) for c in trainer.callbacks)


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_two_runs_that_start_together_have_a_folder_each(tmp_path, kind, monkeypatch):
    """Both have counted the runs before either has made its folder."""
    pytest.importorskip("tensorboard")
    loggers = [kind(tmp_path, name="run") for _ in range(2)]
    count = loggers[1]._get_next_version
    counted = iter([loggers[1]._get_next_version()])
    monkeypatch.setattr(loggers[1], "_get_next_version", lambda: next(counted, None) if next_is_stale() else count())
    stale = iter([True])
    next_is_stale = lambda: next(stale, False)  # noqa: E731
    for logger in loggers:
        fit(tmp_path, likelihood(), logger=logger, limit_val_batches=0)
    assert [logger.version for logger in loggers] == [0, 1]
    assert all((tmp_path / f"run/version_{i}/checkpoints/last.ckpt").is_file() for i in (0, 1))


@pytest.mark.parametrize("kind", [EarlyStopping, ModelCheckpoint])
def test_what_watches_validation_is_refused_where_there_is_none(tmp_path, kind):
    callback = kind(monitor="val/nats")
    with pytest.raises(ValueError, match=f"{kind.__name__} watches val/nats, and this run has no validation"):
        fit(tmp_path, likelihood(), callbacks=[callback], limit_val_batches=0)


@pytest.mark.parametrize("callback", [EarlyStopping, ModelCheckpoint])
def test_a_figure_that_comes_every_few_epochs_may_be_watched(tmp_path, callback):
    quality = SampleQuality(num_samples=20, classifier_steps=1, every_n_epochs=3)
    callbacks = [quality, callback(monitor="val/frechet")]
    trainer = fit(tmp_path, adversarial(), callbacks=callbacks, max_epochs=3)
    assert trainer.current_epoch == 3
    rows = list(csv.DictReader((tmp_path / RUN / "metrics.csv").open()))
    assert [int(row["epoch"]) for row in rows if row["val/frechet"]] == [0, 2]
