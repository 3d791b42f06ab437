"""Train on handwritten digits, draw every digit, and measure the result. Minutes on two cores; `make demo` runs it.

Each step is a command that you could type; it is printed before it runs.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from jsonargparse import auto_cli

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "pixelcnn_digits.yaml"


def condgen(*arguments: str) -> None:
    """Print a condgen command, run it, and stop where it fails."""
    print(f"\n$ {shlex.join(['condgen', *arguments])}", flush=True)
    status = subprocess.run([sys.executable, "-m", "condgen.cli", *arguments], check=False).returncode
    if status:
        sys.exit(status)


def newest_checkpoint(run: Path) -> Path:
    """Return the checkpoint that was written last below a run's folder."""
    return max(run.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)


def main(out: str = "runs/demo", max_epochs: int = 60, classifier_steps: int = 1000) -> None:
    """Run the story.

    Args:
        out: folder for the results.
        max_epochs: of training.
        classifier_steps: of training the classifier that reads the samples.
    """
    start = time.time()
    condgen("fit", "-c", str(CONFIG), "--trainer.logger.save_dir", out, "--trainer.max_epochs", str(max_epochs))
    checkpoint = str(newest_checkpoint(Path(out)))
    condgen("sample", "--ckpt_path", checkpoint, "--condition.digit", "all", "--num_samples", "12",
            "--out", f"{out}/samples", "--overwrite")  # fmt: skip
    condgen("evaluate", "--ckpt_path", checkpoint, "--out", f"{out}/report", "--overwrite",
            "--classifier_steps", str(classifier_steps))  # fmt: skip
    report = json.loads(Path(out, "report", "report.json").read_text())
    samples = report["samples"]["digit"]
    print(
        f"Done in {time.time() - start:.0f} s.\n"
        f"Held-out digits: {report['likelihood']['bits_per_dim']:.3f} bits/dim. Samples read as the digit asked for: "
        f"{samples['accuracy']:.1%}; real held-out digits: {samples['held_out_accuracy']:.1%}.\n"
        f"Look at {out}/samples/grid.png, beside real digits in {out}/report/real.png.\n"
        f"The model is {checkpoint}."
    )


if __name__ == "__main__":
    auto_cli(main)
