"""A page on what the conditions of the models that come with condgen have become: `condgen analyze` on each of them,
and the figures that say most.

    python recipes/task_representations.py --fsdd FSDD --mnist MNIST

`FSDD` is the folder of the recordings of the Free Spoken Digit Dataset, `MNIST` that of MNIST; without one of them, its
model is left out, and its part of the page stays. A report that is already in the folder of the runs is not made again.
The page is recipes/task_representations/README.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jsonargparse import auto_cli
from PIL import Image

from condgen.cli import main as condgen

PICTURES = {
    "digits": ("path_digit", "ablation"),
    "mnist_gan": ("scatter_as_is", "maps", "path_digit", "layers_digit", "ablation"),
    "spoken_digits": ("maps", "clusters", "path_digit", "path_speaker", "ablation"),
}
STEPS = {"digits": 300, "mnist_gan": 200, "spoken_digits": 150}  # of training the classifiers that read samples
SILENCE = 0.25  # seconds between the sounds of a path


def analysed(name: str, runs: Path, *options: str) -> dict[str, Any]:
    """Analyse a model, unless that is done; return the report."""
    folder = runs / name
    if not (folder / "report.json").is_file():
        status = condgen(["analyze", name, "--out", str(folder), *options])
        if status:
            sys.exit(status)
    return json.loads((folder / "report.json").read_text())


def copied(name: str, runs: Path, out: Path) -> None:
    """Copy the pictures of the page with fewer colours, which makes them small; and a path to be heard, in one file."""
    for picture in PICTURES[name]:
        with Image.open(runs / name / f"{picture}.png") as image:
            image.convert("RGB").quantize(96).save(out / f"{name}_{picture}.png", optimize=True)
    steps = sorted((runs / name).glob("path_digit_*.wav"))
    if steps:
        sounds, rates = zip(*(soundfile.read(step) for step in steps), strict=True)
        silence = np.zeros(int(SILENCE * rates[0]))
        soundfile.write(
            out / f"{name}_path.wav", np.concatenate([part for s in sounds for part in (s, silence)]), rates[0]
        )


def figures(name: str, report: dict[str, Any]) -> list[str]:
    """Write a line of the table of a model."""
    shown = report["figures"]["as_is"]
    part = "both" if "both" in shown["between"] else "beta"
    ablation = report["ablation"]
    losses = [f"{ablation[kind]:.3f}" for kind in ("own", "mean", "shuffled")]
    return [name, report["subject"]["conditioning"], str(len(report["subject"]["layers"])), f"{shown['maps']:,}",
            f"{shown['between'][part]:.2f} ({shown['shuffled'][part]:.2f})",
            *losses, ablation["unit"]]  # fmt: skip


def main(
    fsdd: str | None = None, mnist: str | None = None, out: str = "recipes/task_representations",
    runs: str = "runs/task_representations", classifier_steps: int | None = None,
) -> None:  # fmt: skip
    """Analyse the models, copy the pictures of the page, and print the table that stands on it.

    Args:
        fsdd: folder of the recordings of the Free Spoken Digit Dataset.
        mnist: folder of MNIST.
        out: folder of the page.
        runs: folder for the reports.
        classifier_steps: training steps of the classifiers; left out, 150 to 300.
    """
    Path(out).mkdir(parents=True, exist_ok=True)
    roots = {"digits": [], "mnist_gan": mnist and ["--data.source.root", mnist],
             "spoken_digits": fsdd and ["--data.source.root", fsdd, "--data.cache", f"{runs}/prepared"]}  # fmt: skip
    rows = [["model", "conditioning", "layers", "maps", "η² (shuffled)", "loss", "without the condition",
             "with another's", "unit"], ["---"] * 9]  # fmt: skip
    for name, options in roots.items():
        if options is not None:
            steps = str(classifier_steps or STEPS[name])
            report = analysed(name, Path(runs), *options, "--classifier_steps", steps)
            copied(name, Path(runs), Path(out))
            rows.append(figures(name, report))
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


if __name__ == "__main__":
    auto_cli(main)
