"""Every conditioning mechanism on the same network, data and budget: handwritten digits, a few seeds, one table.

    python recipes/compare_conditioning.py

It takes minutes per mechanism and seed; a run whose report is already in the output folder is not repeated.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

from jsonargparse import auto_cli
from tqdm import tqdm

from condgen.conditioning.mechanism import Mechanism

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "pixelcnn_digits.yaml"


def condgen(log: Path, *arguments: str) -> None:
    """Run a condgen command with its output in a file."""
    with open(log, "a") as file:
        command = [sys.executable, "-m", "condgen.cli", *arguments]
        if subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode:
            sys.exit(f"{' '.join(arguments)} failed; see {log}")


def measure(folder: Path, conditioning: str, seed: int, max_epochs: int, classifier_steps: int) -> dict[str, Any]:
    """Train and evaluate one mechanism with one seed; return the report."""
    report = folder / "report" / "report.json"
    if not report.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        condgen(folder / "log", "fit", "-c", str(CONFIG), "--seed_everything", str(seed),
                "--model.conditioning", conditioning, "--trainer.max_epochs", str(max_epochs),
                "--trainer.logger.save_dir", str(folder))  # fmt: skip
        checkpoint = max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
        condgen(folder / "log", "evaluate", "--ckpt_path", str(checkpoint), "--out", str(report.parent), "--overwrite",
                "--classifier_steps", str(classifier_steps))  # fmt: skip
    return json.loads(report.read_text())


def row(conditioning: str, reports: list[dict[str, Any]]) -> str:
    """Write one line of the table: means, and the spread over seeds where there are several."""

    def cell(values: list[float], form: str) -> str:
        spread = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
        return f"{statistics.mean(values):{form}}{spread}"

    found = [report["likelihood"] for report in reports]
    samples = [report["samples"]["digit"] for report in reports]
    cells = [cell([f["bits_per_dim"] for f in found], ".3f")]
    conditional = all(f["swap_gap"] for f in found)
    cells += [cell([f["swap_gap"]["digit"] for f in found], ".3f") if conditional else "0"]
    cells += [cell([100 * f["bayes_accuracy"] for f in found], ".1f") if conditional else "–"]
    cells += [cell([100 * s["accuracy"] for s in samples], ".1f")]
    cells += [cell([100 * s["coverage"] for s in samples], ".1f")]
    cells += [cell([s["frechet"] for s in samples], ".2f")]
    return f"| `{conditioning}` | " + " | ".join(cells) + " |"


def main(
    out: str = "runs/compare_conditioning",
    conditionings: list[Mechanism] | None = None,
    seeds: int = 1,
    max_epochs: int = 60,
    classifier_steps: int = 1000,
) -> None:
    """Run everything and print the table.

    Args:
        out: folder for the runs and table.md.
        conditionings: mechanisms to run; all if left out.
        seeds: number of seeds, from 0.
        max_epochs: epochs of each run.
        classifier_steps: training steps of the classifier that reads the samples.
    """
    todo = [(conditioning, seed) for conditioning in conditionings or get_args(Mechanism) for seed in range(seeds)]
    reports: dict[str, list[dict[str, Any]]] = {}
    for conditioning, seed in tqdm(todo, desc="mechanisms × seeds"):
        found = measure(Path(out, f"{conditioning}_{seed}"), conditioning, seed, max_epochs, classifier_steps)
        reports.setdefault(conditioning, []).append(found)
    lines = [
        "| conditioning | bits/dim | label-swap gap | true class most probable, % | read as asked, % | covered, % | "
        "Fréchet |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(row(conditioning, found) for conditioning, found in reports.items()),
    ]
    Path(out, "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    auto_cli(main)
