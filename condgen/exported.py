"""Trained models to hand on: a folder that takes the place of a checkpoint, and holds what drawing and measuring need.

| file | |
| --- | --- |
| `model.safetensors` | weights by their names in the model: the running average, without what only training needs |
| `config.json` | number of the format, class paths and arguments of model and data, classes, figures: plain data |
| `README.md` | the card, for people |

Weights of 16 bits are float16. Beside bfloat16 it keeps three binary digits more: each weight is rounded by a 2048th
part of itself at the most, and not by a 256th. Its range, ±65,504, is thousands of times what weights need; one beyond
it is refused, and one below 6e-5 is rounded by 3e-8. Vectors (biases, norms, statistics) stay in 32 bits: they are few.
The model computes in 32 bits in either case.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.modules import module as registration

from condgen.paths import require_file
from condgen.pretrained import CONFIG, WEIGHTS

FORMAT = 1  # to be raised when what is in the folder changes
Bits = Literal["16-bit", "32-bit"]
LARGEST = 16_000_000  # bytes of a config.json that is read
SEAL = "sha256"  # entry of config.json; exports of earlier versions have none
FLOATS = (torch.float16, torch.bfloat16, torch.float32)
WHAT = "a folder that `condgen export` wrote"
# Bounds of what a model may be said to be where its weights do not tell: positions and whatever else is counted; and
# what is counted of a frame, such as mel bands.
MOST_NUMBER, MOST_OF_FRAMES, MOST_SECONDS = 2**26, 2**14, 3600
MOST_UNWEIGHED = 2**12  # entries of a list, such as names, that need no weight of as many rows
MOST_WEIGHTLESS = 100  # parts of a model that may have no weights


def write(folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor], bits: Bits) -> None:
    """Write the configuration and the weights of a model.

    Args:
        folder: folder that is there.
        config: configuration; see `configuration`.
        state: weights by their names in the model.
        bits: precision of matrices.

    Raises:
        ValueError: a weight is not finite, or too large for it; the message names it.
    """
    kept = {name: _kept(name, value, bits) for name, value in state.items()}
    # By itself, safetensors lets none but the user read the file.
    (folder / WEIGHTS).write_bytes(save(kept, metadata={"format": "pt"}))
    sealed = {**config, SEAL: _seal(config, folder / WEIGHTS)}
    (folder / CONFIG).write_text(json.dumps(sealed, indent=2) + "\n", encoding="utf-8")


def _seal(config: Mapping[str, Any], weights: Path) -> str:
    """Return the SHA-256 of a configuration, but for this number itself, and of the file of weights behind it."""
    told = {name: part for name, part in config.items() if name != SEAL}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    with open(weights, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _kept(name: str, value: Tensor, bits: Bits) -> Tensor:
    """Return a weight as the file holds it."""
    own = value.detach().cpu().contiguous().clone()
    if not own.is_floating_point():
        return own
    if not own.isfinite().all():
        raise ValueError(f"the weight {name} is not finite: the training diverged; export an earlier checkpoint")
    if bits == "32-bit" or own.ndim < 2:
        return own.float()
    if not (half := own.half()).isfinite().all():
        raise ValueError(f"the weight {name} reaches {float(own.abs().max()):,.0f}, and 16 bits hold 65,504: export "
                         "with --weights 32-bit")  # fmt: skip
    return half


def configuration(
    content: Mapping[str, Any], data: Mapping[str, Any] | None, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what config.json says, of which `read` makes a checkpoint's content again.

    Args:
        content: plain data of a checkpoint; see `condgen.checkpoint.Checkpoint`.
        data: class path and arguments of the data module, as in a checkpoint; `None` where there was none.
        facts: facts about the export, such as the checkpoint that it was made from; they come first.
    """
    return {
        "format": FORMAT, **facts, "task": _by_class(content["hyper_parameters"]),
        "data": None if data is None else _by_class(data), "class_examples": content.get("class_examples", {}),
    }  # fmt: skip


