"""Checkpoints: a file that rebuilds its model by itself, without Lightning and without running any code in it; and
exported models, which take its place."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn

from condgen import exported
from condgen.archive import Damaged, check_archive
from condgen.data.front_end import FrontEnd, front_end
from condgen.data.hyperparameters import FORMAT, build
from condgen.data.pictures import Framing
from condgen.models import ConditionalGenerator, ConditionalModel
from condgen.models.conditional import Model
from condgen.paths import require_file
from condgen.pretrained import CONFIG, WEIGHTS, find, is_export
from condgen.printable import printable
from condgen.trust import DATA_MODULES, TASKS, Named, check, check_paths, check_plain, imported, read_only, withheld

if TYPE_CHECKING:
    import pytorch_lightning as pl

PathLike = str | os.PathLike[str]
Weights = Literal["ema", "live"]


# What building a model of arguments that do not belong together can raise.
UNFIT = (RuntimeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError)


class NotFinite(ValueError):
    """A weight is NaN or infinite."""


class Stored(NamedTuple):
    """Where a task's checkpoints hold the model: `ema`, its running average, and `live`, its last weights.

    Attributes:
        model: class of the model.
        arguments: arguments of the task that are the model's, besides its network and its encoders.
        states: name of the state, and what the model's entries in it begin with, for each kind of weights.
    """

    model: type[ConditionalModel] | type[ConditionalGenerator]
    arguments: tuple[str, ...]
    states: dict[str, tuple[str, str]]


STORED = {
    # Lightning's averaging of weights puts the average in the place of the state, and the last weights beside it.
    "condgen.training.LikelihoodTask": Stored(
        ConditionalModel,
        ("conditioning", "condition_dropout", "adapted", "film_depth", "film_generator", "post_multiplier"),
        {"ema": ("state_dict", "model."), "live": ("current_model_state", "model.")},
    ),
    "condgen.training.AdversarialTask": Stored(
        ConditionalGenerator,
        ("conditioning", "film_depth", "film_generator", "post_multiplier"),
        {"ema": ("state_dict", "model."), "live": ("state_dict", "generator.")},
    ),
}

OPPONENT = "discriminator."  # what its entries in a state begin with; no exported model has them

# What arguments were, in effect, before they existed, where their default differs.
BEFORE = {"condgen.data.Speech": {"remove_dc": False, "mono": False}}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that `condgen fit` wrote, or a model that `condgen export` wrote, read once. All that it names has
    been checked; see `open`.

    Attributes:
        path: file that it was read from; of an exported model, the folder.
        content: tensors and plain data that the file holds. An exported model is read into the same form.
    """

    path: Path
    content: Mapping[str, Any] = field(repr=False)

    @classmethod
    def open(cls, path: PathLike, trust: Iterable[str] = ()) -> Checkpoint:
        """Read a checkpoint or an exported model, without running any code in it.

        Args:
            path: checkpoint, folder of an exported model, or name of one that comes with condgen.
            trust: modules, besides condgen, whose classes may be built from it; also found in the current folder.

        Raises:
            ValueError: the file is missing, broken, none of condgen's, or of another format; or it names classes that
                are neither condgen's nor trusted, or whose module is not found.
        """
        path = find(path)
        content = exported.read(path) if is_export(path) else _read(path)
        foreign = []
        try:
            _check_parts(content)
            for part, classes in (("hyper_parameters", TASKS), ("datamodule_hyper_parameters", DATA_MODULES)):
                foreign += check(content[part], classes, trust) if part in content else []
            check_paths(content.get("callbacks", {}))
            data = content.get("datamodule_hyper_parameters", {})
            exported.check_sizes(content["hyper_parameters"], data, content["state_dict"])
            for named in foreign:
                _import(named, trust)
        except ValueError as error:
            raise ValueError(f"{path} {printable(str(error))}") from None
        return cls(path, content)

    @property
    def is_export(self) -> bool:
        """The form of the file: a model that was exported, without what only training needs."""
        return "exported" in self.content

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hexadecimal; of an exported model, that of its weights and its config.json one
        behind the other."""
        digest = hashlib.sha256()
        for path in [self.path / WEIGHTS, self.path / CONFIG] if self.is_export else [self.path]:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    @property
    def task_path(self) -> str:
        """The class path of the task."""
        return self.content["hyper_parameters"]["_class_path"]

    @property
    def hyper_parameters(self) -> dict[str, Any]:
        """The arguments of the task, as plain data."""
        return _arguments(self.content["hyper_parameters"])

    @property
    def untrained(self) -> dict[str, list[str]]:
        """The classes that the training data had no examples of, by condition; empty where that is not known."""
        counts = self.content.get("class_examples")
        known = counts if isinstance(counts, Mapping) else {}
        return {name: [c for c, count in classes.items() if not count] for name, classes in known.items()}

    @property
    def data_path(self) -> str:
        """The class path of the data module that the model was trained with."""
        return self._data["_class_path"]

    @property
    def data_settings(self) -> dict[str, Any]:
        """The arguments of the data module that the model was trained with, as plain data; but where the file says to
        write, there stands what the class does by itself, and nothing is downloaded."""
        return {**BEFORE.get(self.data_path, {}), **read_only(self.data_path, _arguments(self._data))}

    @property
    def _data(self) -> Mapping[str, Any]:
        stored = self.content.get("datamodule_hyper_parameters")
        if not stored:
            raise ValueError(f"checkpoint {self.path} does not tell what it was trained on: train with a data "
                             "module (condgen.data.Images or Speech), or use it in Python: condgen.load")  # fmt: skip
        return stored

    def model(self, weights: Weights = "ema", device: str = "cpu") -> Model:
        """Rebuild the conditional model, in evaluation mode.

        Args:
            weights: running average (`ema`), or what the optimizer had last (`live`); without an average they are one.
            device: `cpu`, `cuda`, …, or `auto` for a GPU where there is one.

        Raises:
            ValueError: the checkpoint holds no model to draw from, does not fit, or holds a weight that is not finite;
                or there is no such device.
        """
        if weights not in get_args(Weights):
            raise ValueError(f"unknown weights '{weights}'; known: {', '.join(get_args(Weights))}")
        if self.is_export and weights != "ema":
            raise ValueError(f"{self.path} is an exported model, of which the running average alone is left: leave "
                             f"weights '{weights}' out")  # fmt: skip
        if self.task_path not in STORED:
            return _placed(self._model_of_own_task(weights).eval(), device)
        settings, stored = self.hyper_parameters, STORED[self.task_path]
        state, prefix = stored.states[weights]
        with self._fitting():
            network = build(nn.Module, settings["network"])
            encoders = build(dict[str, nn.Module], settings["conditions"] or {})
            how = {name: settings[name] for name in stored.arguments if name in settings}
            model = stored.model(network, encoders, **how)
            self._fill(model, state, prefix)
        return _placed(model.eval(), device)

    def _fill(self, model: Model, state: str, prefix: str) -> None:
        """Give a model the weights of a state whose names begin with a prefix."""
        entries: Mapping[str, Tensor] = self.content.get(state, self.content["state_dict"])
        own = {k.removeprefix(prefix): v for k, v in entries.items() if k.startswith(prefix)}
        odd = next((name for name, value in own.items() if not value.isfinite().all()), None)
        if odd is not None:
            raise NotFinite(f"the weight {odd} is not finite: the training diverged; take an earlier checkpoint")
        if self.is_export:
            exported.check_weights(model.state_dict(), own)
        model.load_state_dict(own)

    def state_for(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state as a task takes it. Of an exported generator, the average is the live one too, and there is
        no discriminator.

        Args:
            own: state that the task has.
        """
        state: dict[str, Tensor] = dict(self.content["state_dict"])
        average = {key: f"model.{key.removeprefix('generator.')}" for key in own if key.startswith("generator.")}
        return {**{key: state[found] for key, found in average.items() if found in state}, **state}

    def _model_of_own_task(self, weights: Weights) -> Model:
        """Take the model out of a task of one's own, which is one of condgen's and may have other arguments."""
        task = self.task()
        kinds = [f"condgen.training.{kind.__name__}" for kind in type(task).__mro__]
        stored = next((STORED[kind] for kind in kinds if kind in STORED), None)
        if stored is None:
            raise ValueError(f"{self.path} holds a {self.task_path}, which derives from no task of condgen.training")
        model = cast(Model, task.model)
        self._fill(model, *stored.states[weights])
        return model

    def task(self) -> pl.LightningModule:
        """Rebuild the Lightning module, on the CPU, in evaluation mode."""
        import pytorch_lightning as pl

        with self._fitting():
            spec = {"class_path": self.task_path, "init_args": self.hyper_parameters}
            task: pl.LightningModule = build(pl.LightningModule, spec)
            task.on_load_checkpoint(dict(self.content))
            own = task.state_dict()
            rest = {key: value for key, value in own.items() if key.startswith(OPPONENT)} if self.is_export else {}
            task.load_state_dict({**rest, **self.state_for(own)})
        return task.eval()

    def warn_of_places(self, changed: Iterable[str] = ()) -> None:
        """Warn where the file says to write, unless a change names another place: data are prepared anew elsewhere."""
        for name, (place, instead) in withheld(self.data_path, _arguments(self._data)).items():
            if not {name, name.rpartition(".")[2]} & {*changed}:
                warnings.warn(f"nothing is written where a checkpoint says, so {instead} takes the place of {place}; "
                              f"--data.{name} DIR says where", stacklevel=3)  # fmt: skip

    def data(self, changes: Mapping[str, Any] | None = None) -> pl.LightningDataModule:
        """Rebuild the data module that the model was trained with.

        Args:
            changes: other values for arguments of the data module, or else of its source: `{"root": "data"}`.
        """
        import pytorch_lightning as pl

        changes = dict(changes or {})
        self.warn_of_places({*changes, *changes.get("source", {})})
        spec = {"class_path": self.data_path, "init_args": changed(self.data_settings, changes)}
        data: pl.LightningDataModule = build(pl.LightningDataModule, spec)
        if type(data).__qualname__ in self.content:
            data.load_state_dict(self.content[type(data).__qualname__])
        return data

    @property
    def framing(self) -> Framing:
        """How pictures of the training data were brought to one size, and what showed where they were transparent."""
        source = self.data_settings["source"] if self.has_data else {}
        given = source.get("init_args") or {}
        return Framing(**{name: given[name] for name in Framing._fields if name in given})

    @property
    def has_data(self) -> bool:
        """The presence of a data module in the run; a plain trainer may be given loaders."""
        return bool(self.content.get("datamodule_hyper_parameters"))

    @property
    def trained_on(self) -> str:
        """The source of the data and the steps taken on them, in words."""
        source = (
            self.data_settings["source"]["class_path"].rpartition(".")[2] if self.has_data else "loaders of one's own"
        )
        return f"{source}, {self.content.get('global_step', 0):,} steps"

    def front_end(self) -> FrontEnd | None:
        """Rebuild what measures the local conditions of an audio model; `None` for a model of images."""
        network = self.hyper_parameters.get("network")
        arguments = (network.get("init_args") or {}) if isinstance(network, Mapping) else {}
        if not self.has_data and arguments.get("sample_rate") is None:
            return None  # images, of which nothing is measured
        if "sample_rate" not in self.data_settings:
            return None
        return replace(front_end(self.data_settings), usual=self.content["seconds"] if self.is_export else None)

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        try:
            # New weights, which a file's replace, are nobody's random numbers.
            with torch.random.fork_rng(devices=[]), exported.no_larger_than(self.content["state_dict"]):
                yield
        except NotFinite as error:
            raise ValueError(f"{self._words}: {error}") from None
        except UNFIT as error:
            raise ValueError(f"{self._words} does not fit this version of condgen: {printable(str(error))}") from None

    @property
    def _words(self) -> str:
        return f"{'exported model' if self.is_export else 'checkpoint'} {self.path}"


