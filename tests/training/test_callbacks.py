"""What shows how a model trains: samples in the log folder, also of two processes, their quality, and alarms."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, FreeSpokenDigits, Images, Speech
from condgen.models import PixelCNN, WaveNet
from condgen.training import EMA, LikelihoodTask, SampleAudio, SampleGrid
from condgen.training.callbacks import AdversarialAlarm, SampleQuality


def make_task(**options):
    torch.manual_seed(0)
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=2, head=4, first_kernel_size=3)
    return LikelihoodTask(network, {"digit": ClassEmbedding(3, names=Digits().names["digit"])}, **options)


def make_trainer(tmp_path, **options):
    defaults = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(default_root_dir=tmp_path, **{"enable_checkpointing": False, **defaults, **options})


def test_sample_grids_appear_while_training(tmp_path):
    logger = pl.loggers.CSVLogger(tmp_path)
    callbacks = [EMA(), SampleGrid(every_n_epochs=2, per_class=1)]
    make_trainer(tmp_path, max_epochs=2, limit_train_batches=1, logger=logger, callbacks=callbacks).fit(
        make_task(), Images(Digits())
    )
    assert [path.name for path in tmp_path.rglob("samples/*")] == ["step_0000002.png"]


def test_sample_grids_go_to_tensorboard_too(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = pl.loggers.TensorBoardLogger(tmp_path)
    make_trainer(tmp_path, max_epochs=1, limit_train_batches=1, logger=logger, callbacks=[SampleGrid(per_class=2)]).fit(
        make_task(), Images(Digits())
    )
    events = EventAccumulator(logger.log_dir).Reload()
    assert [event.step for event in events.Images("samples")] == [1]


def make_speech(folder):
    """Tones of two speakers, named like the Free Spoken Digit Dataset."""
    (folder / "wav").mkdir()
    for digit, speaker, take in itertools.product((1, 2), ("ann", "bob"), (0, 5, 6)):
        wave = 0.5 * np.sin(np.arange(400 + 40 * take) * (0.1 + 0.2 * digit))
        soundfile.write(folder / "wav" / f"{digit}_{speaker}_{take}.wav", wave, 8000)
    return Speech(FreeSpokenDigits(str(folder / "wav")), 8000, cache=str(folder / "cache"), batch_size=2)


def test_samples_of_audio_have_the_lengths_of_the_middle_batch(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    data = make_speech(tmp_path)
    task = LikelihoodTask(WaveNet(256, channels=4, layers=2, stacks=1, head=4, sample_rate=8000),
                          {"speaker": ClassEmbedding(3, names=["ann", "bob"])})  # fmt: skip
    logger = pl.loggers.TensorBoardLogger(tmp_path / "logs")
    with pytest.warns(UserWarning, match="receptive field"):
        make_trainer(tmp_path, max_epochs=1, logger=logger, callbacks=[SampleAudio(count=1)]).fit(task, data)
    batches = list(data.val_dataloader())
    lengths = batches[len(batches) // 2].scored.sum(1).tolist()
    folder = Path(logger.log_dir) / "samples"
    assert [soundfile.info(path).frames for path in sorted(folder.glob("*.wav"))] == lengths[:1]
    assert len(list(folder.glob("*.png"))) == 1
    assert len(EventAccumulator(logger.log_dir, size_guidance={"audio": 0}).Reload().Audio("sample_0")) == 1


TWO_PROCESSES = """
    import sys
    from pathlib import Path
    import torch, pytorch_lightning as pl
    from pytorch_lightning.callbacks import EarlyStopping
    sys.path.insert(0, {tests!r})
    from {module} import make_task
    from condgen.commands.quiet import quiet
    from condgen.data import Digits, Images
    from condgen.training import SampleGrid, SampleQuality

    class Spoil(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_rank == 1 and trainer.global_step == 4:
                next(pl_module.parameters()).data.fill_(float("nan"))

    if __name__ == "__main__":
        torch.set_num_threads(1)
        pl.seed_everything(0, verbose=False)
        quality = SampleQuality(num_samples=20, classifier_steps=2)
        trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp_find_unused_parameters_true", max_epochs=3,
                             limit_train_batches=2, limit_val_batches=2, logger=pl.loggers.CSVLogger("logs"),
                             enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
                             callbacks=[SampleGrid(per_class=1), quality, EarlyStopping("val/frechet"), Spoil()])
        try:
            with quiet():
                trainer.fit(make_task(), Images(Digits(), batch_size=64))
        except FloatingPointError as error:
            Path(f"rank_{{trainer.global_rank}}.txt").write_text(str(error))
            raise SystemExit(3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["test_callbacks", "test_adversarial"])
