"""Small trained models that come with condgen: `condgen sample digits --condition.digit 7 --out sevens`, and in Python
`condgen.load("digits")`. `condgen pretrained` lists them.

Each is a folder that `condgen export` wrote, named after the model: config.json, model.safetensors, and README.md, its
card, with the command that trained it. To add one, or to train one anew: `python recipes/pretrained.py NAME`.
"""

from __future__ import annotations

import os
import warnings
from difflib import get_close_matches
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"  # in the folder of an exported model


def names() -> list[str]:
    """List the names of the models that come with condgen."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CONFIG}"))


def is_export(path: str | os.PathLike[str]) -> bool:
    """Tell the folder of an exported model, be it whole or not, from others."""
    return any(os.path.isfile(os.path.join(path, name)) for name in (CONFIG, WEIGHTS))


def find(model: str | os.PathLike[str]) -> Path:
    """Return the path of a trained model: of one that comes with condgen where it is called by its name, or else as it
    was given.

    Raises:
        ValueError: it is a name, and neither here nor among these; the message lists them.
    """
    name, known = os.fspath(model), names()
    if name in known:
        if is_export(name) or os.path.isfile(name):
            warnings.warn(f"{name} is the model that comes with condgen; ./{name} is the one here", stacklevel=3)
        return FOLDER / name
    if name.isidentifier() and not os.path.exists(name):
        near = get_close_matches(name, known, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"the model {name} does not exist, neither here nor among those that come with condgen: "
                         f"{meant}they are {', '.join(known)}")  # fmt: skip
    return Path(name)


def name_of(path: Path) -> str:
    """Return what a model is called on a command line: its name if it comes with condgen, or else its path."""
    return path.name if path.parent == FOLDER else str(path)
