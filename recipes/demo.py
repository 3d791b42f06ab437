"""Images and speech: train on handwritten digits, draw every digit, measure the result; then train on synthetic speech
and say a word that it has never heard, in two voices. It takes minutes on two cores; `make demo` runs it.

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

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def condgen(*arguments: str) -> None:
    """Print a condgen command, run it, and stop where it fails."""
    print(f"\n$ {shlex.join(['condgen', *arguments])}", flush=True)
    status = subprocess.run([sys.executable, "-m", "condgen.cli", *arguments], check=False).returncode
    if status:
        sys.exit(status)


def newest_checkpoint(run: Path) -> Path:
    """Return the checkpoint that was written last below a run's folder."""
    return max(run.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)


def digits(out: str, max_epochs: int, classifier_steps: int) -> str:
    """Train on handwritten digits, draw and measure; return what came out, in words."""
    condgen("fit", "-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--trainer.logger.save_dir", out,
            "--trainer.max_epochs", str(max_epochs))  # fmt: skip
    checkpoint = str(newest_checkpoint(Path(out, "pixelcnn_digits")))
    condgen("sample", "--ckpt_path", checkpoint, "--condition.digit", "all", "--num_samples", "12",
            "--out", f"{out}/samples", "--overwrite")  # fmt: skip
    condgen("evaluate", "--ckpt_path", checkpoint, "--out", f"{out}/report", "--overwrite",
            "--classifier_steps", str(classifier_steps))  # fmt: skip
    report = json.loads(Path(out, "report", "report.json").read_text())
    samples = report["samples"]["digit"]
    return (
        f"Held-out digits: {report['likelihood']['bits_per_dim']:.3f} bits/dim. Samples read as the digit asked for: "
        f"{samples['accuracy']:.1%}; real held-out digits: {samples['held_out_accuracy']:.1%}.\n"
        f"Look at {out}/samples/grid.png, beside real digits in {out}/report/real.png.\n"
        f"The model is {checkpoint}."
    )


def speech(out: str, max_epochs: int, word: str) -> str:
    """Train on synthetic speech and say a word that is not in it; return what came out, in words."""
    condgen("fit", "-c", str(CONFIGS / "wavenet_espeak.yaml"), "--trainer.logger.save_dir", out,
            "--trainer.max_epochs", str(max_epochs))  # fmt: skip
    checkpoint = str(newest_checkpoint(Path(out, "wavenet_espeak")))
    condgen("sample", "--ckpt_path", checkpoint, "--condition.speaker", "all", "--condition.text", word,
            "--temperature", "0.8", "--out", f"{out}/speech", "--overwrite")  # fmt: skip
    return (
        f"Listen to {out}/speech/: each voice says '{word}', which no training text contains. Its waveforms and "
        f"spectrograms are in {out}/speech/waveforms.png.\nThe model is {checkpoint}."
    )


def main(
    out: str = "runs/demo", max_epochs: int = 60, classifier_steps: int = 1000, speech_epochs: int = 11,
    word: str = "seven",
) -> None:  # fmt: skip
    """Run the story.

    Args:
        out: folder for the results.
        max_epochs: epochs of training on images.
        classifier_steps: training steps of the classifier that reads the images.
        speech_epochs: epochs of training on speech.
        word: word to say at the end.
    """
    start = time.time()
    told = [digits(out, max_epochs, classifier_steps), speech(out, speech_epochs, word)]
    print("\n\n".join([f"Done in {time.time() - start:.0f} s.", *told]))


if __name__ == "__main__":
    auto_cli(main)
