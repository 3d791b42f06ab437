"""Samples to files: arrays, pictures, sound, and a manifest that says what decided each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from condgen.commands.conditions import Combination
from condgen.evaluation.pictures import save_grid, save_waveforms
from condgen.models.conditional import Model
from condgen.models.contract import AudioNetwork
from condgen.sampling import Samples


def write_images(
    folder: Path,
    model: Model,
    drawn: Samples,
    conditions: Mapping[str, Tensor],
    rows: Sequence[Combination],
    indices: Sequence[int],
    per_combination: int,
    facts: dict[str, Any],
) -> str:
    """Write samples.npz, manifest.jsonl, and grid.png with up to 16 samples of 100 combinations; return their names.

    Args:
        folder: where to.
        model: they are drawn from.
        drawn: the samples.
        conditions: theirs, as tensors.
        rows: theirs, in words.
        indices: theirs; they decided the noise.
        per_combination: samples of each combination.
        facts: what else decided them.
    """
    _write_arrays(folder, model, drawn, conditions)
    _write_manifest(folder, drawn, rows, indices, ["samples.npz"] * len(rows), facts)
    shown = min(per_combination, 16)
    chosen = torch.arange(len(rows)).view(-1, per_combination)[:100, :shown].flatten()
    titles = [title(row) for row in rows[::per_combination][:100]]
    save_grid(folder / "grid.png", drawn.x[chosen.to(drawn.x.device)], model.network.levels, shown, titles)
    return "samples.npz, grid.png, manifest.jsonl"


def write_audio(
    folder: Path,
    model: Model,
    drawn: Samples,
    conditions: Mapping[str, Tensor],
    rows: Sequence[Combination],
    indices: Sequence[int],
    per_combination: int,
    facts: dict[str, Any],
) -> str:
    """Write a WAV file of 16 bits per sample, samples.npz where all are of one length, manifest.jsonl, and
    waveforms.png with the first eight; return their names. Arguments: see `write_images`."""
    import soundfile

    network = cast(AudioNetwork, model.network)
    digits = max(4, len(str(max(indices))))
    files = [f"{i:0{digits}d}.wav" for i in indices]
    decoded = network.quantization.decode(drawn.x.cpu())
    waveforms = [wave[0, : row.length].numpy() for wave, row in zip(decoded, rows, strict=True)]
    for file, waveform in zip(files, waveforms, strict=True):
        soundfile.write(folder / file, waveform, network.sample_rate, subtype="PCM_16")
    one_length = len({row.length for row in rows}) == 1
    if one_length:
        _write_arrays(folder, model, drawn, conditions)
    _write_manifest(folder, drawn, rows, indices, files, {**facts, "sample_rate": network.sample_rate})
    titles = [f"{file}  {title(row)}" for file, row in zip(files, rows, strict=True)]
    save_waveforms(folder / "waveforms.png", waveforms[:8], network.sample_rate, titles[:8])
    return f"{files[0]} …, {'samples.npz, ' if one_length else ''}waveforms.png, manifest.jsonl"


def title(row: Combination) -> str:
    """Say in a few words what was asked for."""
    return (
        ", ".join(Path(label).name if label.endswith(".wav") else label for label in row.labels.values()) or "samples"
    )


def _write_arrays(folder: Path, model: Model, drawn: Samples, conditions: Mapping[str, Tensor]) -> None:
    for name in conditions:
        if name in ("samples", "log_prob", "file"):
            raise ValueError(f"a condition named '{name}' has no place in samples.npz; name it otherwise in training")
    dtype = np.uint8 if model.network.levels <= 256 else np.int32
    arrays: dict[str, Any] = {name: values.cpu().numpy() for name, values in conditions.items()}
    if drawn.log_prob is not None:
        arrays["log_prob"] = drawn.log_prob.cpu().numpy()
    np.savez_compressed(folder / "samples.npz", samples=drawn.x.cpu().numpy().astype(dtype), **arrays)


def _write_manifest(
    folder: Path,
    drawn: Samples,
    rows: Sequence[Combination],
    indices: Sequence[int],
    files: list[str],
    facts: dict[str, Any],
) -> None:
    facts = {**facts, "versions": {name: version(name) for name in ("condgen", "torch", "numpy")}}
    log_prob = None if drawn.log_prob is None else drawn.log_prob.tolist()
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for i, (row, file) in enumerate(zip(rows, files, strict=True)):
            own = {"index": indices[i], "conditions": row.labels, "file": file}
            own |= {} if log_prob is None else {"log_prob": log_prob[i]}
            own |= {} if row.length is None else {"samples": row.length}
            manifest.write(json.dumps({**own, **facts}) + "\n")
