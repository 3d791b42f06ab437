"""Small trained models that come with condgen: `condgen sample digits --condition.digit 7 --out sevens`, and in Python
`condgen.load("digits")`. `condgen pretrained` lists them.

Each is a folder that `condgen export` wrote, named after the model: config.json, model.safetensors, and README.md, its
card, with the command that trained it. To add one, or to train one anew: `python recipes/pretrained.py NAME`. Others
are on the Hugging Face hub: `hf://user/model`.
"""

from __future__ import annotations

import os
import warnings
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"  # in the folder of an exported model
HUB = "hf://"  # what the names of models on the Hugging Face hub begin with


def names() -> list[str]:
    """List the names of the models that come with condgen."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CONFIG}"))


def is_export(path: str | os.PathLike[str]) -> bool:
    """Tell the folder of an exported model, be it whole or not, from others."""
    return any(os.path.isfile(os.path.join(path, name)) for name in (CONFIG, WEIGHTS))


def find(model: str | os.PathLike[str]) -> Path:
    """Return the path of a trained model: of one that comes with condgen where it is called by its name; of one on the
    hub, `hf://user/model`, after it has been fetched; or else as it was given.

    Raises:
        ValueError: it is a name, and neither here nor among these; the message lists them. Or the hub does not give it.
    """
    name, known = os.fspath(model), names()
    if name.startswith(HUB):
        require_hub(name)
        from condgen.pretrained.hub import fetch

        return fetch(name)
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


def require_hub(model: str) -> None:
    """Check that the library for the Hugging Face hub is there.

    Args:
        model: name of the model that needs it, for the message.

    Raises:
        ValueError: it is not; the message says what to install.
    """
    if find_spec("huggingface_hub") is None:
        raise ValueError(f"{model} is on the Hugging Face hub, for which huggingface_hub is missing: "
                         "pip install 'condgen[hub]'")  # fmt: skip
