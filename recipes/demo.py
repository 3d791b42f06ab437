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


def main(out: Path, *fit_options: str) -> None:
    """Run the story, with the results in `out`."""
    start = time.time()
    condgen("fit", "-c", str(CONFIG), "--trainer.logger.init_args.save_dir", str(out), *fit_options)
    checkpoint = newest_checkpoint(out)
    condgen("sample", "--ckpt_path", str(checkpoint), "--condition.digit", "all", "--num_samples", "12",
            "--out", str(out / "samples"), "--overwrite")  # fmt: skip
    condgen("evaluate", "--ckpt_path", str(checkpoint), "--out", str(out / "report"), "--overwrite")
    report = json.loads((out / "report" / "report.json").read_text())
    samples = report["samples"]["digit"]
    print(
        f"Done in {time.time() - start:.0f} s.\n"
        f"Held-out digits: {report['likelihood']['bits_per_dim']:.3f} bits/dim. Samples read as the digit asked for: "
        f"{samples['accuracy']:.1%}; real held-out digits: {samples['held_out_accuracy']:.1%}.\n"
        f"Look at {out}/samples/grid.png, beside real digits in {out}/report/real.png.\n"
        f"The model is {checkpoint}."
    )


if __name__ == "__main__":
    main(Path("runs/demo"), *sys.argv[1:])
