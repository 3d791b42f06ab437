"""Checkpoints: a file that rebuilds its model by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import pytorch_lightning as pl
import torch

import condgen.data
import condgen.training  # noqa: F401  (classes that a checkpoint names must be imported)
from condgen.data.front_end import FrontEnd, front_end
from condgen.models import ConditionalGenerator, ConditionalModel

PathLike = str | Path
Weights = Literal["ema", "live"]


def read_checkpoint(path: PathLike) -> dict[str, Any]:
    """Read a checkpoint that `condgen fit` wrote, without running any code in it.

    Raises:
        ValueError: the file is missing, broken, or not one of condgen's.
    """
    if not Path(path).is_file():
        raise ValueError(f"checkpoint {path} does not exist")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file can make the unpickler raise anything
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"checkpoint {path} cannot be read; it may be truncated ({cause})") from None
    hyper_parameters = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if not str(hyper_parameters.get("_class_path", "")).startswith("condgen."):
        raise ValueError(f"{path} is not a checkpoint of a condgen model: train one with `condgen fit`")
    return checkpoint


def load_task(path: PathLike) -> pl.LightningModule:
    """Rebuild the Lightning module of a checkpoint, on the CPU, in evaluation mode."""
    read_checkpoint(path)
    try:
        return pl.LightningModule.load_from_checkpoint(path, map_location="cpu", weights_only=True).eval()
    except (RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint {path} does not fit this version of condgen: {error}") from None


def load(path: PathLike, device: str = "cpu", weights: Weights = "ema") -> ConditionalModel | ConditionalGenerator:
    """Rebuild the conditional model of a checkpoint, in evaluation mode.

    Args:
        path: the checkpoint.
        device: `cpu`, `cuda`, …, or `auto` for a GPU where there is one.
        weights: the running average (`ema`), or what the optimizer had last (`live`); without an average they are one.

    Raises:
        ValueError: the file is missing, broken, or holds no model to draw from; or the device is not to be had.
    """
    if weights not in get_args(Weights):
        raise ValueError(f"unknown weights '{weights}'; known: {', '.join(get_args(Weights))}")
    task: Any = load_task(path)
    model = getattr(task, "model", None)
    if not isinstance(model, ConditionalModel | ConditionalGenerator):
        raise ValueError(f"{path} holds a {type(task).__name__}, not a model that this command takes")
    if weights == "live" and isinstance(model, ConditionalGenerator):
        model = task.generator
    elif weights == "live":
        task.load_state_dict(read_checkpoint(path).get("current_model_state", task.state_dict()))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return model.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device '{device}' is not to be had: {str(error).splitlines()[0]}") from None


def load_data(path: PathLike, changes: Mapping[str, Any]) -> pl.LightningDataModule:
    """Rebuild the data module that a checkpoint was trained with.

    Args:
        path: the checkpoint.
        changes: other values for arguments of the data module, or else of its source, such as `{"root": "data"}`.
    """
    stored = data_settings(path)
    own = {key: value for key, value in changes.items() if key in stored and key != "source"}
    rest = {key: value for key, value in changes.items() if key not in stored}
    rest |= changes.get("source", {})
    rest = {key.removeprefix("source."): value for key, value in rest.items()}
    source = {**stored["source"], "init_args": {**stored["source"].get("init_args", {}), **rest}}
    return pl.LightningDataModule.load_from_checkpoint(path, weights_only=True, **{**own, "source": source})


def data_settings(path: PathLike) -> dict[str, Any]:
    """Return the arguments of the data module that a checkpoint was trained with."""
    stored = read_checkpoint(path).get("datamodule_hyper_parameters")
    if not stored:
        raise ValueError(f"checkpoint {path} does not say what data it was trained on")
    return {key: value for key, value in stored.items() if not key.startswith("_")}


def load_front_end(path: PathLike) -> FrontEnd | None:
    """Rebuild what measures the local conditions of an audio model; `None` for a model of images."""
    settings = data_settings(path)
    return front_end(settings) if "sample_rate" in settings else None


def sha256(path: PathLike) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
