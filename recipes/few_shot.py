"""A speaker whom a model has never heard, from 1, 5 and 20 clips: what a new row of the embedding learns, and what FiLM
parameters of the speaker's own learn, against a model that was trained on the speaker too.

    python recipes/few_shot.py CHECKPOINT DIR

CHECKPOINT is a WaveNet of configs/wavenet_fsdd.yaml that was trained without the speaker, and DIR holds the recordings
of the Free Spoken Digit Dataset. Each cell is `condgen adapt` on some clips of the training split, and then the bits
per sample of the speaker's 50 test clips, and what classifiers of real clips of all speakers read in as many samples. A
cell whose figures are already in the output folder is not repeated.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli
from torch import Tensor
from tqdm import tqdm

from condgen.checkpoint import Checkpoint
from condgen.cli import main as condgen
from condgen.data import Batch, Speech
from condgen.data.batch import count_dims
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.samples import sample_like, train_classifiers
from condgen.evaluation.views import view
from condgen.models.conditional import ConditionalModel, as_likelihood

WHATS = ("embedding", "film")
FIGURES = {"bits": "bits per sample", "speaker": "speaker read as asked, %", "digit": "digit read as asked, %"}


class Judge:
    """Measures models on the test clips of one speaker, all with the same classifiers.

    Args:
        data: data of all speakers, after `setup()`.
        speaker: speaker.
        cache: file for the classifiers.
        steps: training steps of each classifier.
        device: device of the models.
    """

    def __init__(self, data: Speech, speaker: str, cache: Path, steps: int, device: str = "cpu") -> None:
        self.device = device
        self.data, self.classifiers = data, classifiers_of(data, cache, steps)
        test = data.dataset("test")
        rows = (data.class_ids("test")["speaker"] == data.names["speaker"].index(speaker)).nonzero()[:, 0].tolist()
        self.clips: Batch = test.__getitems__(sorted(rows, key=lambda row: int(test.lengths[row])))

    def read(self, x: Tensor, lengths: list[int]) -> dict[str, float]:
        """Return how many clips in a hundred are read as their speaker and as their digit."""
        pictures = view(self.data).pictures(x, lengths)
        return {name: 100 * classifier.accuracy(pictures, self.clips.conditions[name])
                for name, classifier in self.classifiers.items()}  # fmt: skip

    def real(self) -> dict[str, float]:
        """Return the readings of the real test clips."""
        return self.read(self.clips.x, self.lengths)

    @property
    def lengths(self) -> list[int]:
        """Samples of each clip."""
        return [] if self.clips.scored is None else self.clips.scored.sum(1).tolist()

    @torch.no_grad()
    def __call__(self, path: Path | str) -> dict[str, float]:
        """Return the figures of a model."""
        model = as_likelihood(Checkpoint.open(path).model("ema", self.device))
        if model is None:
            raise SystemExit(f"{path} is no likelihood model")
        clips = self.clips._replace(conditions={name: self._ids(name, model.encoders[name].names, values)
                                                for name, values in self.clips.conditions.items()})  # fmt: skip
        x, lengths = sample_like(model, clips, seed=0)
        return {"bits": self._bits(model, clips), **self.read(x, lengths or [])}

    def _bits(self, model: ConditionalModel, clips: Batch) -> float:
        """Return the bits per sample of all clips, some of like lengths at a time."""
        nats, size = 0.0, clips.x.shape[-1]
        for rows in torch.arange(len(clips.x)).split(5):
            longest = max(self.lengths[row] for row in rows)
            own = {name: values[rows] if values.ndim == 1 else values[rows, :, : values.shape[-1] * longest // size]
                   for name, values in clips.conditions.items() if name in model.encoders}  # fmt: skip
            scored = None if clips.scored is None else clips.scored[rows, :longest].to(self.device)
            given = {name: values.to(self.device) for name, values in own.items()}
            nats -= model.log_prob(clips.x[rows, :, :longest].to(self.device), given, scored).sum().item()
        return nats / (count_dims(clips) * math.log(2))

    def _ids(self, name: str, names: list[str] | None, values: Tensor) -> Tensor:
        """Return class ids as a model counts them; all other conditions as they are."""
        if name not in self.data.names or names is None:
            return values
        return torch.tensor([names.index(self.data.names[name][int(value)]) for value in values])


def classifiers_of(data: Speech, cache: Path, steps: int) -> dict[str, ImageClassifier]:
    """Train classifiers of real clips, once."""
    if not cache.is_file():
        torch.save({name: c.state_dict() for name, c in train_classifiers(data, steps, seed=0).items()}, cache)
    seen, made = view(data), {}
    for name, state in torch.load(cache, weights_only=True).items():
        shape = tuple(seen.split("train").images.x.shape[1:])
        made[name] = ImageClassifier(shape, seen.levels, name, len(data.names[name])).eval()  # type: ignore[arg-type]
        made[name].load_state_dict(state)
    return made


def chosen(data: Speech, speaker: str, count: int, seed: int) -> list[str]:
    """Choose training clips of a speaker, of as many digits as there can be; fewer are a part of more."""
    rng = random.Random(seed)
    clips = [clip for clip in data.source.clips("train") if clip.labels["speaker"] == speaker]
    digits = sorted({clip.labels["digit"] for clip in clips})
    rng.shuffle(digits)
    queues = [[clip for clip in clips if clip.labels["digit"] == digit] for digit in digits]
    for queue in queues:
        rng.shuffle(queue)
    rounds = [queue[i] for i in range(max(map(len, queues))) for queue in queues if i < len(queue)]
    return [str(clip.path) for clip in rounds[:count]]


def cell(
    folder: Path, base: str, data: Speech, judge: Judge, what: str, count: int, seed: int, speaker: str, steps: int
) -> dict[str, Any]:
    """Adapt and measure once; return the figures."""
    written = folder / "figures.json"
    if not written.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        begin = time.monotonic()
        examples = chosen(data, speaker, count, seed)
        options = {"what": what, "condition.speaker": speaker, "out": folder / "model", "steps": steps,
                   "batch_size": 2, "seed": seed, "device": judge.device}  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with open(folder / "log", "w") as log, redirect_stdout(log), redirect_stderr(log):
            status = condgen(["adapt", base, *words, "--overwrite", "--examples", *examples])
        if status:
            sys.exit(f"adapting failed; see {folder / 'log'}")
        learnt, begin = time.monotonic() - begin, time.monotonic()
        figures = judge(folder / "model")
        told = {"what": what, "clips": count, "seed": seed, **figures, "seconds": learnt,
                "seconds_measuring": time.monotonic() - begin}  # fmt: skip
        partial = written.with_suffix(".partial")  # an interrupted run must be repeated
        partial.write_text(json.dumps(told, indent=2) + "\n")
        partial.replace(written)
    return json.loads(written.read_text())


def table(report: dict[str, Any]) -> list[str]:
    """Write the table: means over the choices of clips, and their standard deviations."""

    def row(words: str, runs: list[dict[str, Any]]) -> str:
        cells = []
        for name in FIGURES:
            values, form = [run[name] for run in runs if name in run], ".3f" if name == "bits" else ".0f"
            spread = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):{form}}{spread}" if values else "")
        return f"| {words} | {' | '.join(cells)} |"

    lines = [f"| learnt | clips | {' | '.join(FIGURES.values())} |", "| --- " * (2 + len(FIGURES)) + "|",
             row("nothing: the mean of all speakers | 0", [report["start"]])]  # fmt: skip
    for what, count in dict.fromkeys((run["what"], run["clips"]) for run in report["cells"]):
        runs = [run for run in report["cells"] if (run["what"], run["clips"]) == (what, count)]
        lines.append(row(f"{what} | {count}", runs))
    return [*lines, row("all, with the other speakers | all", [report["joint"]]), row("real clips |", [report["real"]])]


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw each figure against the number of clips."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(FIGURES), figsize=(4 * len(FIGURES), 3.2), layout="constrained")
    for axis, (name, title) in zip(axes, FIGURES.items(), strict=True):
        for what in WHATS:
            runs = [run for run in report["cells"] if run["what"] == what]
            counts = sorted({run["clips"] for run in runs})
            each = [[run[name] for run in runs if run["clips"] == count] for count in counts]
            spread = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in each]
            axis.errorbar(counts, [statistics.mean(values) for values in each], spread, marker="o", capsize=3,
                          label=what)  # fmt: skip
        for key, words, style in (("start", "mean of all speakers", ":"), ("joint", "trained with the speaker", "--"),
                                  ("real", "real clips", "-")):  # fmt: skip
            if name in report[key]:
                axis.axhline(report[key][name], color="grey", linestyle=style, linewidth=1, label=words)
        axis.set(xscale="log", xlabel="clips", title=title)
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
    axes[-1].legend(fontsize=7)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write(folder: Path, report: dict[str, Any]) -> None:
    """Write report.json, table.md and curve.png."""
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "table.md").write_text("\n".join(table(report)) + "\n")
    plot(report, folder / "curve.png")


def main(
    base: str,
    root: str,
    out: str = "runs/few_shot",
    joint: str = "spoken_digits",
    speaker: str = "lucas",
    clips: list[int] | None = None,
    seeds: int = 3,
    steps: int = 30,
    classifier_steps: int = 300,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Run everything; write report.json, table.md and curve.png, and print the table.

    Args:
        base: checkpoint of a model that was trained without the speaker.
        root: folder of the Free Spoken Digit Dataset, or of its recordings.
        out: folder for the models and the report.
        joint: model that was trained on the speaker too.
        speaker: speaker.
        clips: numbers of clips to learn from; 1, 5 and 20 if left out.
        seeds: number of choices of clips, from 0.
        steps: steps of learning, of two clips each.
        classifier_steps: training steps of the classifiers that read samples.
        device: `cpu`, `cuda`, …
        threads: threads that measuring takes.
    """
    torch.set_num_threads(threads)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    data: Any = Checkpoint.open(joint).data({"root": root, "cache": str(folder / "prepared")})
    data.setup()
    judge = Judge(data, speaker, folder / "classifiers.pt", classifier_steps, device)
    cells = [(what, count, seed) for seed in range(seeds) for count in clips or (1, 5, 20) for what in WHATS]
    given = (base, data, judge)
    report: dict[str, Any] = {"base": base, "joint_model": joint, "speaker": speaker, "steps": steps, "cells": [],
                              "real": judge.real(),
                              "start": cell(folder / "start", *given, "embedding", 1, 0, speaker, 0)}  # fmt: skip
    known = folder / "joint.json"
    if not known.is_file():
        known.write_text(json.dumps(judge(joint)))
    report["joint"] = json.loads(known.read_text())
    for what, count, seed in tqdm(cells, desc="cells"):
        found = cell(folder / f"{what}_{count}_{seed}", *given, what, count, seed, speaker, steps)
        report["cells"].append(found)
        write(folder, report)
    print("\n".join(table(report)))


if __name__ == "__main__":
    auto_cli(main)
