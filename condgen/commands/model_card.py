"""What a checkpoint is, for people: its network, conditions, data, training, score, and how to draw from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from torch import Tensor

from condgen.checkpoint import Checkpoint
from condgen.commands.going_on import epochs_done
from condgen.commands.next_step import foreign_modules, sampling_command
from condgen.commands.report import describe
from condgen.conditioning import Encoder, FiLMGenerator
from condgen.conditioning.mechanism import in_words
from condgen.exported import placeless
from condgen.models.conditional import Model
from condgen.pretrained import name_of

MANY = 40  # names of classes in a line


def card(checkpoint: Checkpoint, name: str | None = None) -> list[tuple[str, str]]:
    """Return what a checkpoint says of itself, in pairs of a word and a text.

    Args:
        checkpoint: checkpoint, or exported model.
        name: name for it on a command line, if another than its own.
    """
    model, front_end = checkpoint.model(), checkpoint.front_end()
    features = {} if front_end is None else front_end.features
    content, settings = checkpoint.content, checkpoint.hyper_parameters
    trust = foreign_modules(content["hyper_parameters"], content.get("datamodule_hyper_parameters", {}))
    command = sampling_command(name or name_of(checkpoint.path), model, features, checkpoint.untrained, trust)
    return [
        ("exported" if checkpoint.is_export else "checkpoint",
         f"{checkpoint.path} (format {content['format']}, SHA-256 {checkpoint.sha256})"),
        ("task", checkpoint.task_path.rpartition(".")[2]),
        ("network", _network(model, settings)),
        *[("condition", f"{name}: {_condition(encoder, checkpoint.untrained.get(name, []))}")
          for name, encoder in model.encoders.items()],
        *([("mechanism", _mechanism(model.film_generator))] if model.encoders else
          [("condition", "none: the model is unconditional")]),
        ("data", _data(checkpoint)),
        ("training", f"{epochs_done(content)} epochs, {content.get('global_step', 0)} steps"),
        *[("score", text) for text in scores(content)],
        ("draw from it", command),
    ]  # fmt: skip


def scores(content: Mapping[str, Any]) -> list[str]:
    """List the figures by which `best` was chosen, as they were when a checkpoint was written."""
    found = []
    for name, figure in figures_of(content).items():
        best = next(state.get("best_model_score") for state in _monitors(content) if state["monitor"] == name)
        beside = f" (best so far {float(best):.4g})" if isinstance(best, Tensor) and best.numel() == 1 else ""
        found.append(f"{name} {figure:.4g}{beside}")
    return found


def figures_of(content: Mapping[str, Any]) -> dict[str, float]:
    """Return these figures by their names."""
    return {str(state["monitor"]): float(state["current_score"]) for state in _monitors(content)}


def _monitors(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for state in content.get("callbacks", {}).values():
        figure = state.get("current_score") if isinstance(state, Mapping) else None
        if isinstance(figure, Tensor) and figure.numel() == 1 and state.get("monitor"):
            yield state


def _network(model: Model, settings: Mapping[str, Any]) -> str:
    weights = sum(parameter.numel() for parameter in model.parameters())
    network = settings.get("network") or {}
    given = network.get("init_args") if isinstance(network, Mapping) else None
    words = ", ".join(f"{name} {value}" for name, value in (given or {}).items() if value is not None)
    return f"{type(model.network).__name__}, {weights:,} weights" + (f" ({words})" if words else "")


def _condition(encoder: Encoder, untrained: list[str]) -> str:
    names = encoder.names or []
    if not names:
        return type(encoder).__name__
    shown = ", ".join(islice(names, MANY)) + (f", … ({len(names):,} in all)" if len(names) > MANY else "")
    missing = f"; no training examples of {', '.join(untrained[:MANY])}" if untrained else ""
    return f"{type(encoder).__name__} of {shown}{missing}"


def _mechanism(generator: FiLMGenerator) -> str:
    hops = ", attending to tokens layer by layer" if generator.memory else ""
    return in_words(generator.conditioning) + hops + (", with post-multipliers" if generator.post else "")


def _data(checkpoint: Checkpoint) -> str:
    if not checkpoint.content.get("datamodule_hyper_parameters"):
        return "not said: the run had no data module"
    settings = placeless(checkpoint.data_settings)
    return f"{describe({**settings, 'changed': {}})}, by {checkpoint.data_path.rpartition('.')[2]}"
