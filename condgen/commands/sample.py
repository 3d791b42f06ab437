"""`condgen sample`: draw from a checkpoint, with nothing but the checkpoint."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from condgen.checkpoint import Weights, load, load_front_end, sha256
from condgen.commands.conditions import Combination, combine, read_npy, stacked
from condgen.commands.options import refuse_foreign
from condgen.commands.output import output_folder
from condgen.commands.parser import OneLineParser, parse
from condgen.commands.writing import write_audio, write_images
from condgen.data.clips import Clip
from condgen.data.front_end import FrontEnd
from condgen.data.recordings import read_audio
from condgen.models import ConditionalGenerator, ConditionalModel
from condgen.models.contract import AudioNetwork
from condgen.sampling import Interrupted, Samples, sampler


def draw(
    ckpt_path: str,
    out: str,
    condition: dict[str, str] | None = None,
    num_samples: int = 1,
    seconds: float | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    truncation: float | None = None,
    weights: Weights = "ema",
    prime: str | None = None,
    complete: str | None = None,
    keep_rows: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    engine: str = "auto",
    overwrite: bool = False,
) -> None:
    """Draw from a model into a folder.

    It gets samples.npz (where all are of one size), manifest.jsonl and a picture; audio also WAV files of 16 bits.
    Ctrl-C keeps the batches that are finished.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote.
        out: folder for the results. It appears when all is done.
        condition: `--condition.NAME VALUE` for each condition of the model. The value is a class name or id, a list
            `a,b,c`, or `all`; tags are joined with `+`; for what is measured of audio, an audio file or a list
            `a.wav,b.wav`; for phonemes, the text to say; for other conditions, an .npy file with a row per value.
            Several conditions are combined, every value with every value.
        num_samples: samples per combination.
        seconds: length of the audio, where no condition says.
        seed: sample i depends on (seed, i) alone, not on batch size, device or engine.
        temperature: below 1 for typical samples, above 1 for varied ones.
        top_k: draw from the k most probable levels each time.
        top_p: draw from the fewest levels whose probability reaches p each time.
        truncation: of adversarial generators: noise within ± this alone, for more typical and less varied samples.
        weights: the running average of the weights (`ema`), or the last ones (`live`).
        prime: an audio file with which every sample begins, at its own level.
        complete: an .npy file with an image of levels (channels, height, width) to complete.
        keep_rows: how many of its upper rows to keep.
        batch_size: samples drawn together.
        device: `auto`, `cpu`, `cuda`, …
        engine: `auto` (the fastest exact one that the model fits), `compiled`, `compiled_bfloat16`, `graph`,
            `triton`, `cached` or `naive`; see `condgen.sampling.sample`.
        overwrite: replace an existing folder.
    """
    with output_folder(out, overwrite) as folder:
        model = load(ckpt_path, device, weights)
        front_end = load_front_end(ckpt_path)
        tempering: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        completing: dict[str, Any] = {"prime": prime, "complete": complete, "keep_rows": keep_rows}
        refuse_foreign(model, truncation, **tempering, **completing, seconds=seconds, engine=engine)
        if isinstance(model, ConditionalGenerator) and front_end is not None:
            seconds = model.network.shape[-1] / front_end.sample_rate
        rows = combine(model, condition or {}, front_end, _checked(seconds, front_end))
        if num_samples < 1:
            raise ValueError(f"num_samples {num_samples} is not at least 1")
        rows = [row for row in rows for _ in range(num_samples)]
        conditions = stacked(rows)
        options: dict[str, Any] = {"truncation": truncation}
        facts = options
        if isinstance(model, ConditionalModel):
            given = _given(model, front_end, _lengths(rows), **completing)
            options = {**tempering, **given, "length": _lengths(rows), "engine": engine}
            facts = {**tempering, **completing}
        drawn, indices = _finished(model, conditions, len(rows), batch_size=batch_size, seed=seed, **options)
        by = ""
        if isinstance(model, ConditionalModel):
            facts, by = {**facts, "engine": drawn.engine}, f"; engine '{drawn.engine}' ({drawn.why})"
        found, asked = [rows[index] for index in indices], len(rows)
        conditions = {name: values[indices] for name, values in conditions.items()}
        facts = {"seed": seed, "weights": weights, **facts, "checkpoint": sha256(ckpt_path)}
        write = write_images if front_end is None else write_audio
        per_combination = num_samples if len(found) == asked else 1
        written = write(folder, model, drawn, conditions, found, indices, per_combination, facts)
    print(f"{len(found)} samples in {out}: {written}{by}")
    if len(found) < asked:
        print(f"condgen: stopped after {len(found)} of {asked} samples, which are kept", file=sys.stderr)
        sys.exit(130)


def _finished(model: Any, conditions: Any, count: int, **options: Any) -> tuple[Samples, list[int]]:
    """Draw samples; return them and their indices: all, or those that were finished when Ctrl-C was pressed."""
    try:
        return sampler(model)(model, conditions, num_samples=count, **options), list(range(count))
    except Interrupted as interruption:
        return interruption.samples, interruption.rows


def _checked(seconds: float | None, front_end: FrontEnd | None) -> float | None:
    if seconds is not None and front_end is None:
        raise ValueError("--seconds is for audio; this model draws images")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ValueError(f"seconds {seconds} is not more than 0")
    return seconds


def _lengths(rows: list[Combination]) -> list[int] | None:
    lengths = [row.length for row in rows if row.length is not None]
    return lengths or None


def _given(
    model: ConditionalModel,
    front_end: FrontEnd | None,
    lengths: list[int] | None,
    prime: str | None,
    complete: str | None,
    keep_rows: int,
) -> dict[str, Any]:
    """Read what is to be completed: the beginning of a waveform, or the upper rows of an image."""
    if front_end is None and prime is not None:
        raise ValueError("--prime is for audio; an image is completed with --complete FILE.npy --keep_rows N")
    if front_end is not None and (complete is not None or keep_rows):
        raise ValueError("--complete and --keep_rows are for images; audio is primed with --prime FILE.wav")
    if prime is not None and front_end is not None:
        reader = replace(front_end.reader, normalise="none")  # a beginning is no whole clip: its level stays
        waveform = reader.prepare(*read_audio(Path(prime)), Clip(Path(prime), {}, origin=prime)).waveform
        if lengths and len(waveform) > min(lengths):
            raise ValueError(f"{prime} has {len(waveform) / reader.sample_rate:.2f} s, more than the "
                             f"{min(lengths) / reader.sample_rate:.2f} s that are asked for")  # fmt: skip
        return {"given": cast(AudioNetwork, model.network).quantization.encode(waveform)[None, None]}
    if complete is None:
        if keep_rows:
            raise ValueError("keep_rows needs --complete FILE.npy, the image to keep rows of")
        return {}
    shape = model.network.canvas()
    if not 0 < keep_rows < shape[1]:
        raise ValueError(f"keep_rows {keep_rows} is not between 1 and {shape[1] - 1}")
    image = torch.from_numpy(read_npy(complete))
    known = torch.zeros(shape[1:], dtype=torch.bool)
    known[:keep_rows] = True
    return {"given": image[None] if image.ndim == 3 else image, "known": known}


def run(argv: list[str]) -> None:
    """Run `condgen sample`."""
    parser = OneLineParser(prog="condgen sample", description="Draw from a checkpoint.")
    parser.add_function_arguments(draw, skip={"overwrite"})
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    draw(**parse(parser, argv[1:]))
