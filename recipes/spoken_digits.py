"""Speaker- and digit-conditional speech: train on the Free Spoken Digit Dataset, say every digit, measure the result.

    python recipes/spoken_digits.py DIR

DIR holds the dataset's recordings. It takes hours on a CPU; every step is a command, which is printed before it runs.
"""

from __future__ import annotations

from pathlib import Path

from demo import CONFIGS, condgen, newest_checkpoint
from jsonargparse import auto_cli


def main(
    root: str, out: str = "runs/spoken_digits", max_epochs: int = 8, num_samples: int = 300,
    classifier_steps: int = 400,
) -> None:  # fmt: skip
    """Run the story.

    Args:
        root: folder of the Free Spoken Digit Dataset.
        out: folder for the results.
        max_epochs: epochs of training.
        num_samples: number of samples for the classifiers to read.
        classifier_steps: training steps of each classifier.
    """
    condgen("fit", "-c", str(CONFIGS / "wavenet_fsdd.yaml"), "--data.source.root", root,
            "--trainer.logger.save_dir", out, "--trainer.max_epochs", str(max_epochs))  # fmt: skip
    checkpoint = str(newest_checkpoint(Path(out)))
    condgen("sample", "--ckpt_path", checkpoint, "--condition.speaker", "all", "--condition.digit", "all",
            "--seconds", "0.5", "--out", f"{out}/samples", "--overwrite")  # fmt: skip
    condgen("evaluate", "--ckpt_path", checkpoint, "--num_samples", str(num_samples), "--out", f"{out}/report",
            "--classifier_steps", str(classifier_steps), "--overwrite")  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