def _by_class(settings: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {name: placeless(value) for name, value in settings.items() if not name.startswith("_")}
    return {"class_path": settings["_class_path"], "init_args": arguments}


def placeless(value: Any) -> Any:
    """Return plain data in which a path that leads out of the current folder is its last part alone: where things lie
    on the machine of the training is nobody's concern. Names in lists, such as those of classes, stay."""
    if isinstance(value, Mapping):
        return {key: placeless(part) for key, part in value.items()}
    if not isinstance(value, str):
        return value
    path = PureWindowsPath(value)  # it knows both kinds of separators
    leads_out = bool(path.root) or ".." in path.parts or value.startswith("~")
    return path.name.lstrip("~") or "data" if leads_out else value


def read(folder: Path) -> dict[str, Any]:
    """Read an exported model into the form of a checkpoint's content, with the averaged weights alone.

    Args:
        folder: folder that `condgen export` wrote.

    Raises:
        ValueError: a file is missing, broken, or of another format; the message names it.
    """
    config = _read_config(folder / CONFIG)
    trained = config["training"]
    content = {
        "format": config["format"], "exported": config.get("weights"), "hyper_parameters": _settings(config["task"]),
        "class_examples": config["class_examples"], "seconds": config["seconds"],
        "global_step": trained.get("steps", 0),
        "loops": {"fit_loop": {"epoch_progress": {"current": {"processed": trained.get("epochs", 0)}}}},
        "callbacks": {name: {"monitor": name, "current_score": torch.tensor(float(score))}
                      for name, score in trained.get("scores", {}).items()},
        "state_dict": {f"model.{name}": value for name, value in _read_weights(folder / WEIGHTS).items()},
    }  # fmt: skip
    if SEAL in config and config[SEAL] != _seal(config, folder / WEIGHTS):
        raise ValueError(f"{folder} was altered or damaged since it was exported: {CONFIG} or {WEIGHTS} is not what "
                         "was written; export the model again, or take another copy")  # fmt: skip
    return content if config["data"] is None else {**content, "datamodule_hyper_parameters": _settings(config["data"])}


def _settings(part: Mapping[str, Any]) -> dict[str, Any]:
    return {**part["init_args"], "_class_path": part["class_path"]}


def _read_config(path: Path) -> dict[str, Any]:
    """Read config.json, whose parts are of the kinds that they should be."""
    require_file(path, WHAT)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has more than {LARGEST:,} bytes: nothing of condgen writes that")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ValueError(f"{path} cannot be read: it is no JSON; give {WHAT}") from None
    if not isinstance(config, dict) or "task" not in config:
        raise ValueError(f"{path} describes no model of condgen; give {WHAT}")
    found = config.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found != FORMAT:
        raise ValueError(f"{path} was written by another version of condgen (format "
                         f"{'none' if found is None else found}); this one reads format {FORMAT}: export the model "
                         "again, or use the version that wrote it")  # fmt: skip
    for name, odd in (
        *((name, not _names_class(config.get(name))) for name in ("task", "data") if config.get(name) is not None),
        ("task", config["task"] is None), ("class_examples", not isinstance(config.get("class_examples"), dict)),
        ("training", not _is_training(config.get("training"))), ("seconds", not _is_length(config.get("seconds"))),
    ):  # fmt: skip
        if odd:
            raise ValueError(f"{path} says of {name} what nothing of condgen writes")
    return {"data": None, "seconds": None, **config}


def _names_class(part: Any) -> bool:
    known = isinstance(part, dict) and isinstance(part.get("init_args"), dict)
    return known and isinstance(part.get("class_path"), str)


def _is_length(part: Any) -> bool:
    return part is None or (isinstance(part, int | float) and not isinstance(part, bool) and 0 < part <= MOST_SECONDS)


def _is_training(part: Any) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("scores", {}), dict):
        return False
    counts = [part.get(name, 0) for name in ("epochs", "steps")]
    return all(isinstance(count, int) for count in counts) and all(
        isinstance(score, int | float) for score in part.get("scores", {}).values()
    )


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights, those of 16 bits as what they are in 32."""
    require_file(path, WHAT)
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read; it may be truncated, or is no safetensors file: {error}") from None
    for name, value in found.items():
        if (value.dtype.is_floating_point and value.dtype not in FLOATS) or value.is_complex():
            raise ValueError(f"{path} holds {_dtype(value)} as {name}: weights are of 16 or 32 bits")
    # Copied, since the file stays mapped otherwise, and whatever happens to it happens to the model.
    return {n: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True) for n, v in found.items()}


def check_weights(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Check that weights are those of a model, by name, shape and kind of number.

    Args:
        wanted: weights of the model that config.json describes.
        found: weights that model.safetensors holds.

    Raises:
        ValueError: they are not; the message names the first that is not.
    """
    missing, foreign = [n for n in wanted if n not in found], [n for n in found if n not in wanted]
    for names, words in ((missing, "lacks the weight {}, which the model of {} has"),
                         (foreign, "holds the weight {}, which the model of {} has not")):  # fmt: skip
        if names:
            more = f" (and {len(names) - 1:,} more)" if len(names) > 1 else ""
            raise ValueError(f"{WEIGHTS} {words.format(names[0], CONFIG)}{more}")
    for name, value in wanted.items():
        if found[name].shape != value.shape:
            raise ValueError(f"{WEIGHTS} holds {name} as {list(found[name].shape)}, and the model of {CONFIG} takes "
                             f"{list(value.shape)}")  # fmt: skip
        if found[name].is_floating_point() != value.is_floating_point():
            raise ValueError(f"{WEIGHTS} holds {name} as {_dtype(found[name])}, and the model of {CONFIG} takes "
                             f"{_dtype(value)}")  # fmt: skip


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def check_sizes(task: Mapping[str, Any], data: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Check, before anything is built, the sizes that a file gives condgen's own parts of a model and of its front end.

    Args:
        task: arguments of the task.
        data: arguments of the data module.
        weights: weights that the file holds.

    Raises:
        ValueError: a number is out of all proportion to them; the message holds it.
    """
    model = [task.get("network"), task.get("discriminator"), *_values(task.get("conditions"))]
    measured = _values(data.get("features"))
    longest = max((size for weight in weights.values() for size in weight.shape), default=0)
    if len(model) > len(weights) + MOST_WEIGHTLESS:
        raise ValueError(
            f"names {len(model):,} parts of a model, more than {len(weights):,} tensors of weights are for"
        )
    for most, part in (*((MOST_NUMBER, part) for part in model), *((MOST_OF_FRAMES, part) for part in measured)):
        given = part.get("init_args") if isinstance(part, Mapping) and _is_ours(part.get("class_path")) else None
        given = given if isinstance(given, Mapping) else {}
        for name, value in given.items():
            numbers = [n for n in (value if isinstance(value, list | tuple) else [value]) if isinstance(n, int)]
            found = prod(map(abs, numbers)) if name == "shape" else max(map(abs, numbers), default=0)
            # Where dilations are given, they say how many layers there are.
            layers = {"layers": 0 if given.get("dilations") else found, "dilations": len(numbers)}.get(name, 0)
            if found > most or layers > len(weights):
                raise ValueError(f"gives {name} as {reprlib.repr(value)}, more than {len(weights):,} tensors of "
                                 "weights are for")  # fmt: skip
            if isinstance(value, list | tuple) and len(value) > max(longest, MOST_UNWEIGHED):
                raise ValueError(f"lists {len(value):,} {name}, and no weight has more than {longest:,} rows")


def _values(part: Any) -> list[Any]:
    return list(part.values()) if isinstance(part, Mapping) else []


def _is_ours(class_path: Any) -> bool:
    return isinstance(class_path, str) and class_path.startswith("condgen.")


@contextmanager
def no_larger_than(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Refuse to build, inside the block and in this thread, a model that is much larger than weights that are there.

    A weight is seen as soon as it has a size, before memory is filled for it.

    Raises:
        ValueError: the model is larger; the message says so.
    """
    # A weight may come up several times, as one that is normalised does; and tasks have several networks.
    most = 4 * sum(value.numel() for value in weights.values()) + 2**20
    thread, made, count = threading.get_ident(), 0, 0

    def seen(_: nn.Module, name: str, weight: Tensor | None) -> None:
        nonlocal made, count
        if weight is None or threading.get_ident() != thread:
            return
        made, count = made + weight.numel(), count + 1
        if made > most or count > 8 * len(weights) + 1000:
            raise ValueError("a much larger model is described than there are weights of")

    hooks = [registration.register_module_parameter_registration_hook(seen),
             registration.register_module_buffer_registration_hook(seen)]  # fmt: skip
    try:
        yield
    except RuntimeError as error:  # a weight so large that it is refused even a size
        if "allocate memory" not in str(error):
            raise
        raise ValueError("a much larger model is described than there are weights of") from None
    finally:
        for hook in hooks:
            hook.remove()
