"""Class-conditional DCGAN on MNIST: train, draw every digit, and measure the best and the last checkpoint.

    python recipes/adversarial_mnist.py DIR

DIR holds MNIST in torchvision's layout. It takes less than an hour on two cores; every step is a command, which is
printed before it runs.
"""

from __future__ import annotations

from pathlib import Path

from demo import CONFIGS, condgen, newest_checkpoint
from jsonargparse import auto_cli


def main(
    root: str, out: str = "runs/adversarial_mnist", config: str = "cdcgan_mnist", max_epochs: int = 15,
    num_samples: int = 10000, classifier_steps: int = 500,
) -> None:  # fmt: skip
    """Run the story.

    Args:
        root: folder of MNIST.
        out: folder for the results.
        config: name of the configuration: `cdcgan_mnist`, or `cdcgan_mnist_concat` for the historical model.
        max_epochs: epochs of training.
        num_samples: number of samples for the classifiers to read.
        classifier_steps: training steps of each classifier.
    """
    condgen("fit", "-c", str(CONFIGS / f"{config}.yaml"), "--data.source.root", root,
            "--trainer.logger.save_dir", out, "--trainer.max_epochs", str(max_epochs))  # fmt: skip
    last = newest_checkpoint(Path(out, config))
    condgen("sample", "--ckpt_path", str(last), "--condition.digit", "all", "--num_samples", "16",
            "--out", f"{out}/samples", "--overwrite")  # fmt: skip
    for checkpoint in (last, last.with_name("best.ckpt")):
        condgen("evaluate", "--ckpt_path", str(checkpoint), "--num_samples", str(num_samples),
                "--out", f"{out}/report_{checkpoint.stem}", "--overwrite",
                "--classifier_steps", str(classifier_steps))  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
