"""Copy-synthesis: train a WaveNet to speak from mel spectrograms, and compare its copies with Griffin-Lim's.

    python recipes/copy_synthesis.py DIR

DIR holds the recordings of the Free Spoken Digit Dataset. It takes an hour on a CPU; every step is a command, which is
printed before it runs.
"""

from __future__ import annotations

from pathlib import Path

from demo import CONFIGS, condgen, newest_checkpoint
from jsonargparse import auto_cli


def main(
    root: str, out: str = "runs/copy_synthesis", max_epochs: int = 12, num_samples: int = 300,
    classifier_steps: int = 400,
) -> None:  # fmt: skip
    """Run the story.

    Args:
        root: folder of the Free Spoken Digit Dataset.
        out: folder for the results.
        max_epochs: epochs of training.
        num_samples: number of held-out clips to copy.
        classifier_steps: training steps of each classifier that reads the copies.
    """
    condgen("fit", "-c", str(CONFIGS / "wavenet_fsdd_mel.yaml"), "--data.source.root", root,
            "--trainer.logger.save_dir", out, "--trainer.max_epochs", str(max_epochs))  # fmt: skip
    checkpoint = str(newest_checkpoint(Path(out)))
    condgen("evaluate", "--ckpt_path", checkpoint, "--num_samples", str(num_samples), "--out", f"{out}/report",
            "--classifier_steps", str(classifier_steps), "--overwrite")  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
