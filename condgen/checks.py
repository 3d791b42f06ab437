"""Whether a model fits its data, said before anything is computed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_info

from condgen.conditioning import ClassEmbedding, FrameSequence, LinguisticSequence
from condgen.models import ConditionalGenerator, ConditionalModel


def check_data(model: ConditionalModel | ConditionalGenerator, data: Any) -> None:
    """Compare a model's grid, classes and frames with those of a data module.

    Raises:
        ValueError: they differ; the message holds both.
    """
    network: Any = model.network
    for name in network.agrees_with_data:
        ours, theirs = getattr(network, name), getattr(data, name, None)
        if ours != theirs:
            raise ValueError(f"the model's {name} is {ours}, the data's is {theirs}: set model.network.{name}")
    for name, encoder in model.generator.encoders.items():
        if isinstance(encoder, ClassEmbedding):
            if name not in data.names:
                known = ", ".join(data.names) or "none"
                raise ValueError(f"the model has the condition '{name}', the data has: {known}")
            _agree(f"condition '{name}': the model's classes are", encoder.names, "the data's are", data.names[name])
        elif isinstance(encoder, FrameSequence | LinguisticSequence) and hasattr(data, "features"):
            _check_frames(name, encoder, network, data.features)
    if getattr(data, "crop", None):
        _check_crops(model, data)


def check_classes(model: ConditionalGenerator, data: Any) -> None:
    """Compare the class ids of the training split with the classes.

    Raises:
        ValueError: an id has no class, or a class has no examples; the message names it.
    """
    ids_by_name = data.class_ids("train") if hasattr(data, "class_ids") else {}
    for name, ids in ids_by_name.items():
        if name not in model.generator.encoders or name not in data.names:
            continue
        names = data.names[name]
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(names):
            raise ValueError(f"condition '{name}': the training data hold class ids from {int(ids.min())} to "
                             f"{int(ids.max())}, and there are {len(names)} classes")  # fmt: skip
        missing = [names[i] for i, count in enumerate(torch.bincount(ids, minlength=len(names)).tolist()) if not count]
        if missing:
            raise ValueError(f"condition '{name}': no training examples of {', '.join(missing)}; leave such classes "
                             "out of the data")  # fmt: skip


def _check_crops(model: ConditionalModel | ConditionalGenerator, data: Any) -> None:
    """Warn where what a crop scores depends on more than it holds."""
    encoders = {n: e for n, e in model.generator.encoders.items() if isinstance(e, FrameSequence | LinguisticSequence)}
    around = max((e.around * data.features[name].hop for name, e in encoders.items()), default=0)
    needed = {"context": model.network.receptive_field + around, "lookahead": around}
    for name, samples in needed.items():
        if getattr(data, name) < samples:
            warnings.warn(
                f"crops have {getattr(data, name)} samples of {name} and the model sees {samples}: set data.{name} to "
                "at least that, or samples are scored that see less than in generation",
                stacklevel=2,
            )


def _check_frames(name: str, encoder: Any, network: Any, features: Mapping[str, Any]) -> None:
    if name not in features:
        raise ValueError(
            f"the model has the condition '{name}', the data's features are: {', '.join(features) or 'none'}"
        )
    feature = features[name]
    _agree(f"condition '{name}': the model takes frames of size", encoder.size, "the data's have", feature.size)
    _agree(f"condition '{name}': the model's frames, network.hop {network.hop} × the encoder's factor {encoder.factor},"
           " have", f"{network.hop * encoder.factor} samples", "the data's have", f"{feature.hop} samples")  # fmt: skip
    if isinstance(encoder, LinguisticSequence):
        _agree(f"condition '{name}': the model's phonemes are", encoder.names, "the data's are", feature.phonemes)


def _agree(our_words: str, ours: Any, their_words: str, theirs: Any) -> None:
    if ours != theirs:
        raise ValueError(f"{our_words} {ours}, {their_words} {theirs}")


def check_receptive_field(model: ConditionalModel, data: Any = None) -> None:
    """Warn where a WaveNet without local conditions sees less than 240 ms: too little to hold a word together.

    Source: van den Oord et al., "WaveNet", 2016, section 3: 240 ms with linguistic features, 300 ms without.
    """
    network: Any = model.network
    if not hasattr(network, "receptive_field_ms"):
        return
    field = f"{network.receptive_field} samples, {network.receptive_field_ms:.0f} ms"
    rank_zero_info(f"receptive field: {field}")
    features = getattr(data, "features", {})
    local = any(
        isinstance(encoder, FrameSequence | LinguisticSequence)
        and getattr(features.get(name), "given", "audio") != "length"  # how far a clip has got says nothing of words
        for name, encoder in model.generator.encoders.items()
    )
    if not local and network.receptive_field_ms < 240:
        warnings.warn(
            f"the receptive field is {field}, and nothing but it tells the model what came before; below 240 ms words "
            "fall apart: use more layers or stacks, or a local condition",
            stacklevel=2,
        )
