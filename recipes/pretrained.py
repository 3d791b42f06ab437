"""The models that come with condgen: train one, measure it, and export it with its card into the package.

    python recipes/pretrained.py NAME

`MODELS` says for each the command that stands on its card, which trains it. What was trained elsewhere by that command
is taken as it is: `--ckpt_path FILE`; and so is what `condgen evaluate` has measured of it: `--report FILE`.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

from demo import condgen, newest_checkpoint
from jsonargparse import auto_cli

FOLDER = Path(__file__).resolve().parent.parent / "condgen" / "pretrained"
LICENCE = "MIT, as condgen itself; it was trained by the project of condgen."
MNIST = "MNIST (Yann LeCun, Corinna Cortes), CC BY-SA 3.0; `torchvision.datasets.MNIST` fetches it."
FSDD = ("Free Spoken Digit Dataset (Zohar Jackson and the six speakers, who gave their voices to it), CC BY-SA 4.0: "
        "https://github.com/Jakobovski/free-spoken-digit-dataset.")  # fmt: skip


class Pretrained(NamedTuple):
    """A model that comes with condgen.

    Attributes:
        command: command that trains it, with a word in capitals for the folder of the data.
        data: training data and their licence.
        machine: machine that trained the one in the package, and its time.
        measured: options of `condgen evaluate`.
        seconds: length of the audio that is drawn where nothing says how long it is.
    """

    command: str
    data: str
    machine: str
    measured: str = "--num_samples 500"
    seconds: float | None = None


GPU = (
    "eight minutes of one NVIDIA H200 beside some eight other trainings, in 16 bits, the learning rate falling by time"
)
CORE = "one core of a virtual machine with AVX2"
MODELS = {
    "digits": Pretrained(
        "condgen fit -c pixelcnn_digits",
        "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI), CC BY 4.0; scikit-learn brings it.",
        f"three minutes of {CORE}",
    ),
    "mnist": Pretrained(
        "condgen fit -c pixelcnn_mnist --data.source.root MNIST", MNIST, GPU,
        "--num_samples 1000 --samplings 3 --limit 500",
    ),
    "mnist_gan": Pretrained(
        "condgen fit -c cdcgan_mnist --data.source.root MNIST", MNIST, GPU.replace("16", "32"),
        "--num_samples 2000 --samplings 3 --lesson_samples 0",
    ),
    "spoken_digits": Pretrained(
        "condgen fit -c wavenet_fsdd --data.source.root FSDD", FSDD, GPU,
        "--num_samples 300 --samplings 3 --classifier_steps 300 --guidance 0.7", seconds=0.45,
    ),
    "spoken_digits_gan": Pretrained(
        "condgen fit -c cdcgan_fsdd --data.source.root FSDD --model.network.channels 16 "
        "--model.discriminator.channels 16 --data.batch_size 32 --trainer.max_epochs 134", FSDD,
        GPU.replace("16", "32"), "--num_samples 300 --samplings 3 --classifier_steps 300 --lesson_samples 0",
    ),
    "espeak": Pretrained(
        "condgen fit -c wavenet_espeak --model.network.channels 64 --model.network.layers 20 --model.network.head 128 "
        "--data.context 2080 --data.batch_size 8 --model.learning_rate 0.002 --model.ema_decay 0.999 "
        "--trainer.max_epochs 199",
        "Texts of condgen, spoken by eSpeak NG, a program under GPL-3.0-or-later, which does not extend to its output.",
        GPU, "--num_samples 30 --classifier_steps 100",
    ),
}  # fmt: skip


def with_root(command: str, root: str | None) -> list[str]:
    """Return a command line with the folder of the data in the place of its word in capitals."""
    words = shlex.split(command)
    places = [word for word in words if word.isupper()]
    if places and root is None:
        raise SystemExit(f"give --root DIR, the folder of the data: {places[0]}")
    return [root if root is not None and word in places else word for word in words]


def main(
    name: str, root: str | None = None, out: str = "runs/pretrained", ckpt_path: str | None = None,
    report: str | None = None, trained_by: str | None = None, into: str = str(FOLDER),
) -> None:  # fmt: skip
    """Run the story.

    Args:
        name: name of the model, one of `MODELS`.
        root: folder of the data.
        out: folder for the run and the report.
        ckpt_path: checkpoint that was trained before.
        report: report.json of this checkpoint that was written before.
        trained_by: command that trained it, if another than that of `MODELS`.
        into: folder for the model.
    """
    if name not in MODELS:
        raise SystemExit(f"there is no {name}; known: {', '.join(MODELS)}")
    model, place = MODELS[name], Path(out, name)
    if ckpt_path is None:
        condgen(*with_root(model.command, root)[1:], "--trainer.logger.save_dir", str(place))
        ckpt_path = str(newest_checkpoint(place).with_name("best.ckpt"))
    if report is None:
        moved = ["--data.source.root", root] if root is not None else []
        condgen("evaluate", ckpt_path, *model.measured.split(), "--out", str(place / "report"), "--overwrite", *moved)
        report = str(place / "report" / "report.json")
    said = {"report": report, "trained_by": trained_by or model.command, "trained_on": model.machine,
            "data_licence": model.data, "licence": LICENCE}  # fmt: skip
    said |= {} if model.seconds is None else {"seconds": str(model.seconds)}
    options = [word for option, text in said.items() for word in (f"--{option}", text)]
    condgen("export", ckpt_path, "--out", str(Path(into, name)), "--overwrite", *options)


if __name__ == "__main__":
    auto_cli(main)
