"""`condgen evaluate`: measure a checkpoint and write a report with pictures.

Only what says how the command is called stands here: its help shall not wait for PyTorch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from condgen.commands.as_finished import write_as_finished
from condgen.commands.output import output_folder
from condgen.commands.parser import parse
from condgen.commands.quiet import quiet
from condgen.commands.report import markdown
from condgen.printable import printable


def evaluate(
    ckpt_path: str,
    out: str,
    data: dict[str, Any] | None = None,
    num_samples: int = 500,
    lesson_samples: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    samplings: int = 1,
    classifier_steps: int | None = None,
    temperature: float = 1.0,
    guidance: float = 0.0,
    film_guidance: float = 0.0,
    truncation: float | None = None,
    weights: Literal["ema", "live"] = "ema",
    batch_size: int = 100,
    device: str = "auto",
    engine: str = "auto",
    judges: Sequence[Literal["speaker", "words", "naturalness", "prdc"]] = (),
    trust: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Measure a checkpoint on held-out data and write report.md, report.json and pictures.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote.
        out: folder for the report. It appears when all is done, or with what was finished when something went wrong.
        data: changes to the data module that the checkpoint was trained with, such as `--data.root DIR`.
        num_samples: samples to draw and have read, with the conditions of as many held-out examples.
        lesson_samples: samples to teach a classifier with, which then reads real held-out examples; 0 to leave it out.
            Left out, of adversarial generators as many as there are training examples, of likelihood models 0.
        limit: held-out examples whose likelihood is scored; left out, all.
        seed: seed of the samples and the classifiers.
        samplings: times that all samples are drawn, each with the next seed; figures are then means with their spread,
            while by class, and of lessons, they are of the first.
        classifier_steps: training steps of the classifiers that read the samples. Left out, 1,000, or fewer where
            these pass 110 times through the training data, but not below 100.
        temperature: temperature of the samples of likelihood models; the likelihood is the model's own.
        guidance: weight by which the samples' conditions are turned up in the logits; see `condgen sample`.
        film_guidance: weight by which they are turned up in the FiLM parameters; see `condgen sample`.
        truncation: truncation of the samples of adversarial generators; see `condgen sample`.
        weights: running average of the weights (`ema`), or the last ones (`live`).
        batch_size: examples scored or drawn together.
        device: `auto`, `cpu`, `cuda`, …
        engine: engine that draws the samples of likelihood models; see `condgen sample`.
        judges: judges from outside (`pip install 'condgen[judges]'`), such as `[speaker,words,naturalness,prdc]`:
            voices by Resemblyzer, words by PocketSphinx, naturalness by DNSMOS, and `prdc`.
        trust: modules besides condgen whose classes the checkpoint may name.
        overwrite: permission to replace an existing folder.
    """
    from condgen.checkpoint import Checkpoint
    from condgen.commands.conditions import warn_of_untrained
    from condgen.commands.measuring import Wanted, data_of, enough_steps, measured
    from condgen.commands.options import refuse_foreign
    from condgen.engines.choice import choose
    from condgen.models.conditional import as_likelihood

    with output_folder(out, overwrite) as folder:
        if batch_size < 1 or num_samples < 1:
            raise ValueError(f"batch_size {batch_size} and num_samples {num_samples} must be at least 1")
        if samplings < 1:
            raise ValueError(f"samplings {samplings} is not at least 1")
        if lesson_samples is not None and lesson_samples < 0:
            raise ValueError(f"lesson_samples {lesson_samples} is not at least 0")
        checkpoint = Checkpoint.open(ckpt_path, trust)
        model = checkpoint.model(weights, device)
        how: dict[str, Any] = {"temperature": temperature, "guidance": guidance, "film_guidance": film_guidance}
        refuse_foreign(model, truncation, **how, engine=engine)
        warn_of_untrained(checkpoint.untrained)
        scored = as_likelihood(model)
        tempering: dict[str, Any] = {"truncation": truncation}
        if scored is not None:
            tempering = {**how, "engine": choose(engine, scored.network).name}
        module = data_of(checkpoint, model, data or {})
        steps = enough_steps(module) if classifier_steps is None else classifier_steps
        facts = {"checkpoint": checkpoint.sha256, "seed": seed, "samplings": samplings, "weights": weights, **tempering,
                 "classifier_steps": steps, "split": "test",
                 "data": {**checkpoint.data_settings, "changed": data or {}}}  # fmt: skip
        wanted = Wanted(num_samples, lesson_samples, limit, seed, samplings, steps, batch_size, tempering, judges)
        stopped = write_as_finished(measured(folder, model, module, wanted), facts, partial(_write, folder))
        text = (folder / "report.md").read_text()
    print("\n".join(map(printable, text.split("\n"))))
    print(f"The report and its pictures are in {out}{'' if stopped is None else ', as far as they are finished'}.")
    if stopped is not None:
        raise stopped


def _write(folder: Path, report: dict[str, Any]) -> None:
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "report.md").write_text(markdown(report))


def run(argv: list[str]) -> None:
    """Run `condgen evaluate`."""
    with quiet(logging.WARNING):
        evaluate(**parse(evaluate, argv))
