"""`condgen analyze`: look into the task representations of a checkpoint and write a report with pictures and samples.

Only what says how the command is called stands here: its help shall not wait for PyTorch.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from condgen.commands.analysis_report import markdown
from condgen.commands.as_finished import write_as_finished
from condgen.commands.output import output_folder
from condgen.commands.parser import parse
from condgen.commands.quiet import quiet
from condgen.printable import printable


def analyze(
    ckpt_path: str,
    out: str,
    data: dict[str, Any] | None = None,
    layers: Sequence[str] = (),
    maps: Sequence[int] = (),
    between: str | None = None,
    num_samples: int | None = None,
    examples: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    classifier_steps: int | None = None,
    weights: Literal["ema", "live"] = "ema",
    device: str = "auto",
    trust: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Look into the (γ, β) that conditions become: statistics, clusters, maps, paths, arithmetic and ablations.

    What needs data (likelihoods, classifiers) is left out, with a line that says so, where there are none.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote.
        out: folder for report.md, report.json, pictures and samples. It appears when all is done, or with what was
            finished when something went wrong.
        data: changes to the data module that the checkpoint was trained with, such as `--data.root DIR`.
        layers: FiLM layers to look at, such as `[films.0,films.1]`; left out, all.
        maps: numbers of the feature maps to look at in each of these, such as `[3,17]`; left out, all.
        between: two classes of a condition to go between, such as `digit=3,8`; left out, the two nearest to each other
            of every condition.
        num_samples: samples to draw and have read at each step of a path; left out, 60 images or 12 clips.
        examples: held-out examples that likelihoods and ablations are measured on; left out, 200 images or 8 clips.
        seconds: length of audio, where nothing says; left out, that of the exported model, or 0.5.
        seed: seed of the samples, the classifiers and the controls.
        classifier_steps: training steps of the classifiers that read samples; left out, as `condgen evaluate` has it,
            but 300 at most for sound.
        weights: running average of the weights (`ema`), or the last ones (`live`).
        device: `auto`, `cpu`, `cuda`, …
        trust: modules besides condgen whose classes the checkpoint may name.
        overwrite: permission to replace an existing folder.
    """
    from condgen.checkpoint import Checkpoint
    from condgen.commands.analysing import analysed
    from condgen.commands.conditions import warn_of_untrained
    from condgen.commands.subject import Wanted

    with output_folder(out, overwrite) as folder:
        for name, count in (("num_samples", num_samples), ("examples", examples)):
            if count is not None and count < 1:
                raise ValueError(f"{name} {count} is not at least 1")
        checkpoint = Checkpoint.open(ckpt_path, trust)
        model = checkpoint.model(weights, device)
        warn_of_untrained(checkpoint.untrained)
        wanted = Wanted(data, layers, maps, between, num_samples, examples, seconds, seed, classifier_steps)
        facts = {"model": ckpt_path, "checkpoint": checkpoint.sha256, "weights": weights, "seed": seed}
        stopped = write_as_finished(analysed(folder, checkpoint, model, wanted), facts, partial(_write, folder))
        text = (folder / "report.md").read_text()
    print("\n".join(map(printable, text.split("\n"))))
    print(f"The report, its pictures and samples are in {out}{'' if stopped is None else ', as far as finished'}.")
    if stopped is not None:
        raise stopped


def _write(folder: Path, report: dict[str, Any]) -> None:
    (folder / "report.json").write_text(json.dumps(_plain(report), indent=2) + "\n")
    (folder / "report.md").write_text(markdown(report))


def _plain(value: Any) -> Any:
    """Return plain data without what JSON does not know: `null` for figures that there are not."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def run(argv: list[str]) -> None:
    """Run `condgen analyze`."""
    with quiet(logging.WARNING):
        analyze(**parse(analyze, argv))
