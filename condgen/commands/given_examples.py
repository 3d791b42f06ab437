"""Examples of a new class from files, prepared as the data of a checkpoint were."""

from __future__ import annotations

import inspect
import math
import os
import sys
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from condgen.checkpoint import Checkpoint
from condgen.commands.conditions import values_of
from condgen.commands.grown import class_conditions
from condgen.commands.request import read_image
from condgen.conditioning.names import find_name, spelled
from condgen.data import Clip, FrameFeature, Labelled, Manifest, Speech, SpeechSource
from condgen.data.batch import BatchSet, NoExamples, Split
from condgen.data.decoding import read_header
from condgen.data.faults import for_each
from condgen.data.features import as_reference
from condgen.data.given import GivenClips
from condgen.data.hyperparameters import build
from condgen.data.images import ImageSet
from condgen.data.order import natural
from condgen.data.pictures import suffixes
from condgen.data.speech_sources import SUFFIXES
from condgen.models.conditional import ConditionalModel
from condgen.models.contract import AudioNetwork, audio, streaming
from condgen.paths import identity, require_file
from condgen.trust import WRITING

TABLES = (".csv", ".jsonl")
SPLITS: tuple[Split, ...] = ("train", "val", "test")
LONGEST_CROP = 16_000  # samples of a clip that are scored together, where the training data say nothing


class NewClass(NamedTuple):
    """A class that is to be learnt: its condition, and its name."""

    condition: str
    name: str


def examples_of(
    checkpoint: Checkpoint, model: ConditionalModel, new: NewClass, paths: Sequence[str], given: Mapping[str, str],
    cache: Path,
) -> BatchSet:  # fmt: skip
    """Read examples of a new class.

    Args:
        checkpoint: checkpoint whose data say how they are prepared.
        model: model that knows the class.
        new: class that they are of.
        paths: files, folders, or a table.
        given: words for other class conditions, which hold for all examples.
        cache: folder for prepared clips.

    Raises:
        ValueError: there are none, or one cannot be used, or its other conditions are not known; the message names it.
    """
    labels = {name: _one_class(model, name, text) for name, text in given.items() if name != new.condition}
    network = audio(model.network)
    known = {*class_conditions(model)}
    # A voice that is shown is another clip's of the same class, which must be known of the examples too.
    measured = {name: as_reference(feature) for name, feature in _features(checkpoint).items()}
    known |= {"thumbnail"} if network is None else {n for n, of in measured.items() if of is None or of.of in known}
    odd = [name for name in model.encoders if name not in known]
    if odd:
        raise ValueError(f"the model has the condition '{odd[0]}', of which files say nothing")
    if network is None:
        return _pictures(checkpoint, model, new, paths, labels)
    return _clips(checkpoint, model, network, _listed(checkpoint, model, new, paths, labels), cache)


def _one_class(model: ConditionalModel, name: str, text: str) -> str:
    """Return the one class that the words of a condition mean."""
    found = values_of(name, model.encoders[name], text)
    if len(found) != 1:
        raise ValueError(f"condition '{name}': '{text}' means {len(found)} classes, and all examples get one")
    return found[0][0]


def _features(checkpoint: Checkpoint) -> dict[str, FrameFeature]:
    front_end = checkpoint.front_end()
    return {} if front_end is None else front_end.features


def _files(paths: Sequence[str], known: Collection[str], kind: str) -> list[Path]:
    """List the files of a kind, those in folders too; none twice."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(Path(path).rglob("*"), key=lambda file: natural(str(file))) if os.path.isdir(path) else []
        own = [f for f in inside if f.is_file() and f.suffix.lower() in known and not f.name.startswith(".")]
        found += own if os.path.isdir(path) else [require_file(path, f"{kind}, or a folder of them")]
    if not found:
        raise ValueError(f"there are no {kind} in {', '.join(paths)}: give some examples")
    return list({identity(file): file for file in found}.values())


def _pictures(
    checkpoint: Checkpoint, model: ConditionalModel, new: NewClass, paths: Sequence[str], labels: Mapping[str, str]
) -> ImageSet:
    labels = {**labels, new.condition: new.name}
    encoders = class_conditions(model)
    for name in encoders:
        if name not in labels:
            raise ValueError(f"the examples have no '{name}': give --condition.{name} for all of them")
    shape, levels, framing = model.network.canvas(), model.network.levels, checkpoint.framing

    def read(file: Path) -> torch.Tensor:
        image = torch.from_numpy(read_image(str(file), shape, levels, framing))
        if tuple(image.shape) != tuple(shape):
            raise ValueError(f"{file} is of shape {tuple(image.shape)}, and the model of {tuple(shape)}")
        return image

    images = torch.stack(for_each(read, _files(paths, {*suffixes(), ".npy"}, "pictures"), "pictures"))
    ids = {name: torch.full((len(images),), (encoder.names or []).index(labels[name]))
           for name, encoder in encoders.items()}  # fmt: skip
    thumbnail = checkpoint.data_settings.get("thumbnail", 0) if checkpoint.has_data else 0
    return ImageSet(Labelled(images, ids), thumbnail)


def _listed(
    checkpoint: Checkpoint, model: ConditionalModel, new: NewClass, paths: Sequence[str], labels: Mapping[str, str]
) -> list[Clip]:
    """List recordings with the class of each condition: from the options, a table, or the source's own rule."""
    encoders = class_conditions(model)
    missing = [name for name in encoders if name != new.condition and name not in labels]
    if len(paths) == 1 and Path(paths[0]).suffix.lower() in TABLES:
        found = _of_class(new, _from_source(Manifest(paths[0])), paths)
    else:
        files = _files(paths, SUFFIXES, "recordings")
        plain = [Clip(file, {}, origin=str(file)) for file in files]
        found = _of_class(new, _by_rule(checkpoint, paths, files, missing), paths) if missing else plain

    def labelled(clip: Clip) -> Clip:
        own = {name: _label(clip, name, encoders[name].names or []) for name in missing}
        return clip._replace(labels={**own, **labels, new.condition: new.name})

    return for_each(labelled, found, "examples")


