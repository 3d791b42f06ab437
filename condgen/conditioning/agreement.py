"""What encoders say when conditions or data are of another kind, size or number than they take."""

from __future__ import annotations

import torch
from torch import Tensor

from condgen.conditioning.contract import DataCondition


def agree(our_words: str, ours: object, their_words: str, theirs: object) -> None:
    """Raise a ValueError that holds both values if they differ."""
    if ours != theirs:
        raise ValueError(f"{our_words} {ours}, {their_words} {theirs}")


def check_frames(size: int, factor: int, data: DataCondition, hop: int) -> None:
    """Compare the size and duration of the frames that an encoder takes with the data's."""
    refuse_kind("frames", data, data.kind != "frames")
    agree("the model takes frames of size", size, "the data's have", data.size)
    agree(f"the model's frames, network.hop {hop} × the encoder's factor {factor}, have", f"{hop * factor} samples",
          "the data's have", f"{data.hop} samples")  # fmt: skip


def beyond(ids: Tensor, classes: int) -> list[int]:
    """List the ids that are of no class; while a model is exported, there are no ids yet."""
    if torch.compiler.is_exporting() or not ids.numel() or 0 <= int(ids.min()) <= int(ids.max()) < classes:
        return []
    return [i for i in ids.unique().tolist() if not 0 <= i < classes]


def refuse_kind(takes: str, data: DataCondition, is_refused: bool) -> None:
    """Raise a ValueError that says what an encoder takes, and what data give, if it is refused."""
    if is_refused:
        raise ValueError(f"the model's encoder takes {takes}, and the data give {data.kind}{remedy(data)}")


def remedy(data: DataCondition) -> str:
    """Name the encoder for what data give, if there is one for that kind alone."""
    encoder = {"a class": "ClassEmbedding", "frames": "FrameSequence", "words": "TokenSequence",
               "a picture": "ImageEncoder", "a recording": "AudioReference"}.get(data.kind)  # fmt: skip
    return f"; use {encoder}" if encoder else ""


def require_shape(tensor: Tensor, shape: tuple[int | str, ...]) -> None:
    """Compare a shape with one in which words stand for any length; raise a ValueError if it does not fit."""
    fits = tensor.ndim == len(shape) and all(
        isinstance(w, str) or w == t for w, t in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"expected ({', '.join(map(str, shape))}), got {tuple(tensor.shape)}")
