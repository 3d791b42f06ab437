"""`condgen fit | validate | test`: Lightning's command line over condgen's tasks and data."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities.exceptions import MisconfigurationException

import condgen.data
import condgen.training  # noqa: F401  (classes that a configuration or a checkpoint names must be imported)
from condgen.checkpoint import read_checkpoint
from condgen.commands.completion import completed_source
from condgen.commands.parser import OneLineParser, innermost


class SaveConfig(SaveConfigCallback):
    """Writes config.yaml beside a run's logs; nothing where there are none, lest it land in the current folder."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.logger is not None:
            super().setup(trainer, pl_module, stage)


class CondgenCLI(LightningCLI):
    """Lightning's command line, with what it leaves unsaid said: which hyper-parameters win, and what `last` found."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {name: LightningCLI.subcommands()[name] for name in ("fit", "validate", "test")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--weights", type=str | None, default=None, help="start from a checkpoint's weights, with "
                            "the hyper-parameters given here and a new optimizer")  # fmt: skip

    def _parse_ckpt_path(self) -> None:
        config: Any = self.config.get(self.config.get("subcommand"))
        path = config and config.get("ckpt_path")
        if not path:
            return
        if path == "last":
            path = config.ckpt_path = str(find_last(config.trainer))
        stored = dict(read_checkpoint(path)["hyper_parameters"])
        given = config.model.as_dict() if config.get("model") else {}
        _same_task(path, stored, given.get("class_path"))
        for key, theirs in _flatten(stored):
            ours = dict(_flatten(given.get("init_args", {}))).get(key)
            if ours is not None and ours != theirs:
                print(f"condgen: model.{key}: the checkpoint's {theirs} wins over {ours}; to train on with other "
                      f"values, start a new run with --weights {path}", file=sys.stderr)  # fmt: skip
        super()._parse_ckpt_path()

    def before_instantiate_classes(self) -> None:
        """Complete the configuration from its data; the source that was built for that is used again."""
        config = self.config.get(self.config.get("subcommand"), self.config)
        built = completed_source(config.model, config.data) if config.get("data") and config.get("model") else None
        if built is not None:
            self.parser.add_instantiator(*built)

    def after_instantiate_classes(self) -> None:
        config = self.config.get(self.config.get("subcommand"), self.config)
        if config.get("weights"):
            checkpoint = read_checkpoint(config.weights)
            _same_task(config.weights, checkpoint["hyper_parameters"], config.model.class_path)
            try:
                self.model.load_state_dict(checkpoint["state_dict"])
            except RuntimeError as error:
                mismatch = str(error).splitlines()[1].strip()
                raise ValueError(f"{config.weights} does not fit this model: {mismatch} …") from None


def _same_task(path: str, stored: Mapping[str, Any], class_path: str | None) -> None:
    """Refuse a checkpoint of another task.

    Raises:
        ValueError: the tasks differ; the message holds both.
    """
    theirs = str(stored["_class_path"]).split(".")[-1]
    ours = (class_path or theirs).split(".")[-1]
    if ours != theirs:
        network = str(stored.get("network", {}).get("class_path", "")).split(".")[-1]
        raise ValueError(f"{path} holds a {theirs} ({network}), and the configuration trains a {ours}: they do not fit")


def find_last(trainer: Namespace) -> Path:
    """Return the newest `last.ckpt` below the folder that a trainer's logger writes to.

    Raises:
        ValueError: there is none.
    """
    logger = trainer.get("logger")
    places = logger.get("init_args", {}) if isinstance(logger, Namespace) else {}
    root = Path(places.get("save_dir") or trainer.get("default_root_dir") or ".", places.get("name") or "")
    found = sorted(root.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(f"--ckpt_path last: there is no last.ckpt below {root}; leave it out to start a new run")
    print(f"condgen: going on from {found[-1]}", file=sys.stderr)
    return found[-1]


def from_checkpoint(argv: list[str]) -> list[str]:
    """Where validate or test is given a checkpoint and no configuration, take model and data from the checkpoint."""
    command, *options = argv
    names, _, values = zip(*(option.partition("=") for option in options), strict=True) if options else ((), (), ())
    own = {"-c", "--config", "--model", "--data", "-h", "--help"} & set(names)
    if command == "fit" or own or "--ckpt_path" not in names:
        return argv
    place = names.index("--ckpt_path")
    checkpoint = read_checkpoint(values[place] or "".join(options[place + 1 : place + 2]))
    parts = []
    for name, key in (("--model", "hyper_parameters"), ("--data", "datamodule_hyper_parameters")):
        stored = {k: v for k, v in checkpoint[key].items() if not k.startswith("_")}
        parts += [name, json.dumps({"class_path": checkpoint[key]["_class_path"], "init_args": stored})]
    return [command, *parts, "--trainer.logger", "false", *options]


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif not key.startswith("_"):
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def run(argv: list[str]) -> None:
    """Run fit, validate or test. A configuration is a program: its classes may stand in the current folder."""
    quiet()
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        cli(from_checkpoint(argv))
    except (MisconfigurationException, ValueError) as error:
        message = innermost(str(error))
        if message.startswith("Problems parsing config"):
            message = f"{' '.join(a for a in argv if a.endswith(('.yaml', '.yml', '.json')))}: {message}"
        if "No module named" in message:
            message += f"; it was looked for in the current folder, {folder}, and among the installed packages"
        raise ValueError(message) from error


def quiet() -> None:
    """Leave out remarks of Lightning that no user of condgen can act on."""
    for remark in (
        "does not have many workers",
        "LeafSpec",
        "in eval mode at the start of training",
        "pre-optimization state",
        "LightningCLI's args parameter",
        "dirpath has changed",
        "The WeightAveraging state cannot be restored",
        "callbacks used to create the checkpoint",
        "smaller than the logging interval",
    ):
        warnings.filterwarnings("ignore", f"(?s).*{remark}")
    unwanted = ("Tip", "will override existing callbacks")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: not any(remark in record.getMessage() for remark in unwanted)
    )


def run_name(argv: list[str]) -> str:
    """Name a run after its configuration's file, the last one where there are several."""
    words = [word for option in argv for word in option.split("=", 1)]
    files = [value for name, value in pairwise(words) if name in ("-c", "--config")]
    return Path(files[-1]).stem if files else "run"


def logging_of(name: str) -> dict[str, Any]:
    """Return the trainer's defaults for a run: its log goes to runs/NAME/version_N, and checkpoints beside it."""
    logger = {"class_path": "pytorch_lightning.loggers.CSVLogger", "init_args": {"save_dir": "runs", "name": name}}
    return {"default_root_dir": f"runs/{name}", "logger": logger}


def cli(argv: list[str], run: bool = True) -> CondgenCLI:
    """Build the command line; with `run=False`, only the classes that a configuration names."""
    return CondgenCLI(
        pl.LightningModule,
        pl.LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        trainer_defaults=logging_of(run_name(argv)),
        save_config_callback=SaveConfig,
        save_config_kwargs={"overwrite": True},
        parser_class=OneLineParser,
        args=argv,
        run=run,
    )
