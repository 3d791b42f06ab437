"""Whether a model trained in bf16 is as good as one trained in float32: held-out likelihood over three seeds of each.

    python recipes/compare_precision.py

It needs a machine that multiplies in bf16. Each run is a command, which is printed before it runs.
"""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean, stdev

from demo import CONFIGS, condgen
from jsonargparse import auto_cli


def held_out(run: Path) -> float:
    """Return the last bits per dimension on the validation split in the log of a run."""
    rows = csv.DictReader(next(run.rglob("metrics.csv")).open())
    return [float(value) for row in rows for name, value in row.items() if name.startswith("val/bits") and value][-1]


def main(
    config: str = "pixelcnn_digits", out: str = "runs/compare_precision", seeds: tuple[int, ...] = (0, 1, 2),
    precisions: tuple[str, ...] = ("32-true", "bf16-mixed"), max_epochs: int = 60,
) -> None:  # fmt: skip
    """Train a configuration in each precision, and print a row of held-out bits for each.

    Args:
        config: name of a configuration.
        out: folder for the runs.
        seeds: seeds of the runs in each precision.
        precisions: precisions of the trainer.
        max_epochs: epochs of each run.
    """
    rows = ["| precision | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean ± standard deviation |"]
    rows.append("| --- " * (len(seeds) + 2) + "|")
    for precision in precisions:
        found = []
        for seed in seeds:
            place = Path(out, f"{precision}_{seed}")
            condgen("fit", "-c", str(CONFIGS / f"{config}.yaml"), "--seed_everything", str(seed), "--trainer.precision",
                    precision, "--trainer.max_epochs", str(max_epochs), "--trainer.logger.save_dir",
                    str(place))  # fmt: skip
            found.append(held_out(place))
        spread = stdev(found) if len(found) > 1 else 0.0
        figures = " | ".join(f"{x:.4f}" for x in found)
        rows.append(f"| {precision} | {figures} | {mean(found):.4f} ± {spread:.4f} |")
    print("\n" + "\n".join(rows))


if __name__ == "__main__":
    auto_cli(main)
