"""What differentiable augmentation is worth on few examples: a conditional DCGAN on MNIST cut to some numbers of
training examples per class, with and without it, in one table.

    python recipes/compare_augmentation.py DIR

DIR holds MNIST in torchvision's layout. It takes minutes per run; a run whose figures are already in the output folder
is not repeated. All samples are read by one classifier, trained on all of MNIST's training images.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from compare_adversarial import COLUMNS, cell
from compare_conditioning import condgen
from jsonargparse import auto_cli
from tqdm import tqdm

from condgen.checkpoint import Checkpoint
from condgen.commands.fit import quiet
from condgen.data import MNIST, Images
from condgen.evaluation.samples import assess, generate, summary, train_classifiers

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "cdcgan_mnist.yaml"
EXAMPLES, CHANGES = (100, 700, 2000, 5000), ("", "level,shift,cutout")
SHOWN = {name: value for name, value in COLUMNS.items() if name != "GAN-train, %"}


class Judge:
    """Measures checkpoints on MNIST's test images, all with the same classifier.

    Args:
        root: folder of MNIST.
        num_samples: number of samples.
        steps: training steps of the classifier.
    """

    def __init__(self, root: str, num_samples: int, steps: int) -> None:
        self.data, self.num_samples = Images(MNIST(root, download=False)), num_samples
        self.data.setup()
        self.classifiers = train_classifiers(self.data, steps, seed=0)

    def __call__(self, checkpoint: Path) -> dict[str, Any]:
        """Return the figures of a checkpoint, and those of real training images as `floor`."""
        model = Checkpoint.open(checkpoint).model()
        readings = assess(generate(model, self.data, self.num_samples), self.data, self.classifiers)
        return summary(None, [readings])["samples"]["digit"]


def measure(folder: Path, judge: Judge, *options: str) -> dict[str, Any]:
    """Train once with options of `condgen fit`; return the figures of the last checkpoint."""
    written = folder / "figures.json"
    if not written.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        condgen(folder / "log", "fit", "-c", str(CONFIG), *options, "--trainer.logger.save_dir", str(folder),
                "--trainer.limit_val_batches", "1", "--trainer.callbacks", "[]",
                "--trainer.enable_progress_bar", "false")  # fmt: skip
        figures = judge(max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime))
        partial = written.with_suffix(".partial")  # an interrupted run must be repeated
        partial.write_text(json.dumps(figures, indent=2) + "\n")
        partial.replace(written)
    return json.loads(written.read_text())


def table(figures: dict[tuple[int, str], list[dict[str, Any]]]) -> list[str]:
    """Write the table."""
    head = ["examples per class", "augmented by", *SHOWN]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for (examples, changes), runs in figures.items():
        cells = [cell([value(run) for run in runs]) for value in SHOWN.values()]
        lines.append(f"| {examples:,} | {changes.replace(',', ', ') or 'nothing'} | {' | '.join(cells)} |")
    floor = next(iter(figures.values()))[0]["floor"]
    return [*lines, f"| real training images | | {' | '.join(f'{value(floor):.1f}' for value in SHOWN.values())} |"]


def main(
    root: str,
    out: str = "runs/compare_augmentation",
    examples: list[int] | None = None,
    changes: list[str] | None = None,
    steps: int = 12000,
    channels: int = 64,
    seeds: int = 1,
    num_samples: int = 2000,
    classifier_steps: int = 1000,
) -> None:
    """Run everything; print the table, and write table.md.

    Args:
        root: folder of MNIST.
        out: folder for the runs and the table.
        examples: numbers of training examples per class; 100, 700, 2000 and 5000 if left out.
        changes: sets of changes, each with commas between their names, the empty one for no augmentation; none and all
            if left out.
        steps: training steps of each run.
        channels: channels of both networks.
        seeds: number of seeds, from 0.
        num_samples: number of samples that the classifier reads.
        classifier_steps: training steps of the classifier.
    """
    judge = Judge(root, num_samples, classifier_steps)
    figures: dict[tuple[int, str], list[dict[str, Any]]] = {(n, kind): [] for n in examples or EXAMPLES
                                                             for kind in changes or CHANGES}  # fmt: skip
    for seed, (n, kind) in tqdm([(seed, key) for seed in range(seeds) for key in figures], desc="runs"):
        epochs = max(1, round(steps / (n * 10 / 64)))
        with quiet(logging.WARNING):
            found = measure(
                Path(out, f"{n}_{kind.replace(',', '_') or 'nothing'}_{seed}"), judge,
                "--data.source.root", root, "--data.examples_per_class", str(n), "--model.augment", f"[{kind}]",
                "--seed_everything", str(seed), "--trainer.max_epochs", str(epochs),
                "--trainer.check_val_every_n_epoch", str(epochs), "--model.samples_every_n_epochs", str(epochs),
                "--model.network.channels", str(channels), "--model.discriminator.channels", str(channels),
            )  # fmt: skip
        figures[n, kind].append(found)
    lines = table(figures)
    Path(out, "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    auto_cli(main)
