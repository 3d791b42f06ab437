"""Samples to files: each batch as soon as it is drawn, and from their records the arrays, a picture and a manifest.

Nothing here holds more than a batch, and of each sample its log-probability.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from condgen.atomic import whole_file
from condgen.commands.naming import file_names, title
from condgen.commands.plan import Plan
from condgen.commands.provenance import comment, note
from condgen.evaluation.pictures import pixels, save_grid, save_image, save_waveforms
from condgen.evaluation.sound import write_wav
from condgen.models.conditional import Model
from condgen.models.contract import audio
from condgen.sampling import Batch

CHUNK = 1000  # samples whose words are put together at once
Pieces = Callable[[], Iterator[bytes]]


class Record(NamedTuple):
    """What is kept of a batch until all are finished.

    Attributes:
        indices: index of each sample, which decided its noise.
        log_prob: log-probability of each; `None` of a generator's.
        engine: name of the engine that drew them.
        file: file that also holds the levels, where all samples are of one size.
    """

    indices: np.ndarray
    log_prob: np.ndarray | None
    engine: str
    file: Path

    def samples(self) -> np.ndarray:
        """Read the levels, (samples, channels, …)."""
        with np.load(self.file, allow_pickle=False) as file:
            levels: np.ndarray = file["samples"]
        return levels


def write_batch(folder: Path, record: Path, model: Model, plan: Plan, batch: Batch) -> None:
    """Write a file per sample and then, when all these are whole, the record of the batch.

    Args:
        folder: folder for the samples.
        record: file for the record.
        model: model that the samples are drawn from.
        plan: request that the batch is of.
        batch: samples.
    """
    samples, network = batch.samples, audio(model.network)
    x = samples.x if batch.length is None else samples.x[..., : batch.length]
    scores = [None] * len(batch.rows) if samples.log_prob is None else samples.log_prob.tolist()
    files = names(plan, batch.rows)
    records = [plan.record(*of, samples.engine) for of in zip(batch.rows, scores, strict=True)]
    images = None if network is not None else pixels(x, plan.levels)
    waves = None if network is None else network.quantization.decode(x.cpu())[:, 0].numpy()
    for i, (file, told) in enumerate(zip(files, records, strict=True)):
        (folder / file).parent.mkdir(exist_ok=True)
        if waves is not None:
            write_wav(folder / file, waves[i, : plan.length(batch.rows[i])], plan.sample_rate or 1, comment(told))
        elif images is not None:
            save_image(folder / file, images[i, ..., 0] if x.shape[1] == 1 else images[i], note(told))
    kept = {} if samples.log_prob is None else {"log_prob": samples.log_prob.cpu().numpy()}
    if plan.one_length:
        kept["samples"] = x.cpu().numpy().astype(np.uint8 if plan.levels <= 256 else np.int32)
    with whole_file(record) as temporary, open(temporary, "wb") as binary:
        np.savez(binary, indices=np.array(batch.rows), engine=np.array(samples.engine), **kept)  # type: ignore[arg-type]


def read_record(file: Path) -> Record | None:
    """Read the record of a batch; `None` where it is torn, as after a power cut."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            log_prob = kept["log_prob"] if "log_prob" in kept.files else None
            return Record(kept["indices"], log_prob, str(kept["engine"]), file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def names(plan: Plan, indices: Sequence[int]) -> list[str]:
    """Name the files of some samples of a request."""
    suffix = ".png" if plan.sample_rate is None else ".wav"
    return file_names([plan.label(i) for i in indices], indices, suffix, plan.total - 1)


def write_whole(folder: Path, plan: Plan, records: Sequence[Record], table: Mapping[str, np.ndarray]) -> str:
    """Write samples.npz, a picture of some, and manifest.jsonl; return the names of the files.

    Args:
        folder: folder that holds the files of the samples.
        plan: request.
        records: records of all of its batches, by their numbers.
        table: values of the conditions, (combinations, …) each.
    """
    facts, scores = plan.named(records[0].engine), None
    if records[0].log_prob is not None:
        scores = np.empty(plan.total)
        for record in records:
            scores[record.indices] = record.log_prob
    if plan.one_length:
        _write_arrays(folder / "samples.npz", plan, records, scores, table, facts)
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for start in range(0, plan.total, CHUNK):
            indices = range(start, min(start + CHUNK, plan.total))
            for index, file in zip(indices, names(plan, indices), strict=True):
                told = plan.record(index, None if scores is None else float(scores[index]), records[0].engine)
                manifest.write(json.dumps({"file": file, **told}) + "\n")
    picture = _write_grid if plan.sample_rate is None else _write_waveforms
    arrays = "samples.npz, " if plan.one_length else ""
    return f"{names(plan, [0])[0]} …, {arrays}{picture(folder, plan, records, facts)}, manifest.jsonl"


def _write_grid(folder: Path, plan: Plan, records: Sequence[Record], facts: Mapping[str, Any]) -> str:
    """Draw up to 16 samples of 100 combinations."""
    shown, combinations = min(plan.num_samples, 16), min(len(plan.labels), 100)
    chosen = [row * plan.num_samples + i for row in range(combinations) for i in range(shown)]
    found: dict[int, np.ndarray] = {}
    for record in records:
        if wanted := set(chosen) & set(record.indices.tolist()):
            held = zip(record.indices.tolist(), record.samples(), strict=True)
            found |= {index: levels for index, levels in held if index in wanted}
    titles = [title(label) for label in plan.labels[:100]]
    x = torch.from_numpy(np.stack([found[index] for index in chosen]))
    seen = note({**_several(plan, chosen), **facts})
    save_grid(folder / "grid.png", x, plan.levels, shown, titles, seen)
    return "grid.png"


def _write_waveforms(folder: Path, plan: Plan, records: Sequence[Record], facts: Mapping[str, Any]) -> str:
    """Draw the first eight."""
    import soundfile

    first = range(min(8, plan.total))
    waveforms = [soundfile.read(folder / file, dtype="float32")[0] for file in names(plan, first)]
    titles = [f"{title(plan.label(index))}  {index}" for index in first]
    seen = note({**_several(plan, first), **facts})
    save_waveforms(folder / "waveforms.png", waveforms, plan.sample_rate or 1, titles, seen)
    return "waveforms.png"


def _several(plan: Plan, indices: Sequence[int]) -> dict[str, Any]:
    """Say of several samples in one file what they are."""
    return {"index": list(indices), "conditions": [plan.label(index) for index in indices]}


def _write_arrays(
    path: Path,
    plan: Plan,
    records: Sequence[Record],
    scores: np.ndarray | None,
    table: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
) -> None:
    """Write what `numpy.savez_compressed` would, an array after the other and each in pieces."""
    shape = records[0].samples().shape[1:]
    dtype = np.dtype(np.uint8 if plan.levels <= 256 else np.int32)
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        _member(file, "samples", dtype, (plan.total, *shape), lambda: (r.samples().tobytes() for r in records))
        length = sum(len(piece) for piece in _told(plan, facts)) // 4
        _member(file, "provenance", np.dtype(f"<U{length}"), (), lambda: _told(plan, facts))
        for name, values in table.items():
            each = lambda values=values: (values[i // plan.num_samples].tobytes() for i in range(plan.total))  # noqa: E731
            _member(file, name, values.dtype, (plan.total, *values.shape[1:]), each)
        if scores is not None:
            _member(file, "log_prob", scores.dtype, scores.shape, lambda: iter([scores.tobytes()]))


def _member(file: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], pieces: Pieces) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with file.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for piece in pieces():
            member.write(piece)


def _told(plan: Plan, facts: Mapping[str, Any]) -> Iterator[bytes]:
    """Say of all samples what they are, as `note` would, in pieces of the encoding that NumPy keeps words in."""

    def listed(of: Callable[[int], str]) -> Iterator[str]:
        for start in range(0, plan.total, CHUNK):
            words = ", ".join(of(index) for index in range(start, min(start + CHUNK, plan.total)))
            yield f", {words}" if start else words

    yield '{"index": ['.encode("utf-32-le")
    for text in listed(str):
        yield text.encode("utf-32-le")
    yield '], "conditions": ['.encode("utf-32-le")
    conditions = [note(label) for label in plan.labels]
    for text in listed(lambda index: conditions[index // plan.num_samples]):
        yield text.encode("utf-32-le")
    yield (f"], {note(facts)[1:]}" if facts else "]}").encode("utf-32-le")
