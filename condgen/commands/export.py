"""`condgen export`: a trained model to hand on, with its card.

Only what says how the command is called stands here: its help shall not wait for PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from condgen.commands.output import output_folder
from condgen.commands.parser import parse


def export(
    ckpt_path: str,
    out: str,
    weights: Literal["16-bit", "32-bit"] = "16-bit",
    seconds: float | None = None,
    report: str | None = None,
    trained_by: str | None = None,
    trained_on: str | None = None,
    licence: str | None = None,
    data_licence: str | None = None,
    trust: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write a trained model to hand on: model.safetensors, config.json and a card, README.md.

    It holds what drawing and measuring use, the averaged weights, and no discriminator and no optimizer's state. Every
    command takes the folder in the place of a checkpoint, and `condgen.load` reads it.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote.
        out: folder for the model, after which it is called. It appears when all is done.
        weights: precision of matrices: `16-bit`, each rounded by a 2048th part of itself at the most (float16), or
            `32-bit`, as they are. Vectors stay in 32 bits, and the model computes in 32 bits in either case.
        seconds: length of the audio that is drawn where nothing says how long it is, for models that ask for it.
        report: report.json of `condgen evaluate` on this checkpoint, whose figures the card shows.
        trained_by: command that trained it, for the card.
        trained_on: machine that trained it, and its time, for the card.
        licence: licence of the weights, for the card.
        data_licence: licence of the training data, for the card.
        trust: modules besides condgen whose classes the checkpoint may name.
        overwrite: permission to replace an existing export.
    """
    from condgen import exported
    from condgen.checkpoint import Checkpoint
    from condgen.commands.export_card import Said, read_report
    from condgen.commands.exporting import write_model

    if seconds is not None and not 0 < seconds <= exported.MOST_SECONDS:
        raise ValueError(f"seconds {seconds} is not between 0 and {exported.MOST_SECONDS:,}")
    with output_folder(out, overwrite) as folder:
        checkpoint = Checkpoint.open(ckpt_path, trust)
        found = None if report is None else read_report(report, checkpoint)
        said = Said(trained_by, trained_on, licence, data_licence)
        write_model(folder, Path(out).resolve().name, checkpoint, weights, seconds, found, said)
        size = sum(path.stat().st_size for path in folder.iterdir())
    print(
        f"{out}: model.safetensors, config.json, README.md, {size / 1e6:.2f} MB; `condgen show {out}` says what it is"
    )


def run(argv: list[str]) -> None:
    """Run `condgen export`."""
    export(**parse(export, argv))