def test_two_processes_show_measure_and_save_together_and_stop_together(tmp_path, module):
    """What one asks alone would be waited for without end: the log folder, a figure, a loss that is no number."""
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(TWO_PROCESSES.format(tests=str(Path(__file__).parent), module=module)))
    process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)  # fmt: skip
    try:
        _, errors = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 3, errors[-3000:]
    assert "sync_dist" not in errors
    for rank, words in enumerate(("loss is no number in another process at step 4", "loss is nan at step 4")):
        line = (tmp_path / f"rank_{rank}.txt").read_text()
        assert words in line
        assert "last.ckpt is kept" in line or "best.ckpt is kept" in line
    run = tmp_path / "logs" / "lightning_logs" / "version_0"
    assert sorted(path.name for path in run.rglob("samples/*")) == ["step_0000002.png", "step_0000004.png"]
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_quality_needs_a_data_module_and_more_than_a_few_samples(tmp_path):
    data = Images(Digits())
    data.setup()
    loaders = {"train_dataloaders": data.train_dataloader(), "val_dataloaders": data.val_dataloader()}
    with pytest.raises(ValueError, match="SampleQuality needs a data module"):
        make_trainer(tmp_path, max_steps=1, callbacks=[SampleQuality()]).fit(make_task(), **loaders)
    with pytest.raises(ValueError, match="SampleQuality needs more than 5 samples"):
        make_trainer(tmp_path, max_steps=1, callbacks=[SampleQuality(num_samples=5)]).fit(make_task(), data)


class FewHeldOut(Digits):
    """Digits with three images for validation."""

    def load(self, split):
        found = super().load(split)
        return found if split != "val" else found._replace(
            x=found.x[:3], conditions={name: ids[:3] for name, ids in found.conditions.items()}
        )  # fmt: skip


def test_quality_compares_with_training_examples_where_validation_has_too_few(tmp_path, recwarn):
    quality = SampleQuality(num_samples=20, classifier_steps=1)
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=1, callbacks=[quality])
    trainer.fit(make_task(), Images(FewHeldOut()))
    assert any("the validation split has 3 examples, too few" in str(warning.message) for warning in recwarn)
    assert trainer.callback_metrics["val/frechet"] > 0


def watch(rank, diversity, batches=10):
    alarm = AdversarialAlarm(every_n_steps=5)
    trainer = type("Trainer", (), {"global_step": 7})
    for _ in range(batches):
        outputs = {"rank": torch.tensor(rank), "diversity": torch.tensor(diversity)}
        alarm.on_train_batch_end(trainer, None, outputs, None, 0)
    return alarm


def test_the_alarm_is_raised_once_until_it_is_over():
    with pytest.warns(UserWarning, match="the discriminator wins: it ranks 99.5% of real") as seen:
        watch(0.995, 1.0)
    assert len(seen) == 1
    with pytest.warns(
        UserWarning, match="samples collapse: two of equal conditions are only 5.0% as far apart"
    ) as seen:
        alarm = watch(0.7, 0.05)
    assert len(seen) == 1
    for _ in range(5):
        alarm.on_train_batch_end(type("T", (), {"global_step": 9}), None, {"diversity": torch.tensor(1.0)}, None, 0)
    assert not alarm.raised


def test_a_balanced_run_raises_no_alarm(recwarn):
    watch(0.8, 0.9)
    assert not recwarn.list


def test_a_class_that_collapses_is_logged_and_warned_of_once_by_itself(tmp_path, monkeypatch):
    """All samples of one digit are white; those of the others are the validation examples themselves."""

    def drawn(model, real, seed, **options):
        white = (real.conditions["digit"] == 3)[:, None, None, None]
        return torch.where(white, torch.full_like(real.x, 16), real.x), None

    monkeypatch.setattr("condgen.training.callbacks.sample_like", drawn)
    trainer = make_trainer(tmp_path, max_epochs=2, limit_train_batches=1, limit_val_batches=1,
                           callbacks=[SampleQuality(num_samples=170, classifier_steps=60)])  # fmt: skip
    with pytest.warns(UserWarning, match="digit '3' has collapsed or is ignored: of its samples, 100% are all") as seen:
        trainer.fit(make_task(), Images(Digits()))
    assert sum("has collapsed" in str(w.message) for w in seen) == 1
    figures = trainer.callback_metrics
    assert figures["val/diversity_digit_3"] == 0
    assert all(figures[f"val/diversity_digit_{i}"] > 0.9 and figures[f"val/read_digit_{i}"] > 0.5 for i in (0, 1, 6))


def test_every_logger_that_takes_pictures_gets_them(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = [pl.loggers.CSVLogger(tmp_path / "a"), pl.loggers.TensorBoardLogger(tmp_path / "b")]
    make_trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=1, logger=loggers,
                 callbacks=[SampleGrid(per_class=1)]).fit(make_task(), Images(Digits()))  # fmt: skip
    for logger in loggers:
        assert [path.name for path in Path(logger.log_dir).glob("samples/*")] == ["step_0000001.png"]
    assert len(EventAccumulator(loggers[1].log_dir).Reload().Images("samples")) == 1