def changed(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change arguments of a data module; what it does not know is its source's, `source.root` or `root` alike."""
    own = {key: value for key, value in changes.items() if key in settings and key != "source"}
    of_source = changes.get("source", {})
    if not isinstance(of_source, Mapping):
        raise ValueError(f"source '{of_source}': the source stays the one of training; change its arguments, such as "
                         "--data.source.root NEW")  # fmt: skip
    rest = {key: value for key, value in changes.items() if key not in settings} | dict(of_source)
    rest = {key.removeprefix("source."): value for key, value in rest.items()}
    source = settings["source"]
    return {**settings, **own, "source": {**source, "init_args": {**source.get("init_args", {}), **rest}}}


def broken(path: Path) -> str | None:
    """Return what is wrong with a file as data, in words that follow its name; `None` if it can be read."""
    try:
        _loaded(path)
    except Exception as error:
        return _what_is_wrong(error)
    return None


def _loaded(path: Path) -> Any:
    check_archive(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other ways to pickle: an error says more
        return torch.load(path, map_location="cpu", weights_only=True)


def _read(path: Path) -> dict[str, Any]:
    require_file(path, f"a file that `condgen fit` wrote, or {exported.WHAT}", f"checkpoint {path}")
    try:
        content = _loaded(path)
    except Exception as error:  # a broken file can make the unpickler raise anything
        raise ValueError(f"checkpoint {path} {_what_is_wrong(error)}") from None
    stored = content.get("hyper_parameters") if isinstance(content, dict) else None
    found = content.get("format") if isinstance(content, dict) else None
    task = str(stored.get("_class_path", "")) if isinstance(stored, dict) else ""
    if not task or (found is None and not task.startswith("condgen.")):
        raise ValueError(f"{path} is not a checkpoint of a condgen model: train one with `condgen fit`")
    if not isinstance(found, int) or found != FORMAT:
        raise ValueError(
            f"{path} was written by another version of condgen (format {'none' if found is None else found}); this one "
            f"reads format {FORMAT}: train the model again, or use the version that wrote it"
        )
    return content


def _check_parts(content: Mapping[str, Any]) -> None:
    """Check that what stands in a checkpoint is of the kind that belongs there.

    Raises:
        ValueError: it is not; the message names it.
    """
    for part in ("hyper_parameters", "state_dict"):
        if not content.get(part) or not isinstance(content[part], Mapping):
            raise ValueError(f"has no {part}: train a model with `condgen fit`")
    for part in ("datamodule_hyper_parameters", "current_model_state", "callbacks", "class_examples"):
        if not isinstance(content.get(part, {}), Mapping):
            raise ValueError(f"holds a {type(content[part]).__name__} as {part}: nothing of condgen writes that")
    for part in ("state_dict", "current_model_state"):
        odd = next((k for k, v in content.get(part, {}).items()
                    if not isinstance(k, str) or not isinstance(v, Tensor)), None)  # fmt: skip
        if odd is not None:
            raise ValueError(f"holds no tensor as {odd!r} of {part}: nothing of condgen writes that")
        large = next((k for k, v in content.get(part, {}).items() if not _is_whole(v)), None)
        if large is not None:
            raise ValueError(f"holds fewer bytes for {large!r} of {part} than its shape says: nothing of condgen "
                             "writes that")  # fmt: skip
    for part in ("seed", "adversarial_seed"):
        if not isinstance(content.get(part), int | None):
            raise ValueError(f"holds a {type(content[part]).__name__} as {part}: nothing of condgen writes that")
    examples = content.get("class_examples", {})
    check_plain(examples)
    if not all(isinstance(counts, Mapping) for counts in examples.values()):
        raise ValueError("holds no counts of classes as class_examples: nothing of condgen writes that")
    source = content.get("datamodule_hyper_parameters", {}).get("source", {"class_path": ""})
    if not isinstance(source, Mapping) or not isinstance(source.get("init_args") or {}, Mapping):
        raise ValueError(f"names no source of data, but {source!r}: nothing of condgen writes that")


def _is_whole(tensor: Tensor) -> bool:
    """Tell a tensor all of whose numbers are in memory from one that repeats some, or is of another kind."""
    return tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta and (
        tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )  # fmt: skip


def _what_is_wrong(error: Exception) -> str:
    """Say why a file cannot be read. PyTorch's own words advise to switch the protection off."""
    code = re.search(r"GLOBAL (\S+)|Unsupported class (\S+)|unrecognized function (\S+)|create (\S+)", str(error))
    if isinstance(error, UnpicklingError) and code:
        return (f"is a pickle that would call {next(filter(None, code.groups()))} when it is read, and checkpoints of "
                "condgen hold data alone: nothing in it was run")  # fmt: skip
    if isinstance(error, PermissionError | MemoryError):
        return f"cannot be read: {error}"
    if isinstance(error, Damaged):
        return str(error)
    return "cannot be read; it may be truncated, or is no checkpoint at all"


def _import(named: Named, trust: Iterable[str]) -> None:
    """Import a trusted class, which may lie in the current folder: the path of an installed command leaves it out."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        imported(named, trust)
    except ImportError as error:
        raise ValueError(
            f"needs the module {named.module}, which is found neither in {os.getcwd()} nor among the installed ones "
            f"({error}): run the command in the module's folder, or set PYTHONPATH"
        ) from None


def _arguments(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stored.items() if not key.startswith("_")}


def _placed(model: Model, device: str) -> Model:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return model.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device '{device}' is not available: {str(error).splitlines()[0]}") from None
