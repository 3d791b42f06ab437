"""`condgen sample`: draw from a checkpoint, with nothing but the checkpoint."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from condgen.checkpoint import load, sha256
from condgen.commands.output import output_folder
from condgen.commands.parser import OneLineParser, parse
from condgen.conditioning import ClassEmbedding, FeatureVector
from condgen.models import ConditionalModel
from condgen.pictures import save_grid
from condgen.sampling import Samples, sample


def draw(
    ckpt_path: str,
    out: str,
    condition: dict[str, str] | None = None,
    num_samples: int = 1,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    complete: str | None = None,
    keep_rows: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    engine: str = "auto",
    overwrite: bool = False,
) -> None:
    """Draw from a model and write samples.npz, manifest.jsonl, and grid.png with up to 16 samples of 100 combinations.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote; its averaged weights are used.
        out: folder for the results. It appears when all is done.
        condition: `--condition.NAME VALUE` for each condition of the model. The value is a class name or id, a list
            `a,b,c`, or `all`; tags are joined with `+`; for other conditions, an .npy file with a row per value.
            Several conditions are combined, every value with every value.
        num_samples: samples per combination.
        seed: sample i depends on (seed, i) alone, not on batch size, device or engine.
        temperature: below 1 for typical samples, above 1 for varied ones.
        top_k: draw each pixel from its k most probable levels.
        top_p: draw each pixel from the fewest levels whose probability reaches p.
        complete: an .npy file with an image of levels (channels, height, width) to complete.
        keep_rows: how many of its upper rows to keep.
        batch_size: samples drawn together.
        device: `auto`, `cpu`, `cuda`, …
        engine: `auto`, `cached` or `naive`.
        overwrite: replace an existing folder.
    """
    with output_folder(out, overwrite) as folder:
        model = load(ckpt_path, device)
        combinations, labels = combine(model, condition or {})
        if num_samples < 1:
            raise ValueError(f"num_samples {num_samples} is not at least 1")
        conditions = {name: values.repeat_interleave(num_samples, dim=0) for name, values in combinations.items()}
        drawn = sample(
            model, conditions, num_samples=num_samples * len(labels), seed=seed, temperature=temperature, top_k=top_k,
            top_p=top_p, batch_size=batch_size, engine=engine, **_completion(model, complete, keep_rows),
        )  # fmt: skip
        _write(folder, model, drawn, conditions, [label for label in labels for _ in range(num_samples)],
               {"seed": seed, "temperature": temperature, "top_k": top_k, "top_p": top_p, "complete": complete,
                "keep_rows": keep_rows, "checkpoint": sha256(ckpt_path)})  # fmt: skip
        levels = model.network.levels
        shown = min(num_samples, 16)
        rows = torch.arange(len(drawn.x)).view(-1, num_samples)[:100, :shown].flatten()
        titles = [", ".join(label.values()) or "samples" for label in labels[:100]]
        save_grid(folder / "grid.png", drawn.x[rows.to(drawn.x.device)], levels, shown, titles)
    print(f"{len(drawn.x)} samples in {out}: samples.npz, grid.png, manifest.jsonl")


def combine(model: ConditionalModel, given: dict[str, str]) -> tuple[dict[str, Tensor], list[dict[str, str]]]:
    """Turn `{name: text}` into every combination of values.

    Returns:
        One tensor per condition, (combinations, …), and each combination in words.

    Raises:
        ValueError: a name or value is unknown or missing; the message holds the known ones.
    """
    encoders = model.generator.encoders
    known = ", ".join(encoders) or "none, it is unconditional"
    for name in [*given, *encoders]:
        if name not in encoders:
            raise ValueError(f"the model has no condition '{name}'; its conditions: {known}")
        if name not in given:
            names = getattr(encoders[name], "names", None)
            example = f"one of {', '.join(names)}, or all" if names else "an .npy file"
            raise ValueError(f"the model needs --condition.{name}: {example}")
    parsed = [
        [(name, label, value) for label, value in values_of(name, encoders[name], given[name])] for name in encoders
    ]
    rows = list(itertools.product(*parsed))
    tensors = {name: torch.stack([row[i][2] for row in rows]) for i, name in enumerate(encoders)}
    return tensors, [{name: label for name, label, _ in row} for row in rows]


def values_of(name: str, encoder: nn.Module, text: str) -> list[tuple[str, Tensor]]:
    """Turn the text of one condition into (label, value) pairs."""
    if isinstance(encoder, ClassEmbedding):
        if text in encoder.names:
            return [(text, torch.tensor(encoder.names.index(text)))]
        labels = encoder.names if text == "all" else [_class(name, encoder.names, part) for part in text.split(",")]
        return [(label, torch.tensor(encoder.names.index(label))) for label in labels]
    if isinstance(encoder, FeatureVector) and encoder.names is not None and not text.endswith(".npy"):
        return [(tags, _multi_hot(name, encoder.names, tags)) for tags in text.split(",")]
    rows = torch.from_numpy(read_npy(text))
    if not rows.ndim:
        raise ValueError(f"condition '{name}': {text} holds a single number, not a row per value")
    return [(f"{Path(text).name}[{i}]", row) for i, row in enumerate(rows)]


def _class(name: str, names: Sequence[str], text: str) -> str:
    text = text.strip()
    if text in names:
        return text
    if text.isascii() and text.isdigit() and int(text) < len(names):
        return names[int(text)]
    raise ValueError(f"condition '{name}' has no class '{text}'; its classes: {', '.join(names)} "
                     f"(or ids 0 to {len(names) - 1})")  # fmt: skip


def _multi_hot(name: str, names: Sequence[str], tags: str) -> Tensor:
    wanted = [tag.strip() for tag in tags.split("+") if tag.strip()]
    unknown = [tag for tag in wanted if tag not in names]
    if unknown:
        raise ValueError(f"condition '{name}' has no tag {', '.join(unknown)}; its tags: {', '.join(names)}")
    return torch.tensor([float(n in wanted) for n in names])


def read_npy(path: str) -> np.ndarray:
    """Read an array, without running any code in the file."""
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a readable .npy file ({error})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise ValueError(f"{path} holds no plain array of numbers; save one with numpy.save")
    return array.astype(np.int64) if array.dtype.kind in "biu" else array


def _completion(model: ConditionalModel, complete: str | None, keep_rows: int) -> dict[str, Any]:
    if complete is None:
        if keep_rows:
            raise ValueError("keep_rows needs --complete FILE.npy, the image to keep rows of")
        return {}
    shape: Any = model.network.shape
    if not 0 < keep_rows < shape[1]:
        raise ValueError(f"keep_rows {keep_rows} is not between 1 and {shape[1] - 1}")
    image = torch.from_numpy(read_npy(complete))
    known = torch.zeros(shape[1:], dtype=torch.bool)
    known[:keep_rows] = True
    return {"given": image[None] if image.ndim == 3 else image, "known": known}


def _write(
    folder: Path,
    model: ConditionalModel,
    drawn: Samples,
    conditions: dict[str, Tensor],
    labels: list[dict[str, str]],
    facts: dict[str, Any],
) -> None:
    """Write samples.npz and manifest.jsonl."""
    for name in conditions:
        if name in ("samples", "log_prob", "file"):
            raise ValueError(f"a condition named '{name}' has no place in samples.npz; name it otherwise in training")
    dtype = np.uint8 if model.network.levels <= 256 else np.int32
    arrays: dict[str, Any] = {name: values.cpu().numpy() for name, values in conditions.items()}
    log_prob = drawn.log_prob.cpu().numpy()
    np.savez_compressed(
        folder / "samples.npz", samples=drawn.x.cpu().numpy().astype(dtype), log_prob=log_prob, **arrays
    )
    facts = {**facts, "versions": {name: version(name) for name in ("condgen", "torch", "numpy")}}
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for index, label in enumerate(labels):
            row = {"index": index, "conditions": label, "file": "samples.npz", "log_prob": float(log_prob[index])}
            manifest.write(json.dumps({**row, **facts}) + "\n")


def run(argv: list[str]) -> None:
    """Run `condgen sample`."""
    parser = OneLineParser(prog="condgen sample", description="Draw from a checkpoint.")
    parser.add_function_arguments(draw, skip={"overwrite"})
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    draw(**parse(parser, argv[1:]))