def _label(clip: Clip, name: str, known: Sequence[str]) -> str:
    if name not in clip.labels:
        raise ValueError(f"{clip.origin} has no '{name}': give --condition.{name} for all examples, or a table")
    place = find_name(known, clip.labels[name])
    if place is None:
        raise ValueError(f"{clip.origin}: {name} '{clip.labels[name]}' is not one of {', '.join(known)}")
    return known[place]


def _from_source(source: SpeechSource) -> list[Clip]:
    """List the clips of all splits."""

    def clips(split: Split) -> list[Clip]:
        try:
            return source.clips(split)
        except NoExamples:
            return []

    return [clip for split in SPLITS for clip in clips(split)]


def _by_rule(checkpoint: Checkpoint, paths: Sequence[str], files: Sequence[Path], missing: list[str]) -> list[Clip]:
    """List files as the source of the training data does, which reads their classes from their names or a table."""
    source = checkpoint.data_settings["source"]
    path, arguments = source["class_path"], source.get("init_args") or {}
    kind, wanted = path.rpartition(".")[2], f"give --condition.{missing[0]} for all examples, or a .csv table of them"
    if "root" not in arguments or "root" in WRITING.get(path, {}):
        raise ValueError(f"the examples have no '{missing[0]}', and the model's data, {kind}, name no files: {wanted}")
    root = paths[0] if len(paths) == 1 and os.path.isdir(paths[0]) else os.path.commonpath([f.parent for f in files])
    try:
        built = build(SpeechSource, {"class_path": path, "init_args": {**arguments, "root": str(root)}})
    except ValueError as error:
        raise ValueError(f"the examples' '{missing[0]}' is not known ({error}): {wanted}") from None
    chosen = {identity(file) for file in files}
    return [clip for clip in _from_source(built) if identity(clip.path) in chosen]


def _of_class(new: NewClass, clips: Sequence[Clip], paths: Sequence[str]) -> list[Clip]:
    """Keep the clips of a class, and those that do not say theirs."""
    own = [clip for clip in clips if spelled(clip.labels.get(new.condition, new.name)) == new.name]
    others = sorted({clip.labels[new.condition] for clip in clips if clip not in own})
    if not own:
        raise ValueError(f"{', '.join(paths)}: none of the examples is of {new.condition} '{new.name}'; they are of "
                         f"{', '.join(others) or 'nothing'}")  # fmt: skip
    if others:
        print(f"condgen: left out {len(clips) - len(own)} examples of {', '.join(others)}", file=sys.stderr)
    return own


def _clips(
    checkpoint: Checkpoint, model: ConditionalModel, network: AudioNetwork, clips: Sequence[Clip], cache: Path
) -> BatchSet:
    """Prepare recordings as those of the training data were; another rate is converted."""
    settings = checkpoint.data_settings
    names = {name: encoder.names or [] for name, encoder in class_conditions(model).items()}
    rates = {header.rate for header in for_each(lambda clip: read_header(clip.path), clips, "clips")}
    if rates != {network.sample_rate}:
        told = ", ".join(f"{rate:,}" for rate in sorted(rates))
        print(f"condgen: the examples have {told} samples per second; converted to {network.sample_rate:,}",
              file=sys.stderr)  # fmt: skip
    features, seen = _features(checkpoint), streaming(model.network)
    unit = math.lcm(*(feature.hop for feature in features.values()))
    context = -(-(seen.receptive_field if seen else 0) // unit) * unit
    crop = settings.get("crop") or LONGEST_CROP // unit * unit
    taken = {name: settings[name] for name in inspect.signature(Speech).parameters if name in settings}
    own: dict[str, Any] = {
        "features": features, "resample": True, "cache": str(cache), "source": GivenClips(clips, names),
        "crop": None if settings.get("length") else crop, "context": max(context, settings.get("context", 0)),
    }  # fmt: skip
    module = Speech(**{**taken, **own})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*silence, no peak")  # it is refused below
        module.read("train")
    store = module.stores["train"]
    silent = [file for file, is_silent in zip(store.files, store.silent, strict=True) if is_silent]
    if silent:
        raise ValueError(f"silent, no peak above −80 dB: {', '.join(silent)}; leave them out of the examples")
    return module.dataset("train")
