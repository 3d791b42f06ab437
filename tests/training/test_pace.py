"""How long a run is, and how often it is looked at: by its own length."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytorch_lightning import Trainer

from condgen.training.pace import WholeEpochs, due, epochs, validate_at_the_end
from condgen.training.schedule import learning_rate_factor

sys.path.insert(0, str(Path(__file__).parent))
from test_defaults import adversarial, files, fit, likelihood


def trainer_of(max_epochs=-1, max_steps=-1, batches=10, accumulate=1, epoch=0, every=1):
    return SimpleNamespace(max_epochs=max_epochs, max_steps=max_steps, num_training_batches=batches,
                           accumulate_grad_batches=accumulate, current_epoch=epoch,
                           check_val_every_n_epoch=every)  # fmt: skip


@pytest.mark.parametrize(("limits", "expected"), [
    ({"max_epochs": 7}, 7), ({"max_steps": 25}, 3), ({"max_epochs": 2, "max_steps": 25}, 2), ({}, None),
    ({"max_steps": 25, "accumulate": 2}, 5), ({"max_steps": 25, "batches": math.inf}, None), ({"max_epochs": 0}, 0),
])  # fmt: skip
def test_a_run_has_as_many_epochs_as_its_narrowest_limit(limits, expected):
    assert epochs(trainer_of(**limits)) == expected


@pytest.mark.parametrize("total", [1, 2, 3, 7, 19, 20, 60, 101, 375])
def test_samples_are_due_about_twenty_times_and_at_the_end(total):
    found = [epoch for epoch in range(total) if due(trainer_of(total, epoch=epoch), None)]
    assert found[-1] == total - 1
    assert min(total, 20) <= len(found) <= 40


@pytest.mark.parametrize("every", [1, 2, 5, 20])
def test_samples_are_due_as_often_as_asked_and_at_the_end(every):
    found = {epoch for epoch in range(7) if due(trainer_of(7, epoch=epoch), every)}
    assert found == {epoch for epoch in range(7) if (epoch + 1) % every == 0} | {6}


@pytest.mark.parametrize("total", range(1, 30))
@pytest.mark.parametrize("every", [1, 2, 5, 20])
def test_the_last_epoch_has_a_validation_and_none_comes_later_than_asked(total, every):
    trainer = trainer_of(total, every=every)
    validate_at_the_end(trainer)
    assert total % trainer.check_val_every_n_epoch == 0
    assert trainer.check_val_every_n_epoch <= every


def test_validation_by_batches_and_without_an_end_stays_as_it_is():
    for trainer in (trainer_of(10, every=None), trainer_of(-1, every=5)):
        before = trainer.check_val_every_n_epoch
        validate_at_the_end(trainer)
        assert trainer.check_val_every_n_epoch == before


@pytest.mark.parametrize("make", [likelihood, adversarial])
def test_three_epochs_end_with_validation_and_a_picture_whatever_the_intervals(tmp_path, make):
    fit(tmp_path, make(samples_every_n_epochs=20), max_epochs=3, check_val_every_n_epoch=5)
    pictures = [name for name in files(tmp_path) if "/samples/" in name]
    assert [name.rpartition("_")[2] for name in pictures] == ["0000003.png"]


@pytest.mark.parametrize(
    ("steps", "accumulate", "expected"), [(1, 1, 1), (19, 1, 1), (20, 1, 2), (10, 2, 1), (11, 2, 2)]
)
def test_a_run_has_as_many_whole_epochs_as_make_its_steps(tmp_path, steps, accumulate, expected):
    """An epoch of 1,197 digits has 19 batches of 64."""
    trainer = fit(tmp_path, likelihood(), max_epochs=-1, limit_train_batches=1.0, accumulate_grad_batches=accumulate,
                  callbacks=[WholeEpochs(steps)])  # fmt: skip
    assert trainer.current_epoch == trainer.max_epochs == expected
    assert trainer.global_step >= steps


def test_steps_below_one_are_refused():
    with pytest.raises(ValueError, match="steps 0 is not at least 1"):
        WholeEpochs(0)


@pytest.mark.parametrize(("given", "total", "expected"), [(None, 40, 2), (None, 9, 0), (None, 10**5, 100), (7, 40, 7)])
def test_the_warm_up_follows_the_length_of_the_run(tmp_path, given, total, expected):
    task = likelihood(warmup_steps=given)
    task.trainer = Trainer(max_steps=total, logger=False, enable_checkpointing=False, accelerator="cpu")
    schedule = task.configure_optimizers()["lr_scheduler"]["scheduler"]
    factor = schedule.lr_lambdas[0]
    assert [factor(step) for step in (0, 1, 5)] == [
        learning_rate_factor(step, total, expected, "cosine") for step in (0, 1, 5)
    ]
