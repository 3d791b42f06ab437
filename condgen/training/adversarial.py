"""The Lightning module that trains a conditional generator against a conditional discriminator."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import DDPStrategy, Strategy
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning.contract import Encoder, require
from condgen.conditioning.heads import Start
from condgen.conditioning.mechanism import Conditioning
from condgen.data.batch import Batch, as_batch
from condgen.data.hyperparameters import store_hyperparameters, write_format
from condgen.described import described
from condgen.models import ConditionalDiscriminator, ConditionalGenerator
from condgen.models.conditional import DiscriminatorConditioning, Generation
from condgen.training.augmentation import Augmentation, Change, choose
from condgen.training.averaging import checked_decay, move_average
from condgen.training.batch_norm import refuse_ones, takes_one
from condgen.training.callbacks import AdversarialAlarm, SampleQuality
from condgen.training.compatibility import (
    ClassExamples,
    check_data,
    count_classes,
    data_of,
    most_examples,
    warn_undescribed,
)
from condgen.training.defaults import check_monitors, checkpoints, claim_folders, find, sampling
from condgen.training.divergence import check_finite, check_loss
from condgen.training.losses import Loss, discriminator_loss, generator_loss, gradient_penalty, r1_penalty
from condgen.training.pace import validate_at_the_end
from condgen.training.precision import check_precision
from condgen.training.random import random_of
from condgen.training.schedule import Schedule, learning_rate_factor


class Real(NamedTuple):
    """Real data in [−1, 1], (batch, *shape), and the conditions that the model uses."""

    x: Tensor
    conditions: dict[str, Tensor]


@described
class AdversarialTask(pl.LightningModule):
    """Trains x = G(z, conditions) against a discriminator.

    Every batch is a step of the discriminator; every `discriminator_steps`-th also one of the generator, with the same
    conditions and new noise. The trainer's `global_step`, and with it `max_steps` and `every_n_train_steps`, counts
    the generator's steps alone. What is random in a step depends on (seed, rank, batches so far): a resumed run goes
    on bit for bit.

    Logs the losses and, of the train split, `rank` (the probability that the discriminator ranks a real example above
    a generated one of the same batch: 0.5 where it cannot tell, 1 where it always wins) and `diversity` (distance of
    two generated examples of equal conditions over that of real ones of equal classes: near 0 where samples collapse).
    What else a run leaves is said in `condgen.training.defaults`.

    Attributes:
        generator: live generator.
        discriminator: opponent of the generator.
        model: running average of the generator's weights and statistics, from which samples are generated.

    Args:
        network: network of the generator, such as `condgen.models.Generator`.
        discriminator: network of the discriminator, such as `condgen.models.Discriminator`.
        conditions: encoder per named condition; the discriminator gets encoders of its own, alike at the start.
            Conditions that the data has and the model lacks are left out.
        conditioning: mechanism of the generator: `none`, `concat`, `bias`, `scale`, `gate` or `film`; or one for each
            condition, such as `{mask: bias, digit: film}`.
        discriminator_conditioning: mechanism of the discriminator: `none`, `concat`, `bias`, `film`, `projection` or
            `auxiliary`; or one for each condition.
        loss: `non_saturating`, `hinge`, `least_squares` or `wasserstein`.
        r1: weight of the penalty on the score's gradient at real data.
        gradient_penalty: weight of the penalty of WGAN-GP; 10 there, with `loss: wasserstein`.
        auxiliary: weight of the auxiliary classifier's loss.
        discriminator_steps: steps of the discriminator per step of the generator.
        learning_rate: learning rate of the generator's Adam.
        discriminator_learning_rate: learning rate of the discriminator's Adam; `None` for the same.
        betas: decays of Adam's averages of gradients and of their squares, for both networks.
        schedule: course of the learning rates: they stay (`constant`) or fall to 0 by the last step (`cosine`).
        ema_decay: weight of the past in the running average; it grows towards this as (1 + steps) / (10 + steps).
        samples_every_n_epochs: epochs from samples to samples of the run, generated after validation, and at its
            end; if left out, a twentieth of the run; 0 for none.
        augment: random changes of all that the discriminator sees in training, real and generated, in their order:
            `level`, `shift`, `cutout`, and `filter` for sound; see `condgen.training.augmentation`. `[]` for none; left
            out, the usual ones where a class has few training examples. Leave out what would contradict a condition.
        film_depth: number of hidden layers, in the generator, between each condition's features and its linear heads.
        film_start: initial weights of these heads, `zero` or `small`; see `FiLMGenerator`.
        film_generator: way from features to heads, in the generator: `linear`, or `multi_hop`, which attends to tokens
            layer by layer.
        post_multiplier: two scalars per layer that multiply what conditions write, used if true; see `FiLMGenerator`.
    """

    def __init__(
        self,
        network: nn.Module,
        discriminator: nn.Module,
        conditions: dict[str, nn.Module] | None = None,
        conditioning: Conditioning = "film",
        discriminator_conditioning: DiscriminatorConditioning = "projection",
        *,
        loss: Loss = "hinge",
        r1: float = 0.0,
        gradient_penalty: float = 0.0,
        auxiliary: float = 1.0,
        discriminator_steps: int = 1,
        learning_rate: float = 2e-4,
        discriminator_learning_rate: float | None = None,
        betas: tuple[float, float] = (0.5, 0.999),
        schedule: Schedule = "constant",
        ema_decay: float = 0.999,
        samples_every_n_epochs: int | None = None,
        augment: list[Change] | None = None,
        film_depth: int = 0,
        film_start: Start = "zero",
        film_generator: Generation = "linear",
        post_multiplier: bool = False,
    ) -> None:
        super().__init__()
        store_hyperparameters(self)
        if discriminator_steps < 1:
            raise ValueError(f"discriminator_steps {discriminator_steps} is not at least 1")
        for name, weight in (("r1", r1), ("gradient_penalty", gradient_penalty), ("auxiliary", auxiliary)):
            if weight < 0:
                raise ValueError(f"{name} {weight} is not at least 0")
        discriminator_loss(loss, torch.zeros(1), torch.zeros(1))  # refuses an unknown loss now
        self.automatic_optimization = False
        conditions = conditions or {}
        _check_scopes(conditions)
        self.generator = ConditionalGenerator(
            network, conditions, conditioning, film_depth=film_depth, film_start=film_start,
            film_generator=film_generator, post_multiplier=post_multiplier,
        )  # fmt: skip
        self.discriminator = ConditionalDiscriminator(
            discriminator, copy.deepcopy(conditions), discriminator_conditioning
        )
        ours, theirs = self.generator.network.shape, self.discriminator.network.shape
        if ours != theirs:
            raise ValueError(f"the generator draws {ours}, the discriminator takes {theirs}: set both shapes alike")
        self.model = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.loss, self.r1, self.gradient_penalty, self.auxiliary = loss, r1, gradient_penalty, auxiliary
        self.discriminator_steps, self.schedule = discriminator_steps, schedule
        self.ema_decay = checked_decay(ema_decay, "ema_decay")
        self.samples_every_n_epochs = samples_every_n_epochs
        self.learning_rates = (learning_rate, discriminator_learning_rate or learning_rate)
        self.betas = betas
        self.chooses_augmentation = augment is None
        self.augment = Augmentation(self.generator.network, augment or ())
        self.seed: int | None = None
        self.class_examples: ClassExamples = {}
        self.takes_one = True

    def setup(self, stage: str) -> None:
        """Compare the model with the data before anything is computed."""
        data = data_of(self.trainer)
        if data is not None:
            check_data(self.model, data)
            if stage == "fit":
                self.class_examples = count_classes(self.model, data, self.class_examples)
        if stage == "fit":
            validate_at_the_end(self.trainer)
            warn_undescribed(self, data)
            self.augment = choose(self.generator, data) if self.chooses_augmentation else self.augment
            self.takes_one = takes_one(self.generator.network, self.discriminator.network)
            if data is not None and not self.takes_one:
                loader = self.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
                refuse_ones(min(loader.batch_size or 2, len(data.dataset("train"))))
        check_strategy(self.trainer.strategy)
        if find(self.trainer, WeightAveraging) is not None:
            raise ValueError(
                "an adversarial task averages its generator by itself (model.ema_decay): remove EMA and other weight "
                "averaging from trainer.callbacks, they would average the discriminator too"
            )

    def configure_callbacks(self) -> list[pl.Callback]:
        """Give a run its defaults: an eye on the balance, samples, checkpoints; `best` where quality is measured."""
        trainer = self.trainer
        if trainer.state.fn != TrainerFn.FITTING:
            return []
        check_precision(trainer.precision)
        check_monitors(trainer)
        claim_folders(trainer)
        alarm = [] if find(trainer, AdversarialAlarm) else [AdversarialAlarm()]
        samples = sampling(trainer, self.model.network, self.samples_every_n_epochs)
        best = "val/frechet" if find(trainer, SampleQuality) else None
        return [*alarm, *samples, *checkpoints(trainer, best)]

    def train(self, mode: bool = True) -> AdversarialTask:
        """Switch the mode of all but the running average, which always evaluates."""
        super().train(mode)
        self.model.eval()
        return self

    def on_fit_start(self) -> None:
        self.seed = torch.initial_seed() if self.seed is None else self.seed

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        write_format(checkpoint)
        checkpoint |= {"adversarial_seed": self.seed, "class_examples": self.class_examples}
        checkpoint["precision"] = self.trainer.precision
        check_finite(self.trainer, checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seed = checkpoint.get("adversarial_seed")
        self.class_examples = most_examples(self.class_examples, checkpoint.get("class_examples", {}))

    def on_validation_start(self) -> None:
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            check_finite(self.trainer, self.state_dict())

    def own_conditions(self, conditions: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pick the conditions that the model uses."""
        used = {*self.generator.encoders, *self.discriminator.conditions}
        return {name: value for name, value in conditions.items() if name in used}

    def generate(self, model: ConditionalGenerator, real: Real) -> Tensor:
        """Generate data with the conditions of a batch."""
        z = torch.randn(len(real.x), model.network.noise, device=real.x.device, dtype=real.x.dtype)
        return model(z, {name: real.conditions[name] for name in model.encoders})

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        batches = self.trainer.fit_loop.total_batch_idx + 1
        with self._random(batches):
            real = self._real(batch)
            if len(real.x) == 1 and not self.takes_one:
                refuse_ones(1 if batch_idx == 0 else 2)
                rank_zero_warn(
                    "a last batch of one example is left out: batch norm on a map of one position cannot take it"
                )
                return {}
            generated, found = self._step_discriminator(real)
            if batches % self.discriminator_steps == 0:
                found |= self._step_generator(real, generated)
        self.log_dict({f"train/{n}": v for n, v in found.items()}, on_step=False, on_epoch=True, prog_bar=True,
                      batch_size=len(real.x), sync_dist=True)  # fmt: skip
        return found

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._judge_held_out("val", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._judge_held_out("test", batch, batch_idx)

    def _judge_held_out(self, split: str, batch: Batch, batch_idx: int) -> None:
        """Log how the discriminator ranks held-out data above what the average generates."""
        with self._random(batch_idx):
            real = self._real(batch)
            scores = [self.discriminator(x, real.conditions).score for x in (real.x, self.generate(self.model, real))]
        self.log(f"{split}/rank", ranked(*scores), batch_size=len(real.x), prog_bar=True, sync_dist=True)

    def _real(self, batch: Batch) -> Real:
        x, conditions, _ = as_batch(batch)
        decoded = self.generator.network.quantization.decode(x)
        return Real(decoded.to(next(self.parameters()).dtype), self.own_conditions(conditions))

    def _random(self, count: int) -> AbstractContextManager[None]:
        return random_of(self.seed, self.global_rank, count, self.device)

    def _step_discriminator(self, real: Real) -> tuple[Tensor, dict[str, Tensor]]:
        """Take a step; return the data generated for it, and figures to log."""
        optimizer = self._optimizer(1)
        with torch.no_grad():
            generated = self.generate(self.generator, real)
        # One pass for both, so that a batch norm sees them together and DDP sees one forward per backward.
        twice = {name: torch.cat([value, value]) for name, value in real.conditions.items()}
        seen = self.augment(torch.cat([real.x, generated]))
        judged = self.discriminator(seen, twice)
        scores = wide(judged.score).chunk(2)
        loss = discriminator_loss(self.loss, *scores)
        x, drawn = seen.chunk(2)
        loss = loss + self._auxiliary_loss(judged.classes, twice) + self._penalty(real._replace(x=x), drawn)
        self._take_step(optimizer, loss, "discriminator")
        return generated, {"discriminator_loss": loss.detach(), "rank": ranked(*scores).detach()}

    def _step_generator(self, real: Real, before: Tensor) -> dict[str, Tensor]:
        """Take a step; return figures to log. `before` was generated of the same conditions with other noise."""
        optimizer = self._optimizer(0)
        with self.toggled_optimizer(optimizer):
            generated = self.generate(self.generator, real)
            judged = self.discriminator(self.augment(generated.to(real.x)), real.conditions)
            loss = generator_loss(self.loss, wide(judged.score)) + self._auxiliary_loss(judged.classes, real.conditions)
            self._take_step(optimizer, loss, "generator")
        for scheduler in self.lr_schedulers():  # type: ignore[union-attr]
            scheduler.step()
        self._average()
        found = {"generator_loss": loss.detach()}
        # One real example has no distance to compare with.
        return found | ({"diversity": diversity(real, before, generated.detach())} if len(real.x) > 1 else {})

    def _auxiliary_loss(self, logits: dict[str, Tensor], conditions: dict[str, Tensor]) -> Tensor | float:
        """Return the auxiliary classifier's loss."""
        return sum(self.auxiliary * F.cross_entropy(wide(logit), conditions[n].long()) for n, logit in logits.items())

    def _penalty(self, real: Real, generated: Tensor) -> Tensor | float:
        """Return the penalties on the score's gradient at what the discriminator sees, augmented where that is."""
        penalty: Tensor | float = 0.0
        with torch.autocast(real.x.device.type, enabled=False):  # squares of gradients need the range of float32
            if self.r1:
                x = real.x.clone().requires_grad_()
                penalty = penalty + self.r1 * r1_penalty(self.discriminator(x, real.conditions).score, x)
            if self.gradient_penalty:
                judge = partial(self._score, conditions=real.conditions)
                share = torch.rand(len(real.x), device=real.x.device, dtype=real.x.dtype)
                found = gradient_penalty(judge, real.x, generated.to(real.x), share)
                penalty = penalty + self.gradient_penalty * found
        return penalty

    def _score(self, x: Tensor, conditions: dict[str, Tensor]) -> Tensor:
        return self.discriminator(x, conditions).score

    def _take_step(self, optimizer: LightningOptimizer, loss: Tensor, whose: str) -> None:
        advice = "lower model.learning_rate, give the discriminator spectral_norm or model.r1"
        check_loss(self.trainer, loss, f"the {whose}'s loss", advice)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def _optimizer(self, index: int) -> LightningOptimizer:
        """Return the generator's (0) or the discriminator's (1) optimizer; only the first one's steps are counted."""
        optimizers = cast(list[LightningOptimizer], self.optimizers())
        optimizers[1]._on_before_step = optimizers[1]._on_after_step = _nothing
        return optimizers[index]

    @torch.no_grad()
    def _average(self) -> None:
        """Move the running average towards the live generator."""
        average, live = (model.state_dict().values() for model in (self.model, self.generator))
        move_average(average, live, self.global_step - 1, self.ema_decay)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        factor = partial(learning_rate_factor, total=self.total_steps(), warmup=0, schedule=self.schedule)
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(part.parameters(), lr=rate, betas=self.betas)
            for part, rate in zip((self.generator, self.discriminator), self.learning_rates, strict=True)
        ]
        return optimizers, [torch.optim.lr_scheduler.LambdaLR(optimizer, factor) for optimizer in optimizers]

    def total_steps(self) -> float:
        """Count the generator's steps of the whole run."""
        trainer = self.trainer
        limit = float("inf") if trainer.max_steps < 0 else float(trainer.max_steps)
        if trainer.max_epochs is None or trainer.max_epochs < 0:
            return limit
        trainer.estimated_stepping_batches  # noqa: B018  (counts the batches of an epoch, as a side effect)
        return min(limit, trainer.max_epochs * trainer.num_training_batches // self.discriminator_steps)


def _check_scopes(conditions: dict[str, nn.Module]) -> None:
    """Refuse conditions that are not global."""
    for name, encoder in conditions.items():
        if require(encoder, Encoder).scope != "global":
            raise ValueError(f"condition '{name}': the maps of a DCGAN differ in size, so that its conditions are "
                             f"global, ClassEmbedding or FeatureVector, not {type(encoder).__name__}")  # fmt: skip


def check_strategy(strategy: Strategy) -> None:
    """Refuse DDP that waits for gradients of the network whose step it is not.

    Raises:
        ValueError: DDP does not look for unused parameters.
    """
    if isinstance(strategy, DDPStrategy) and not strategy._ddp_kwargs.get("find_unused_parameters"):
        raise ValueError(
            "in a step of one network the other's parameters are unused: with several processes, set "
            "--trainer.strategy ddp_find_unused_parameters_true (or --trainer.devices 1)"
        )


def wide(scores: Tensor) -> Tensor:
    """Return scores in 32 bits at least, which losses need."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def ranked(real: Tensor, generated: Tensor) -> Tensor:
    """Return the share of pairs in which the real example has the higher score; ties count half."""
    difference = real[:, None] - generated
    return ((difference > 0).float() + (difference == 0).float() / 2).mean()


def diversity(real: Real, one: Tensor, other: Tensor) -> Tensor:
    """Return the distance of generated pairs of equal conditions over that of real ones of equal classes (RMS).

    Where a batch has no two real examples of equal classes, all its pairs are taken.
    """
    rows = len(real.x)
    same = torch.ones(rows, rows, dtype=torch.bool, device=real.x.device)
    for ids in real.conditions.values():
        if ids.ndim == 1 and not ids.is_floating_point():
            same = same & (ids[:, None] == ids)
    same = same & ~torch.eye(rows, dtype=torch.bool, device=same.device)
    squares = torch.cdist(real.x.flatten(1).float(), real.x.flatten(1).float()).square()
    apart = squares[same].mean() if same.any() else squares.mean()
    return ((one - other).float().flatten(1).square().sum(1).mean() / apart.clamp(min=1e-12)).sqrt()


def _nothing() -> None:
    """Count nothing."""
