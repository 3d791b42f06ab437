"""`condgen fit | validate | test`: Lightning's command line over condgen's tasks and data."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException

import condgen.data
import condgen.training  # noqa: F401  (classes that a configuration or a checkpoint names must be imported)
from condgen.checkpoint import read_checkpoint


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
            path = config.ckpt_path = str(find_last(Path(config.trainer.default_root_dir or ".")))
        stored = dict(read_checkpoint(path)["hyper_parameters"])
        given = config.model.as_dict() if config.get("model") else {}
        for key, theirs in _flatten(stored):
            ours = dict(_flatten(given.get("init_args", {}))).get(key)
            if ours is not None and ours != theirs:
                print(f"condgen: model.{key}: the checkpoint's {theirs} wins over {ours}; to train on with other "
                      f"values, start a new run with --weights {path}", file=sys.stderr)  # fmt: skip
        super()._parse_ckpt_path()

    def before_instantiate_classes(self) -> None:
        """Take class names that the configuration leaves out from the data, so that they travel in the checkpoint."""
        config = self.config.get(self.config.get("subcommand"), self.config)
        if not config.get("data") or not config.get("model"):
            return
        parser = ArgumentParser()
        parser.add_subclass_arguments(pl.LightningDataModule, "data")
        data = parser.instantiate(Namespace(data=config.data)).data
        for name, encoder in (config.model.init_args.get("conditions") or {}).items():
            open_names = encoder.class_path.endswith("ClassEmbedding") and encoder.init_args.get("names") is None
            if open_names and encoder.init_args.get("num_classes") is None and name in data.names:
                encoder.init_args.names = data.names[name]

    def after_instantiate_classes(self) -> None:
        config = self.config.get(self.config.get("subcommand"), self.config)
        if config.get("weights"):
            try:
                self.model.load_state_dict(read_checkpoint(config.weights)["state_dict"])
            except RuntimeError as error:
                raise ValueError(f"{config.weights} does not fit this model: {error}") from None


def find_last(root: Path) -> Path:
    """Return the newest `last.ckpt` below a run's folder.

    Raises:
        ValueError: there is none.
    """
    found = sorted(root.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(f"--ckpt_path last: there is no last.ckpt below {root}; leave it out to start a new run")
    print(f"condgen: going on from {found[-1]}", file=sys.stderr)
    return found[-1]


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif not key.startswith("_"):
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def run(argv: list[str]) -> None:
    """Run fit, validate or test."""
    quiet()
    try:
        cli(argv)
    except (MisconfigurationException, ValueError) as error:
        raise ValueError(innermost(str(error))) from error


def quiet() -> None:
    """Leave out remarks of Lightning that no user of condgen can act on."""
    for remark in ("does not have many workers", "LeafSpec", "LightningCLI's args parameter", "dirpath has changed"):
        warnings.filterwarnings("ignore", f".*{remark}")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(lambda r: "Tip" not in r.getMessage())


def innermost(message: str) -> str:
    """Pick the cause out of jsonargparse's tree of types that a value could have had."""
    if "Does not validate against any of the Union subtypes" not in message:
        return message
    items = [line for line in message.splitlines() if line.lstrip().startswith("- ")]
    causes = [line for line in items if not line.lstrip().startswith(("- Does not validate", "- Expected a <class"))]
    deepest = max(causes, key=lambda line: len(line) - len(line.lstrip()), default=message)
    return deepest.strip().removeprefix("- ")


def cli(argv: list[str], run: bool = True) -> CondgenCLI:
    """Build the command line; with `run=False`, only the classes that a configuration names."""
    return CondgenCLI(
        pl.LightningModule,
        pl.LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        args=argv,
        run=run,
    )
