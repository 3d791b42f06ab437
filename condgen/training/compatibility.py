"""Whether a model fits its data, said before anything is computed."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from condgen.conditioning.contract import require, require_condition
from condgen.data.batch import ConditionedData
from condgen.described import describe
from condgen.models.conditional import ConditionalModel, Model, as_likelihood
from condgen.models.contract import streaming


def data_of(trainer: pl.Trainer) -> ConditionedData | None:
    """Return the data module of a trainer; `None` where it was given loaders."""
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it and declares it nowhere


def check_data(model: Model, data: ConditionedData) -> None:
    """Compare a model's grid, classes and frames with those of a data module.

    Raises:
        ValueError: they differ; the message holds both.
    """
    require(data, ConditionedData)
    for name in model.network.agrees_with_data:
        ours, theirs = getattr(model.network, name), getattr(data, name)
        if ours != theirs:
            raise ValueError(f"the model's {name} is {ours}, the data's is {theirs}: set model.network.{name}")
    likelihood = as_likelihood(model)
    audio = None if likelihood is None else streaming(likelihood.network)
    for name, encoder in model.encoders.items():
        given = require_condition(name, data.conditions)
        try:
            encoder.check(given, 1 if audio is None else audio.hop)
        except ValueError as error:
            other = given.given == "class" and encoder.classes is not None
            remedy = "; to learn other classes, start a new run from these weights with --weights FILE" if other else ""
            raise ValueError(f"condition '{name}': {error}{remedy}") from None
    if likelihood is not None and data.crop:
        _check_crops(likelihood, data)


def warn_undescribed(task: Any, data: Any) -> None:
    """Warn where no command will open the checkpoints of a run.

    Args:
        task: task that is trained.
        data: data module of the run; `None` where there is none.
    """
    for module, commands in ((task, "sample and evaluate"), (data, "evaluate")):
        if module is not None and "_class_path" not in module.hparams:
            try:
                describe(module)
            except ValueError as error:
                rank_zero_warn(f"condgen {commands} will not open the checkpoints of this run: {error}", stacklevel=5)


ClassExamples: TypeAlias = dict[str, dict[str, int]]  # training examples of each class, by condition and name


def count_classes(model: Model, data: ConditionedData, before: ClassExamples | None = None) -> ClassExamples:
    """Count the training examples of every class of a model, and warn of classes that have none.

    Args:
        model: model that is trained.
        data: data module after `setup`.
        before: examples of which the model has learned already, where it starts from trained weights.

    Raises:
        ValueError: an id has no class; the message names the condition.
    """
    found = {}
    for name, ids in data.class_ids("train").items():
        if name not in model.encoders or name not in data.names:
            continue
        names = data.names[name]
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(names):
            raise ValueError(f"condition '{name}': the training data hold class ids from {int(ids.min())} to "
                             f"{int(ids.max())}, and there are {len(names)} classes")  # fmt: skip
        if len(names) == 1:
            rank_zero_warn(f"condition '{name}' has one class alone, {names[0]}: it tells a model nothing; use data of "
                           "several, or model.conditioning none", stacklevel=5)  # fmt: skip
        found[name] = dict(zip(names, torch.bincount(ids, minlength=len(names)).tolist(), strict=True))
    counts = most_examples(found, before or {})
    for name, classes in untrained(counts).items():
        rank_zero_warn(f"condition '{name}': no training examples of {', '.join(classes)}: what is generated for them "
                       "will come from weights that nothing has trained; leave them out of the data, or add examples",
                       stacklevel=5)  # fmt: skip
    return counts


def most_examples(counts: ClassExamples, before: ClassExamples) -> ClassExamples:
    """Return the larger of two counts of every class of the first."""
    return {name: {c: max(count, before.get(name, {}).get(c, 0)) for c, count in classes.items()}
            for name, classes in counts.items()}  # fmt: skip


def untrained(counts: ClassExamples) -> dict[str, list[str]]:
    """Return the classes without examples, by condition; conditions without such classes are left out."""
    none = {name: [c for c, count in classes.items() if not count] for name, classes in counts.items()}
    return {name: classes for name, classes in none.items() if classes}


def _check_crops(model: ConditionalModel, data: Any) -> None:
    """Warn where what a crop scores depends on more than it holds."""
    audio = streaming(model.network)
    if audio is None:
        return
    hops = {name: condition.hop for name, condition in data.conditions.items()}
    around = max((encoder.around * (hops[name] or 0) for name, encoder in model.encoders.items()), default=0)
    needed = {"context": (data.context, audio.receptive_field + around), "lookahead": (data.lookahead, around)}
    for name, (held, seen) in needed.items():
        if held < seen:
            rank_zero_warn(
                f"crops have {held} samples of {name} and the model sees {seen}: set data.{name} to at least that, or "
                "samples are scored that see less than in generation",
                stacklevel=5,
            )


def check_receptive_field(model: ConditionalModel, data: ConditionedData | None = None) -> None:
    """Warn where a model of audio without local conditions sees less than 240 ms: too little to hold a word together.

    Source: van den Oord et al., "WaveNet", 2016, section 3: 240 ms with linguistic features, 300 ms without.
    """
    audio = streaming(model.network)
    if audio is None:
        return
    field = f"{audio.receptive_field} samples, {audio.receptive_field_ms:.0f} ms"
    rank_zero_info(f"receptive field: {field}")
    # How far a clip has got says nothing of words.
    silent = {name for name, c in ({} if data is None else data.conditions).items() if c.given == "length"}
    local = any(encoder.scope == "local" and name not in silent for name, encoder in model.encoders.items())
    if not local and audio.receptive_field_ms < 240:
        rank_zero_warn(
            f"the receptive field is {field}, and nothing but it tells the model what came before; below 240 ms words "
            "fall apart: use more layers or stacks, or a local condition",
            stacklevel=5,
        )
