"""Every conditioning mechanism of the conditional DCGAN on the same network, data and budget: handwritten digits, a few
seeds, one table and its plot.

    python recipes/compare_adversarial.py

It takes minutes per mechanism and seed; a run whose figures are already in the output folder is not repeated.
"""

from __future__ import annotations

import json
import logging
import statistics
from pathlib import Path
from typing import Any

from compare_conditioning import condgen
from jsonargparse import auto_cli
from tqdm import tqdm

from condgen.checkpoint import Checkpoint
from condgen.commands.fit import quiet
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.samples import assess, generate, summary, teach, train_classifiers

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "cdcgan_digits.yaml"
# The generator's mechanism, its norm, where labels enter, and the discriminator's mechanism.
ROWS = {
    "film + batch norm | projection": ("film", "batch", "every", "projection"),
    "film, no norm | projection": ("film", "none", "every", "projection"),
    "bias | projection": ("bias", "batch", "every", "projection"),
    "scale | projection": ("scale", "batch", "every", "projection"),
    "gate | projection": ("gate", "batch", "every", "projection"),
    "concat | projection": ("concat", "batch", "every", "projection"),
    "concat to the noise | projection": ("concat", "batch", "first", "projection"),
    "none | projection": ("none", "batch", "every", "projection"),
    "film + batch norm | auxiliary": ("film", "batch", "every", "auxiliary"),
    "film + batch norm | film": ("film", "batch", "every", "film"),
    "film + batch norm | bias": ("film", "batch", "every", "bias"),
    "film + batch norm | concat": ("film", "batch", "every", "concat"),
    "film + batch norm | none": ("film", "batch", "every", "none"),
    "concat | concat (the original)": ("concat", "batch", "every", "concat"),
}
COLUMNS = {
    "read as asked, %": lambda found: 100 * found["accuracy"],
    "GAN-train, %": lambda found: 100 * found["taught"],
    "covered, %": lambda found: 100 * found["coverage"],
    "Fréchet": lambda found: found["frechet"],
    "Fréchet within a class": lambda found: found["within"],
}


class Judge:
    """Measures checkpoints on the digits, all with the same classifiers.

    Args:
        steps: training steps of each classifier.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.data, self.classifiers = steps, None, {}
        self.real: dict[str, Any] = {}

    data: Any
    classifiers: dict[str, ImageClassifier]

    def __call__(self, checkpoint: Path) -> dict[str, Any]:
        """Return the figures of a checkpoint; those of real data are kept in `real`."""
        opened = Checkpoint.open(checkpoint)
        if self.data is None:
            self.data = opened.data()
            self.data.setup()
            self.classifiers = train_classifiers(self.data, self.steps, seed=0)
        count, model = len(self.data.dataset("train")), opened.model()
        readings = assess(generate(model, self.data, 500), self.data, self.classifiers)
        found = summary(None, [readings])["samples"]["digit"]
        found["taught"] = teach(model, self.data, count, classifier_steps=self.steps)["digit"]
        if not self.real:
            taught = teach(None, self.data, count, classifier_steps=self.steps)["digit"]
            self.real = {**found["floor"], "taught": taught}
        return {**found, "real": self.real}


def measure(folder: Path, row: str, seed: int, max_epochs: int, judge: Judge) -> dict[str, Any]:
    """Train one row with one seed; return the figures of its best and its last checkpoint."""
    written = folder / "figures.json"
    if not written.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        conditioning, norm, labels, discriminator = ROWS[row]
        condgen(folder / "log", "fit", "-c", str(CONFIG), "--seed_everything", str(seed),
                "--model.discriminator_conditioning", discriminator, "--model.conditioning", conditioning,
                "--model.network.norm", norm, "--model.network.labels", labels,
                "--trainer.max_epochs", str(max_epochs), "--trainer.logger.save_dir", str(folder),
                "--trainer.enable_progress_bar", "false")  # fmt: skip
        newest = {kind: max(folder.rglob(f"{kind}.ckpt"), key=lambda p: p.stat().st_mtime) for kind in ("best", "last")}
        figures = {kind: judge(checkpoint) for kind, checkpoint in newest.items()}
        partial = written.with_suffix(".partial")  # an interrupted run must be repeated
        partial.write_text(json.dumps(figures, indent=2) + "\n")
        partial.replace(written)
    return json.loads(written.read_text())


def cell(values: list[float]) -> str:
    """Write a mean, with the spread over seeds where there are several."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def table(figures: dict[str, list[dict[str, Any]]], kind: str) -> list[str]:
    """Write the table of one kind of checkpoint."""
    lines = [f"| generator | discriminator | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 2) + "|"]
    for row, found in figures.items():
        cells = [cell([value(run[kind]) for run in found]) for value in COLUMNS.values()]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    real = next(iter(figures.values()))[0][kind]["real"]
    return [*lines, f"| real training digits | | {' | '.join(f'{v(real):.1f}' for v in COLUMNS.values())} |"]


def plot(path: Path, figures: dict[str, list[dict[str, Any]]]) -> None:
    """Plot three figures of the last checkpoints: a dot per seed, and a line for real data."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.8 + 0.32 * len(figures)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    shown = ["read as asked, %", "GAN-train, %", "Fréchet"]
    for axes, name in zip(figure.subplots(1, len(shown), sharey=True), shown, strict=True):
        for i, found in enumerate(figures.values()):
            axes.plot([COLUMNS[name](run["last"]) for run in found], [i] * len(found), "o", color="tab:blue", alpha=0.6)
        axes.axvline(COLUMNS[name](next(iter(figures.values()))[0]["last"]["real"]), color="gray", linestyle="--")
        axes.set_title(name if name != "Fréchet" else "Fréchet distance (logarithmic)", fontsize=10)
        axes.set_xscale("log" if name == "Fréchet" else "linear")
        axes.set_yticks(range(len(figures)), list(figures), fontsize=9)
        axes.grid(axis="y", alpha=0.3)
    figure.axes[0].invert_yaxis()
    figure.savefig(path, facecolor="white")


def main(
    out: str = "runs/compare_adversarial",
    rows: list[str] | None = None,
    seeds: int = 3,
    max_epochs: int = 60,
    classifier_steps: int = 1000,
) -> None:
    """Run everything; print the table, and write table.md and table.png.

    Args:
        out: folder for the runs, the table and the plot.
        rows: names of the rows to run, such as "film + batch norm | projection"; all if left out.
        seeds: number of seeds, from 0.
        max_epochs: epochs of each run.
        classifier_steps: training steps of each classifier.
    """
    judge = Judge(classifier_steps)
    figures: dict[str, list[dict[str, Any]]] = {row: [] for row in rows or ROWS}
    for seed, row in tqdm([(seed, row) for seed in range(seeds) for row in figures], desc="seeds × mechanisms"):
        name = "".join(c if c.isalnum() else "_" for c in row)
        with quiet(logging.WARNING):
            figures[row].append(measure(Path(out, f"{name}_{seed}"), row, seed, max_epochs, judge))
    lines = ["Last checkpoints", "", *table(figures, "last"), "", "Best checkpoints", "", *table(figures, "best")]
    Path(out, "table.md").write_text("\n".join(lines) + "\n")
    plot(Path(out, "table.png"), figures)
    print("\n".join(lines))


if __name__ == "__main__":
    auto_cli(main)
