"""`condgen evaluate`: measure a checkpoint and write a report with pictures."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch

from condgen.checkpoint import data_settings, load, load_data, sha256
from condgen.checks import check_data
from condgen.commands.fit import quiet
from condgen.commands.output import output_folder
from condgen.commands.parser import OneLineParser, innermost, parse
from condgen.copy_synthesis import copy_synthesis, mel_condition
from condgen.evaluation import Generated, generate, likelihood, summary
from condgen.models import ConditionalModel
from condgen.pictures import conditions_grid, save_counts, save_grid, save_waveforms
from condgen.sampling import sample


def measure(
    ckpt_path: str,
    out: str,
    data: dict[str, Any] | None = None,
    num_samples: int = 500,
    limit: int | None = None,
    seed: int = 0,
    classifier_steps: int = 1000,
    temperature: float = 1.0,
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
        limit: score the likelihood of only so many held-out examples.
        seed: of the samples and the classifiers.
        classifier_steps: training steps of the classifiers that read the samples.
        temperature: of the samples; the likelihood is the model's own.
        batch_size: examples scored or drawn together.
        device: `auto`, `cpu`, `cuda`, …
        overwrite: replace an existing folder.
    """
    with output_folder(out, overwrite) as folder:
        if batch_size < 1 or num_samples < 1:
            raise ValueError(f"batch_size {batch_size} and num_samples {num_samples} must be at least 1")
        model = load(ckpt_path, device)
        module = _data(ckpt_path, data or {})
        check_data(model, module)
        module.setup()
        measured = likelihood(model, module, limit, batch_size)
        generated = generate(
            model, module, num_samples, seed, classifier_steps, batch_size=batch_size, temperature=temperature
        )
        copies = None
        if mel_condition(model, module):
            copies = copy_synthesis(model, module, generated, classifier_steps, seed)
        facts = {
            "checkpoint": sha256(ckpt_path),
            "seed": seed,
            "temperature": temperature,
            "classifier_steps": classifier_steps,
        }
        settings = {**data_settings(ckpt_path), "changed": data or {}}
        report = {**facts, "split": "test", "data": settings, **summary(measured, generated)}
        if copies is not None:
            report["copy_synthesis"] = copies.__dict__
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        _pictures(folder, model, module, generated, seed)
        text = markdown(report)
        (folder / "report.md").write_text(text)
    print(text)
    print(f"The report and its pictures are in {out}.")


def _data(ckpt_path: str, changes: dict[str, Any]) -> Any:
    try:
        return load_data(ckpt_path, changes)
    except Exception as error:
        raise ValueError(f"data with {changes}: {innermost(str(error))}" if changes else str(error)) from error


def markdown(report: dict[str, Any]) -> str:
    """Write the report for people."""
    found = report["likelihood"]
    unit = "bits/dim" if found["dim"] == "dim" else f"bits per {found['dim']}"
    lines = [
        "# Evaluation",
        "",
        f"Checkpoint {report['checkpoint'][:12]}, seed {report['seed']}, temperature {report['temperature']:g}, "
        f"likelihood of {found['examples']} examples of "
        f"the test split of {describe(report['data'])}.",
        "",
        "| likelihood of held-out examples | |",
        "| --- | --- |",
        f"| {unit} | {found['bits_per_dim']:.3f} |",
        f"| nats per example | {found['nats']:.2f} |",
    ]
    for name, gap in found["swap_gap"].items():
        lines.append(f"| {unit} more with another {name} (label-swap gap) | {gap:.3f} |")
    if found["marginal_nats"] is not None:
        lines.append(f"| nats per example, class summed out (compares with unconditional models) | "
                     f"{found['marginal_nats']:.2f} |")  # fmt: skip
        lines.append(f"| true class makes it most probable | {found['bayes_accuracy']:.1%} |")
    for name, samples in report["samples"].items():
        floor = samples["floor"]
        lines += [
            "",
            f"| {samples['count']} samples, read by a classifier of {name} trained on real training data | samples | "
            "real training examples of the same classes | real held-out examples |",
            "| --- | --- | --- | --- |",
            f"| read as asked | {samples['accuracy']:.1%} | {floor['accuracy']:.1%} | "
            f"{samples['held_out_accuracy']:.1%} |",
            f"| held-out examples covered | {samples['coverage']:.1%} | {floor['coverage']:.1%} | |",
            f"| Fréchet distance to held-out examples | {samples['frechet']:.2f} | {floor['frechet']:.2f} | 0 |",
        ]
    return "\n".join(lines + _copies(report.get("copy_synthesis"))) + "\n"


def _copies(found: dict[str, Any] | None) -> list[str]:
    """Write the table of copy-synthesis."""
    if found is None:
        return []
    lines = ["", "| copies of held-out clips from their mel spectrograms | model | Griffin-Lim | original, quantized |",
             "| --- | --- | --- | --- |",
             f"| log-mel distance, dB | {found['distance']:.2f} | {found['griffin_lim']:.2f} | "
             f"{found['quantized']:.2f} |"]  # fmt: skip
    for name, accuracy in found["accuracy"].items():
        others = [found[f"{kind}_accuracy"][name] for kind in ("griffin_lim", "original")]
        lines.append(f"| {name} read as in the original | {accuracy:.1%} | {others[0]:.1%} | {others[1]:.1%} |")
    return lines


def describe(settings: dict[str, Any]) -> str:
    """Name the data with its options, such as `MNIST (binarize fixed)`."""
    source = settings["source"]
    options = {**source.get("init_args", {}), **{k: v for k, v in settings["changed"].items() if k != "source"}}
    options |= settings["changed"].get("source", {})
    words = ", ".join(f"{name} {value}" for name, value in options.items() if name not in ("download", "source.root"))
    return source["class_path"].split(".")[-1] + (f" ({words})" if words else "")


def _pictures(folder: Path, model: ConditionalModel, module: Any, generated: Generated, seed: int) -> None:
    """Draw samples and real examples, and which class was read for which."""
    for name, counts in generated.asked_and_read.items():
        save_counts(folder / f"read_{name}.png", counts, module.names[name], name)
    if generated.lengths is not None:
        _sounds(folder, module, generated)
        return
    test = module.dataset("test")
    conditions, labels = conditions_grid(model, generated.conditions, 12)
    drawn = sample(model, conditions, num_samples=12 * len(labels), seed=seed + 1)
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
