"""`condgen pretrained`: the trained models that come with condgen, a line each. It reads their cards alone."""

from __future__ import annotations

from condgen.pretrained import CARD, FOLDER, names


def summary(card: str) -> str:
    """Return what a card says first, below its title."""
    return next(line for line in card.splitlines() if line and not line.startswith("#"))


def run(argv: list[str]) -> None:
    """Run `condgen pretrained`."""
    if {"-h", "--help"} & {*argv[1:]}:
        print("usage: condgen pretrained\n\nList the trained models that come with condgen, for `condgen sample NAME`.")
        return
    if argv[1:]:
        raise ValueError(f"condgen pretrained takes no {argv[1]}; it lists the models that come with condgen")
    for name in names():
        print(f"{name:22} {summary((FOLDER / name / CARD).read_text(encoding='utf-8'))}")
