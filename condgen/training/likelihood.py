"""The Lightning module that trains likelihood models."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from condgen.conditioning.heads import Start
from condgen.conditioning.mechanism import Conditioning
from condgen.data.batch import Batch, as_batch, count_dims
from condgen.data.hyperparameters import store_hyperparameters, write_format
from condgen.described import described
from condgen.models import ConditionalModel
from condgen.models.conditional import Generation
from condgen.training.averaging import EMA, checked_decay
from condgen.training.compatibility import (
    ClassExamples,
    check_data,
    check_receptive_field,
    count_classes,
    data_of,
    most_examples,
    warn_undescribed,
)
from condgen.training.compilation import compile_for_training
from condgen.training.defaults import check_monitors, checkpoints, claim_folders, find, sampling
from condgen.training.divergence import check_finite, check_loss
from condgen.training.pace import validate_at_the_end
from condgen.training.precision import check_precision
from condgen.training.random import random_of
from condgen.training.schedule import Schedule, learning_rate_factor


@described
class LikelihoodTask(pl.LightningModule):
    """Trains p(x | conditions) by maximum likelihood.

    Logs `bits_per_dim` (images) or `bits_per_sample` (audio), averages over all dimensions that are scored, and `nats`
    per image or clip, of the train, val and test splits. What else a run leaves is said in `condgen.training.defaults`.

    Args:
        network: likelihood model, such as `condgen.models.PixelCNN` or `condgen.models.WaveNet`.
        conditions: encoder per named condition. Conditions that the data has and the model lacks are left out.
        conditioning: mechanism by which the conditions act, `none`, `bias`, `scale`, `gate`, `film` or `concat`; or one
            for each condition, such as `{mask: bias, speaker: scale}`.
        condition_dropout: probability that an example's conditions are replaced by "none", for all of them or by name,
            such as `{digit: 0.1}`; 0.1 lets sampling turn the conditions up, by guidance.
        learning_rate: highest learning rate of AdamW.
        warmup_steps: steps over which the learning rate rises from 0; if left out, a twentieth of the run, 100 at most.
        schedule: course of the learning rate afterwards: it stays (`constant`) or falls to 0 by the last step
            (`cosine`).
        weight_decay: decoupled weight decay of the network's weight matrices; FiLM generators and biases are left out,
            because it would pull the conditions' effect to nothing.
        ema_decay: weight of the past in the running average of the weights, which is what validation, test and
            sampling use; it grows towards this as (1 + steps) / (10 + steps). 0 for no average.
        samples_every_n_epochs: epochs from samples to samples of the run, which come after validation, and at its
            end; if left out, a twentieth of the run; 0 for none.
        compile: choice to run the network through `torch.compile` while training, after a minute of compilation; if
            left out, where it gains: in 16 bits, with images or sounds of one length, and a C++ compiler at hand.
        adapted: classes with FiLM parameters of their own, by condition, which `condgen adapt --what film` learns.
        film_depth: number of hidden layers between each condition's features and its linear heads.
        film_start: initial weights of these heads, `zero` or `small`; see `FiLMGenerator`.
        film_generator: way from features to heads: `linear`, or `multi_hop`, which attends to tokens layer by layer.
        post_multiplier: two scalars per layer that multiply what conditions write, used if true; see `FiLMGenerator`.
            Weight decay leaves them out.
    """

    def __init__(
        self,
        network: nn.Module,
        conditions: dict[str, nn.Module] | None = None,
        conditioning: Conditioning = "bias",
        *,
        condition_dropout: float | dict[str, float] = 0.0,
        learning_rate: float = 1e-3,
        warmup_steps: int | None = None,
        schedule: Schedule = "cosine",
        weight_decay: float = 0.0,
        ema_decay: float = 0.999,
        samples_every_n_epochs: int | None = None,
        compile: bool | None = None,
        adapted: dict[str, list[str]] | None = None,
        film_depth: int = 0,
        film_start: Start = "zero",
        film_generator: Generation = "linear",
        post_multiplier: bool = False,
    ) -> None:
        super().__init__()
        store_hyperparameters(self)
        self.model = ConditionalModel(
            network, conditions or {}, conditioning, condition_dropout=condition_dropout, adapted=adapted,
            film_depth=film_depth, film_start=film_start, film_generator=film_generator,
            post_multiplier=post_multiplier,
        )  # fmt: skip
        self.compile_network = compile
        self.learning_rate, self.warmup_steps = learning_rate, warmup_steps
        self.schedule, self.weight_decay = schedule, weight_decay
        self.ema_decay = checked_decay(ema_decay, "ema_decay")
        self.samples_every_n_epochs = samples_every_n_epochs
        self.class_examples: ClassExamples = {}
        self.seed: int | None = None

    def configure_callbacks(self) -> list[pl.Callback]:
        """Give a run its defaults: averaged weights, samples, checkpoints."""
        trainer, network = self.trainer, self.model.network
        if trainer.state.fn != TrainerFn.FITTING:
            return []
        check_precision(trainer.precision)
        check_monitors(trainer)
        claim_folders(trainer)
        averaging = [EMA(self.ema_decay)] if self.ema_decay and find(trainer, WeightAveraging) is None else []
        samples = sampling(trainer, network, self.samples_every_n_epochs)
        return [*averaging, *samples, *checkpoints(trainer, f"val/bits_per_{network.dim}")]

    def setup(self, stage: str) -> None:
        """Compare the model with the data before anything is computed."""
        data = data_of(self.trainer)
        if data is not None:
            check_data(self.model, data)
            if stage == "fit":
                self.class_examples = count_classes(self.model, data, self.class_examples)
        check_receptive_field(self.model, data)
        if stage == "fit":
            validate_at_the_end(self.trainer)
            warn_undescribed(self, data)

    def on_fit_start(self) -> None:
        self.seed = torch.initial_seed() if self.seed is None else self.seed
        data = data_of(self.trainer)
        fixed = data is not None and data.shape is not None
        compile_for_training(self.model.get_submodule("network"), self.compile_network, self.trainer.precision, fixed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        write_format(checkpoint)
        checkpoint |= {"seed": self.seed, "class_examples": self.class_examples, "precision": self.trainer.precision}
        check_finite(self.trainer, checkpoint["state_dict"], checkpoint.get("current_model_state", {}))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seed = checkpoint.get("seed")
        self.class_examples = most_examples(self.class_examples, checkpoint.get("class_examples", {}))

    def on_validation_start(self) -> None:
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            check_finite(self.trainer, self.state_dict())

    def own_conditions(self, conditions: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pick the conditions that the model uses."""
        return {name: value for name, value in conditions.items() if name in self.model.encoders}

    def nats(self, batch: Batch) -> Tensor:
        """Return −log p(x | conditions) per example, (batch,)."""
        x, conditions, scored = batch
        return -self.model.log_prob(x, self.own_conditions(conditions), scored)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        batch = as_batch(batch)
        with random_of(self.seed, self.global_rank, self.trainer.fit_loop.total_batch_idx + 1, self.device):
            loss = self._log("train", batch) * self._share(count_dims(batch))
        advice = f"lower the learning rate (now {self.learning_rate}) or set trainer.gradient_clip_val"
        check_loss(self.trainer, loss, "the loss", advice)
        return loss

    def _share(self, dims: int) -> Tensor | float:
        """Return this process's share of the dimensions of a batch of all, times the number of processes: the mean of
        all losses is then that of one process with the whole batch."""
        if self.trainer.world_size == 1:
            return 1.0
        own = torch.tensor(float(dims), device=self.device)
        return own / self.trainer.strategy.reduce(own.clone(), reduce_op="mean")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._log("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._log("test", batch)

    def _log(self, split: str, batch: Batch) -> Tensor:
        """Log a batch; return its nats per dimension."""
        batch = as_batch(batch)
        nats, dims = self.nats(batch).sum(), count_dims(batch)
        log = partial(self.log, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)
        # Weighed by what it is an average over: a batch of short clips counts less than one of long clips.
        bits = nats / (max(1, dims) * math.log(2))
        log(f"{split}/bits_per_{self.model.network.dim}", bits, batch_size=dims)
        log(f"{split}/nats", nats / len(batch.x), batch_size=len(batch.x))
        return nats / max(1, dims)

    def _warmup(self, total: float) -> int:
        return int(min(100, total // 20)) if self.warmup_steps is None else self.warmup_steps

    def configure_optimizers(self) -> OptimizerLRScheduler:
        matrices = [p for p in self.model.network.parameters() if p.ndim > 1]
        decayed = {id(p) for p in matrices}
        others = [p for p in self.model.parameters() if id(p) not in decayed]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=self.learning_rate)
        total = self.trainer.estimated_stepping_batches
        factor = partial(learning_rate_factor, total=total, warmup=self._warmup(total), schedule=self.schedule)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
