"""Samples to files: arrays, pictures, sound, and a manifest that says what decided each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from condgen.commands.conditions import Combination, stacked
from condgen.evaluation.pictures import save_grid, save_waveforms
from condgen.evaluation.sound import write_wav
from condgen.models.conditional import Model
from condgen.models.contract import AudioNetwork, audio
from condgen.sampling import Samples


class SampleSet(NamedTuple):
    """Samples and what was asked for.

    Attributes:
        samples: samples and their log-probabilities.
        rows: conditions of each sample.
        indices: index of each sample, which decided its noise.
    """

    samples: Samples
    rows: Sequence[Combination]
    indices: Sequence[int]


def write(folder: Path, model: Model, found: SampleSet, per_combination: int, facts: Mapping[str, Any]) -> str:
    """Write samples, a picture, and manifest.jsonl; return the names of the files.

    Args:
        folder: folder to write into.
        model: model that the samples are drawn from.
        found: samples.
        per_combination: samples of each combination of conditions.
        facts: facts that decided the samples besides their conditions.
    """
    network = audio(model.network)
    if network is None:
        return _write_images(folder, model.network.levels, found, per_combination, facts)
    return _write_audio(folder, network, found, facts)


def _write_images(folder: Path, levels: int, found: SampleSet, per_combination: int, facts: Mapping[str, Any]) -> str:
    """Write samples.npz, manifest.jsonl, and grid.png with up to 16 samples of 100 combinations."""
    _write_arrays(folder, levels, found)
    _write_manifest(folder, found, ["samples.npz"] * len(found.rows), facts)
    shown = min(per_combination, 16)
    chosen = torch.arange(len(found.rows)).view(-1, per_combination)[:100, :shown].flatten()
    titles = [title(row) for row in found.rows[::per_combination][:100]]
    save_grid(folder / "grid.png", found.samples.x.cpu()[chosen], levels, shown, titles)
    return "samples.npz, grid.png, manifest.jsonl"


def _write_audio(folder: Path, network: AudioNetwork, found: SampleSet, facts: Mapping[str, Any]) -> str:
    """Write WAV files, samples.npz where all are of one length, manifest.jsonl, and a picture of the first eight."""
    digits = max(4, len(str(max(found.indices))))
    files = [f"{i:0{digits}d}.wav" for i in found.indices]
    decoded = network.quantization.decode(found.samples.x.cpu())
    waveforms = [wave[0, : row.length].numpy() for wave, row in zip(decoded, found.rows, strict=True)]
    for file, waveform in zip(files, waveforms, strict=True):
        write_wav(folder / file, waveform, network.sample_rate)
    one_length = len({row.length for row in found.rows}) == 1
    if one_length:
        _write_arrays(folder, network.levels, found)
    _write_manifest(folder, found, files, {**facts, "sample_rate": network.sample_rate})
    titles = [f"{file}  {title(row)}" for file, row in zip(files, found.rows, strict=True)]
    save_waveforms(folder / "waveforms.png", waveforms[:8], network.sample_rate, titles[:8])
    return f"{files[0]} …, {'samples.npz, ' if one_length else ''}waveforms.png, manifest.jsonl"


def title(row: Combination) -> str:
    """Say in a few words what was asked for."""
    labels = [Path(label).name if label.endswith(".wav") else label for label in row.labels.values()]
    return ", ".join(labels) or "samples"


def _write_arrays(folder: Path, levels: int, found: SampleSet) -> None:
    conditions = stacked(found.rows)
    for name in conditions:
        if name in ("samples", "log_prob", "file"):
            raise ValueError(f"a condition named '{name}' has no place in samples.npz; name it otherwise in training")
    arrays: dict[str, Any] = {name: values.numpy() for name, values in conditions.items()}
    if found.samples.log_prob is not None:
        arrays["log_prob"] = found.samples.log_prob.cpu().numpy()
    samples = found.samples.x.cpu().numpy().astype(np.uint8 if levels <= 256 else np.int32)
    np.savez_compressed(folder / "samples.npz", samples=samples, **arrays)


def _write_manifest(folder: Path, found: SampleSet, files: Sequence[str], facts: Mapping[str, Any]) -> None:
    facts = {**facts, "versions": {name: version(name) for name in ("condgen", "torch", "numpy")}}
    log_prob = None if found.samples.log_prob is None else found.samples.log_prob.tolist()
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for i, (row, file) in enumerate(zip(found.rows, files, strict=True)):
            own = {"index": found.indices[i], "conditions": row.labels, "file": file}
            own |= {} if log_prob is None else {"log_prob": log_prob[i]}
            own |= {} if row.length is None else {"samples": row.length}
            manifest.write(json.dumps({**own, **facts}) + "\n")
