"""Samples to files: arrays, pictures, sound, and a manifest that says what decided each, as every file says itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from condgen.commands.conditions import Combination, stacked
from condgen.commands.naming import file_names, title
from condgen.commands.provenance import comment, note
from condgen.evaluation.pictures import pixels, save_grid, save_image, save_waveforms
from condgen.evaluation.sound import write_wav
from condgen.models.conditional import Model
from condgen.models.contract import AudioNetwork, audio
from condgen.sampling import Samples

OWN_ARRAYS = ("samples", "log_prob", "file", "provenance")  # names in samples.npz that no condition may have


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
    """Write a file per sample, samples.npz, a picture of some, and manifest.jsonl; return the names of the files.

    Args:
        folder: folder to write into.
        model: model that the samples are drawn from.
        found: samples.
        per_combination: samples of each combination of conditions.
        facts: facts that decided the samples besides their conditions.
    """
    network = audio(model.network)
    facts = {**facts, "versions": {name: version(name) for name in ("condgen", "torch", "numpy")}}
    if network is None:
        return _write_images(folder, model.network.levels, found, per_combination, facts)
    return _write_audio(folder, network, found, facts)


def _write_images(folder: Path, levels: int, found: SampleSet, per_combination: int, facts: Mapping[str, Any]) -> str:
    """Write PNG files, samples.npz, manifest.jsonl, and grid.png with up to 16 samples of 100 combinations."""
    files = file_names([row.labels for row in found.rows], found.indices, ".png")
    records = _records(found, facts)
    images = pixels(found.samples.x, levels)
    images = images[..., 0] if found.samples.x.shape[1] == 1 else images
    for file, image, record in zip(files, images, records, strict=True):
        (folder / file).parent.mkdir(exist_ok=True)
        save_image(folder / file, image, note(record))
    _write_arrays(folder, levels, found, note({**_several(records), **facts}))
    _write_manifest(folder, files, records)
    shown = min(per_combination, 16)
    chosen = torch.arange(len(found.rows)).view(-1, per_combination)[:100, :shown].flatten().tolist()
    titles = [title(row.labels) for row in found.rows[::per_combination][:100]]
    seen = note({**_several([records[i] for i in chosen]), **facts})
    save_grid(folder / "grid.png", found.samples.x.cpu()[chosen], levels, shown, titles, seen)
    return f"{files[0]} …, samples.npz, grid.png, manifest.jsonl"


def _write_audio(folder: Path, network: AudioNetwork, found: SampleSet, facts: Mapping[str, Any]) -> str:
    """Write WAV files, samples.npz where all are of one length, manifest.jsonl, and a picture of the first eight."""
    facts = {**facts, "sample_rate": network.sample_rate}
    files = file_names([row.labels for row in found.rows], found.indices, ".wav")
    records = _records(found, facts)
    decoded = network.quantization.decode(found.samples.x.cpu())
    waveforms = [wave[0, : row.length].numpy() for wave, row in zip(decoded, found.rows, strict=True)]
    for file, waveform, record in zip(files, waveforms, records, strict=True):
        (folder / file).parent.mkdir(exist_ok=True)
        write_wav(folder / file, waveform, network.sample_rate, comment(record))
    one_length = len({row.length for row in found.rows}) == 1
    if one_length:
        _write_arrays(folder, network.levels, found, note({**_several(records), **facts}))
    _write_manifest(folder, files, records)
    titles = [f"{title(row.labels)}  {index}" for row, index in zip(found.rows, found.indices, strict=True)]
    seen = note({**_several(records[:8]), **facts})
    save_waveforms(folder / "waveforms.png", waveforms[:8], network.sample_rate, titles[:8], seen)
    return f"{files[0]} …, {'samples.npz, ' if one_length else ''}waveforms.png, manifest.jsonl"


def _records(found: SampleSet, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Say of each sample what decided it."""
    log_prob = None if found.samples.log_prob is None else found.samples.log_prob.tolist()
    records = []
    for i, row in enumerate(found.rows):
        own: dict[str, Any] = {"index": found.indices[i], "conditions": row.labels}
        own |= {} if log_prob is None else {"log_prob": log_prob[i]}
        own |= {} if row.length is None else {"samples": row.length}
        records.append({**own, **facts})
    return records


def _several(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say of several samples in one file what they are."""
    return {
        "index": [record["index"] for record in records],
        "conditions": [record["conditions"] for record in records],
    }


def _write_arrays(folder: Path, levels: int, found: SampleSet, provenance: str) -> None:
    conditions = stacked(found.rows)
    for name in conditions:
        if name in OWN_ARRAYS:
            raise ValueError(f"a condition named '{name}' has no place in samples.npz; name it otherwise in training")
    arrays: dict[str, Any] = {name: values.numpy() for name, values in conditions.items()}
    if found.samples.log_prob is not None:
        arrays["log_prob"] = found.samples.log_prob.cpu().numpy()
    samples = found.samples.x.cpu().numpy().astype(np.uint8 if levels <= 256 else np.int32)
    np.savez_compressed(folder / "samples.npz", samples=samples, provenance=np.array(provenance), **arrays)


def _write_manifest(folder: Path, files: Sequence[str], records: Sequence[Mapping[str, Any]]) -> None:
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for file, record in zip(files, records, strict=True):
            manifest.write(json.dumps({"file": file, **record}) + "\n")
