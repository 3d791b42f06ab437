"""`condgen evaluate`: measure a checkpoint and write a report with pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from condgen.checkpoint import Weights, data_settings, load, load_data, sha256
from condgen.commands.fit import quiet
from condgen.commands.options import refuse_foreign
from condgen.commands.output import output_folder
from condgen.commands.parser import OneLineParser, innermost, parse
from condgen.commands.report import markdown
from condgen.evaluation.copy_synthesis import copy_synthesis, mel_condition
from condgen.evaluation.likelihood import likelihood
from condgen.evaluation.pictures import conditions_grid, save_counts, save_grid, save_waveforms
from condgen.evaluation.samples import (
    Generated,
    Lesson,
    Model,
    Reading,
    generate,
    read,
    summary,
    teach,
    train_classifiers,
)
from condgen.models import ConditionalGenerator, ConditionalModel
from condgen.sampling import sampler
from condgen.training.compatibility import check_data


def measure(
    ckpt_path: str,
    out: str,
    data: dict[str, Any] | None = None,
    num_samples: int = 500,
    lesson_samples: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    classifier_steps: int = 1000,
    temperature: float = 1.0,
    truncation: float | None = None,
    weights: Weights = "ema",
    batch_size: int = 100,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Measure a model on held-out data and write report.md, report.json and pictures.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote.
        out: folder for the report. It appears when all is done.
        data: changes to the data module that the checkpoint was trained with, such as `--data.root DIR`.
        num_samples: samples to draw and have read, with the conditions of as many held-out examples.
        lesson_samples: samples to teach a classifier with, which then reads real held-out examples; 0 to leave it out.
            Left out: of adversarial generators as many as there are training examples, of likelihood models 0.
        limit: score the likelihood of only so many held-out examples.
        seed: of the samples and the classifiers.
        classifier_steps: training steps of the classifiers that read the samples.
        temperature: of the samples of likelihood models; the likelihood is the model's own.
        truncation: of the samples of adversarial generators; see `condgen sample`.
        weights: the running average of the weights (`ema`), or the last ones (`live`).
        batch_size: examples scored or drawn together.
        device: `auto`, `cpu`, `cuda`, …
        overwrite: replace an existing folder.
    """
    with output_folder(out, overwrite) as folder:
        if batch_size < 1 or num_samples < 1:
            raise ValueError(f"batch_size {batch_size} and num_samples {num_samples} must be at least 1")
        if lesson_samples is not None and lesson_samples < 0:
            raise ValueError(f"lesson_samples {lesson_samples} is not at least 0")
        model = load(ckpt_path, device, weights)
        refuse_foreign(model, truncation, temperature=temperature)
        tempering: dict[str, Any] = {"temperature": temperature}
        if isinstance(model, ConditionalGenerator):
            tempering = {"truncation": truncation}
        module = _data(ckpt_path, data or {})
        check_data(model, module)
        module.setup()
        measured = likelihood(model, module, limit, batch_size) if isinstance(model, ConditionalModel) else None
        generated = generate(model, module, num_samples, seed, batch_size=batch_size, **tempering)
        classifiers = train_classifiers(module, classifier_steps, seed)
        readings = read(generated, module, classifiers)
        lessons = _lessons(model, module, lesson_samples, seed, classifier_steps, batch_size=batch_size, **tempering)
        facts = {"checkpoint": sha256(ckpt_path), "seed": seed, "weights": weights, **tempering,
                 "classifier_steps": classifier_steps, "split": "test",
                 "data": {**data_settings(ckpt_path), "changed": data or {}}}  # fmt: skip
        report = {**facts, **summary(measured, readings, lessons)}
        if isinstance(model, ConditionalModel) and mel_condition(model, module):
            report["copy_synthesis"] = asdict(copy_synthesis(model, module, generated, classifiers, seed))
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        _pictures(folder, model, module, generated, readings, seed, tempering)
        text = markdown(report)
        (folder / "report.md").write_text(text)
    print(text)
    print(f"The report and its pictures are in {out}.")


def _lessons(
    model: Model, module: Any, count: int | None, seed: int, classifier_steps: int, **options: Any
) -> dict[str, Lesson]:
    """Teach with samples, and with as many real examples; see `measure` for what a missing count means."""
    available = len(module.dataset("train"))
    if count is None:
        count = available if isinstance(model, ConditionalGenerator) else 0
    count = min(count, available)
    if not count:
        return {}
    own = teach(model, module, count, seed, classifier_steps, **options)
    real = teach(None, module, count, seed, classifier_steps)
    return {name: Lesson(count, own[name], real[name]) for name in own}


def _data(ckpt_path: str, changes: dict[str, Any]) -> Any:
    try:
        return load_data(ckpt_path, changes)
    except Exception as error:
        raise ValueError(f"data with {changes}: {innermost(str(error))}" if changes else str(error)) from error


def _pictures(
    folder: Path,
    model: Model,
    module: Any,
    generated: Generated,
    readings: Mapping[str, Reading],
    seed: int,
    tempering: dict[str, Any],
) -> None:
    """Draw samples and real examples, and which class was read for which."""
    for name, found in readings.items():
        save_counts(folder / f"read_{name}.png", found.asked_and_read, module.names[name], name)
    if generated.lengths is not None:
        _sounds(folder, module, generated)
        return
    test = module.dataset("test")
    conditions, labels = conditions_grid(model, generated.conditions, 12)
    drawn = sampler(model)(model, conditions, num_samples=12 * len(labels), seed=seed + 1, **tempering)
    save_grid(folder / "samples.png", drawn.x, module.levels, 12, labels)
    for name, names in list(module.names.items())[:1]:
        real = [test.images.x[test.images.conditions[name] == label][:12] for label in range(len(names))]
        if all(len(images) == 12 for images in real):
            save_grid(folder / "real.png", torch.cat(real), module.levels, 12, names)


def _sounds(folder: Path, module: Any, generated: Generated, count: int = 8) -> None:
    """Write some samples, and the held-out clips whose conditions they have, as sound and as pictures."""
    import soundfile

    ids = {name: values for name, values in generated.conditions.items() if name in module.names}
    for kind, x in (("sample", generated.x), ("real", generated.originals)):
        waveforms = [w[0, :n].numpy() for w, n in zip(module.quantization.decode(x[:count]), generated.lengths or [],
                                                      strict=False)]  # fmt: skip
        labels = [", ".join(module.names[n][int(v[i])] for n, v in ids.items()) for i in range(len(waveforms))]
        titles = [f"{kind}_{i}.wav  {label}" for i, label in enumerate(labels)]
        for i, waveform in enumerate(waveforms):
            soundfile.write(folder / f"{kind}_{i}.wav", waveform, module.sample_rate, subtype="PCM_16")
        save_waveforms(folder / f"{kind}s.png", waveforms, module.sample_rate, titles)


def run(argv: list[str]) -> None:
    """Run `condgen evaluate`."""
    quiet()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    parser = OneLineParser(prog="condgen evaluate", description="Measure a checkpoint.")
    parser.add_function_arguments(measure, skip={"overwrite"})
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    measure(**parse(parser, argv[1:]))
