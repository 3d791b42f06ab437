"""What a command asks of a model's sampler."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from condgen.commands.conditions import PictureReader, read_npy
from condgen.data.clips import Clip
from condgen.data.front_end import FrontEnd
from condgen.data.pictures import USUAL, Framing, fitted, read_picture
from condgen.models import ConditionalModel
from condgen.models.conditional import Model, as_generator, as_likelihood
from condgen.models.contract import audio
from condgen.paths import content_of, require_file


class Request(NamedTuple):
    """What is asked of a sampler.

    Attributes:
        options: arguments of the sampler.
        facts: options that the manifest names, in its words.
    """

    options: dict[str, Any]
    facts: dict[str, Any]


def request(
    model: Model,
    front_end: FrontEnd | None,
    lengths: Sequence[int] | None,
    *,
    truncation: float | None,
    engine: str,
    tempering: dict[str, Any],
    completing: dict[str, Any],
    framing: Framing = USUAL,
) -> Request:
    """Turn options of the command line into arguments of the model's sampler.

    Args:
        model: model to draw from.
        front_end: front end of an audio model; `None` for images.
        lengths: samples of audio asked for, per sample.
        truncation: option of generators.
        engine: name of an engine, or `auto`.
        tempering: options of likelihood models that temper the distribution.
        completing: options of likelihood models that say what is to be completed; see `read_given`.
        framing: way in which a picture to be completed is brought to the model's size.
    """
    likelihood = as_likelihood(model)
    if likelihood is None:
        return Request({"truncation": truncation}, {"truncation": truncation})
    given = read_given(likelihood, front_end, lengths, **completing, framing=framing)
    return Request({**tempering, **given, "length": lengths, "engine": engine}, {**tempering, **completing})


def read_given(
    model: ConditionalModel,
    front_end: FrontEnd | None,
    lengths: Sequence[int] | None,
    prime: str | None,
    complete: str | None,
    keep_rows: int,
    framing: Framing = USUAL,
) -> dict[str, Tensor]:
    """Read what is to be completed.

    Args:
        model: likelihood model.
        front_end: front end of an audio model; `None` for images.
        lengths: samples of audio asked for.
        prime: audio file to begin with.
        complete: picture, or .npy file with an image of levels.
        keep_rows: upper rows of it to keep.
        framing: way in which a picture is brought to the model's size.

    Returns:
        The arguments `given` and `known` of `condgen.sampling.sample`; empty where nothing is to be completed.

    Raises:
        ValueError: an option is for the other kind of model, or does not fit; the message names it.
    """
    if front_end is None:
        if prime is not None:
            raise ValueError("--prime is for audio; an image is completed with --complete FILE --keep_rows N")
        return _upper_rows(model, complete, keep_rows, framing)
    if complete is not None or keep_rows:
        raise ValueError("--complete and --keep_rows are for images; audio is primed with --prime FILE.wav")
    network = audio(model.network)
    if prime is None or network is None:
        return {}
    reader = replace(front_end.reader, normalise="none")  # a beginning is no whole clip: its level stays
    waveform = reader.read(Clip(Path(prime), {}, origin=prime)).waveform
    if lengths and len(waveform) > min(lengths):
        raise ValueError(f"{prime} has {len(waveform) / reader.sample_rate:.2f} s, more than the "
                         f"{min(lengths) / reader.sample_rate:.2f} s that are asked for")  # fmt: skip
    return {"given": network.quantization.encode(waveform)[None, None]}


def _upper_rows(model: ConditionalModel, complete: str | None, keep_rows: int, framing: Framing) -> dict[str, Tensor]:
    shape = model.network.canvas()
    if complete is None:
        if keep_rows:
            raise ValueError("keep_rows needs --complete FILE, the image to keep rows of")
        return {}
    if not 0 < keep_rows < shape[1]:
        raise ValueError(f"keep_rows {keep_rows} is not between 1 and {shape[1] - 1}")
    image = torch.from_numpy(read_image(complete, shape, model.network.levels, framing))
    known = torch.zeros(shape[1:], dtype=torch.bool)
    known[:keep_rows] = True
    return {"given": image[None] if image.ndim == 3 else image, "known": known}


def picture_reader(model: Model, framing: Framing) -> PictureReader | None:
    """Return what reads a picture that is shown to a model, with numbers from 0 to 1, as its training data were; `None`
    for audio."""
    network, likelihood, generator = model.network, as_likelihood(model), as_generator(model)
    if audio(network) is not None:
        return None
    shape = likelihood.network.canvas() if likelihood is not None else generator.network.shape if generator else ()

    def read(path: str) -> Tensor:
        image = torch.from_numpy(read_image(path, shape, network.levels, framing))
        return image.float() / (network.levels - 1)

    return read


def read_image(path: str, shape: tuple[int, ...], levels: int, framing: Framing) -> np.ndarray:
    """Read an image of levels from an .npy file; or a picture, fitted to the shape and its levels to the model's."""
    require_file(path, "a picture, or an .npy file with an image of levels")
    if content_of(path) == "an .npy array":
        return read_npy(path)
    channels, height, width = shape
    if channels not in (1, 3):
        raise ValueError(f"{path} is no .npy file, which a model of {channels} channels needs")
    picture = read_picture(Path(path), channels, framing.checked().background)
    if picture.image.size != (width, height):
        done = {"crop": "cropped and resized", "squash": "squashed"}[framing.fit]
        print(f"condgen: {path} is {picture.image.height} × {picture.image.width}; {done} to {height} × {width}",
              file=sys.stderr)  # fmt: skip
    if picture.is_transparent:
        print(f"condgen: {path} is transparent in places, where {framing.background} shows", file=sys.stderr)
    image = fitted(picture.image, height, width, framing.fit).astype(np.int64)
    # As `Folder` drops bits where the levels are a power of 2; otherwise, as for 17 levels, the nearest one.
    return image * levels // 256 if 256 % levels == 0 else (image * (levels - 1) + 127) // 255
