"""`condgen evaluate`: measure a checkpoint and write a report with pictures.

Only what says how the command is called stands here: its help shall not wait for PyTorch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from condgen.commands.output import output_folder
from condgen.commands.parser import parse
from condgen.commands.quiet import quiet
from condgen.commands.report import markdown


def evaluate(
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
    weights: Literal["ema", "live"] = "ema",
    batch_size: int = 100,
    device: str = "auto",
    trust: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Measure a checkpoint on held-out data and write report.md, report.json and pictures.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote.
        out: folder for the report. It appears when all is done.
        data: changes to the data module that the checkpoint was trained with, such as `--data.root DIR`.
        num_samples: samples to draw and have read, with the conditions of as many held-out examples.
        lesson_samples: samples to teach a classifier with, which then reads real held-out examples; 0 to leave it out.
            Left out, of adversarial generators as many as there are training examples, of likelihood models 0.
        limit: held-out examples whose likelihood is scored; left out, all.
        seed: seed of the samples and the classifiers.
        classifier_steps: training steps of the classifiers that read the samples.
        temperature: temperature of the samples of likelihood models; the likelihood is the model's own.
        truncation: truncation of the samples of adversarial generators; see `condgen sample`.
        weights: running average of the weights (`ema`), or the last ones (`live`).
        batch_size: examples scored or drawn together.
        device: `auto`, `cpu`, `cuda`, …
        trust: modules besides condgen whose classes the checkpoint may name.
        overwrite: permission to replace an existing folder.
    """
    from condgen.checkpoint import Checkpoint
    from condgen.commands.conditions import warn_of_untrained
    from condgen.commands.measuring import data_of, illustrate, lessons
    from condgen.commands.options import refuse_foreign
    from condgen.evaluation.copy_synthesis import copy_synthesis, mel_condition
    from condgen.evaluation.likelihood import likelihood
    from condgen.evaluation.samples import assess, generate, summary, train_classifiers
    from condgen.models.conditional import as_likelihood
    from condgen.training.compatibility import check_data

    with output_folder(out, overwrite) as folder:
        if batch_size < 1 or num_samples < 1:
            raise ValueError(f"batch_size {batch_size} and num_samples {num_samples} must be at least 1")
        if lesson_samples is not None and lesson_samples < 0:
            raise ValueError(f"lesson_samples {lesson_samples} is not at least 0")
        checkpoint = Checkpoint.open(ckpt_path, trust)
        model = checkpoint.model(weights, device)
        refuse_foreign(model, truncation, temperature=temperature)
        warn_of_untrained(checkpoint.untrained)
        scored = as_likelihood(model)
        tempering = {"truncation": truncation} if scored is None else {"temperature": temperature}
        module = data_of(checkpoint, data or {})
        check_data(model, module)
        module.setup()
        measured = None if scored is None else likelihood(scored, module, limit, batch_size)
        options: dict[str, Any] = {"batch_size": batch_size, **tempering}
        generated = generate(model, module, num_samples, seed, **options)
        classifiers = train_classifiers(module, classifier_steps, seed)
        assessments = assess(generated, module, classifiers)
        taught = lessons(model, module, lesson_samples, seed, classifier_steps, **options)
        facts = {"checkpoint": checkpoint.sha256, "seed": seed, "weights": weights, **tempering,
                 "classifier_steps": classifier_steps, "split": "test",
                 "data": {**checkpoint.data_settings, "changed": data or {}}}  # fmt: skip
        report = {**facts, **summary(measured, assessments, taught)}
        if scored is not None and mel_condition(scored, module):
            report["copy_synthesis"] = asdict(copy_synthesis(scored, module, generated, classifiers, seed))
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        illustrate(folder, model, module, generated, assessments, seed, tempering)
        text = markdown(report)
        (folder / "report.md").write_text(text)
    print(text)
    print(f"The report and its pictures are in {out}.")


def run(argv: list[str]) -> None:
    """Run `condgen evaluate`."""
    quiet()
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    evaluate(**parse(evaluate, argv))
