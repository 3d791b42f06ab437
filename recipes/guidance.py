"""How far conditions can be turned up, and what it costs: reading against coverage, for each weight of guidance.

    python recipes/guidance.py CHECKPOINT

The checkpoint, folder or name is of a likelihood model that was trained with `condition_dropout`. Each weight is tried
on the logits and on the FiLM parameters, three samplings each; what is finished is not repeated.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib.pyplot as plt
from jsonargparse import auto_cli
from tqdm import tqdm

from condgen.atomic import whole_file
from condgen.checkpoint import Checkpoint
from condgen.commands.measuring import data_of
from condgen.evaluation.samples import Assessment, assess, generate, train_classifiers

KINDS = {"guidance": "logits", "film_guidance": "FiLM parameters"}
Point = dict[str, Any]


def read(found: dict[str, Assessment]) -> dict[str, dict[str, float]]:
    """Keep of an assessment what the curves are made of."""
    return {name: {
        "read": a.samples.accuracy, "covered": a.samples.coverage, "frechet": a.samples.frechet,
        "real_read": a.held_out_accuracy, "real_covered": a.floor.coverage, "real_frechet": a.floor.frechet,
    } for name, a in found.items()}  # fmt: skip


def table(points: list[Point], condition: str) -> list[str]:
    """Write a row per kind and weight: means over the samplings, and their spread."""

    def cell(values: list[float], factor: float = 100, form: str = ".1f") -> str:
        spread = f" ± {factor * stdev(values):{form}}" if len(values) > 1 else ""
        return f"{factor * mean(values):{form}}{spread}"

    first = points[0]["by"][condition]
    rows = [f"| guidance of the | w | {condition} read as asked, % (real {100 * first['real_read']:.1f}) | covered, % "
            f"(real {100 * first['real_covered']:.1f}) | Fréchet (real {first['real_frechet']:.1f}) | seconds |",
            "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for kind, weight in dict.fromkeys((point["kind"], point["weight"]) for point in points):
        own = [point for point in points if (point["kind"], point["weight"]) == (kind, weight)]
        by = [point["by"][condition] for point in own]
        cells = [cell([b["read"] for b in by]), cell([b["covered"] for b in by]), cell([b["frechet"] for b in by], 1),
                 cell([point["seconds"] for point in own], 1, ".0f")]  # fmt: skip
        rows.append(f"| {KINDS[kind]} | {weight:g} | {' | '.join(cells)} |")
    return rows


def draw(points: list[Point], conditions: list[str], path: Path) -> None:
    """Draw coverage against reading, a panel per condition and a curve per kind, with the real clips' point."""
    figure, axes = plt.subplots(1, len(conditions), figsize=(4.2 * len(conditions), 3.6), squeeze=False)
    for axis, condition in zip(axes[0], conditions, strict=True):
        for kind, words in KINDS.items():
            weights = dict.fromkeys(p["weight"] for p in points if p["kind"] == kind)
            own = [[p["by"][condition] for p in points if p["weight"] == w and (p["kind"] == kind or not w)]
                   for w in [0.0, *(w for w in weights if w)]]  # fmt: skip
            x, y = ([100 * mean(by[name] for by in group) for group in own] for name in ("covered", "read"))
            axis.plot(x, y, "o-", label=words)
            for w, a, b in zip([0.0, *(w for w in weights if w)], x, y, strict=True):
                axis.annotate(f"{w:g}", (a, b), textcoords="offset points", xytext=(4, 4), fontsize=8)
        real = points[0]["by"][condition]
        axis.plot(100 * real["real_covered"], 100 * real["real_read"], "k*", markersize=11, label="real")
        axis.set(xlabel="held-out examples covered, %", ylabel=f"{condition} read as asked, %", title=condition)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(
    checkpoint: str,
    out: str = "runs/guidance",
    weights: tuple[float, ...] = (0, 0.5, 1, 2, 4),
    num_samples: int = 300,
    samplings: int = 3,
    classifier_steps: int = 300,
    device: str = "cpu",
    root: str | None = None,
) -> None:
    """Measure the curves.

    Args:
        checkpoint: checkpoint, exported folder, or name of a model.
        out: folder for points.json, table.md and guidance.png.
        weights: weights of guidance; 0 is the model as it is.
        num_samples: samples of each point, with the conditions of as many held-out examples.
        samplings: samplings of each point, with a seed each.
        classifier_steps: training steps of the classifiers that read the samples.
        device: device that draws.
        root: folder of the data, if another than in training.
    """
    folder, opened = Path(out), Checkpoint.open(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    model = opened.model(device=device)
    data = data_of(opened, model, {} if root is None else {"source": {"root": root}})
    file = folder / "points.json"
    points: list[Point] = json.loads(file.read_text()) if file.is_file() else []
    wanted = [(kind, float(w), seed) for kind in KINDS for w in weights for seed in range(samplings)
              if w or kind == "guidance"]  # fmt: skip
    todo = [key for key in wanted if key not in [(p["kind"], p["weight"], p["seed"]) for p in points]]
    classifiers = train_classifiers(data, classifier_steps, 0) if todo else {}
    for kind, weight, seed in tqdm(todo, desc="points"):
        start = time.perf_counter()
        generated = generate(model, data, num_samples, seed, batch_size=num_samples, **{kind: weight})
        seconds = time.perf_counter() - start
        by = read(assess(generated, data, classifiers))
        points.append({"kind": kind, "weight": weight, "seed": seed, "seconds": seconds, "by": by})
        with whole_file(file) as temporary:
            temporary.write_text(json.dumps(points, indent=1))
    points.sort(key=lambda p: wanted.index(key) if (key := (p["kind"], p["weight"], p["seed"])) in wanted else 0)
    points = [p for p in points if (p["kind"], p["weight"], p["seed"]) in wanted]
    conditions = [name for name in points[0]["by"] if name in model.encoders]
    text = "\n\n".join("\n".join(table(points, condition)) for condition in conditions)
    (folder / "table.md").write_text(text + "\n")
    draw(points, conditions, folder / "guidance.png")
    print(text)


if __name__ == "__main__":
    auto_cli(main)
