"""`condgen data`: what a model will learn from, before one is trained."""

from __future__ import annotations

import json
import sys
import warnings
from argparse import SUPPRESS
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from jsonargparse import ActionConfigFile, Namespace
from pytorch_lightning.cli import LightningArgumentParser

from condgen.commands.completion import complete
from condgen.commands.configurations import in_full
from condgen.commands.contents import ReadBySplit, cautions, contents, markdown, read_all
from condgen.commands.examples import write_examples
from condgen.commands.moved import saying_where
from condgen.commands.output import output_folder
from condgen.commands.parser import OneLineErrors
from condgen.commands.quiet import quiet
from condgen.conditioning.contract import require
from condgen.data import Images, Speech  # noqa: F401  (classes that are called by their name alone must be imported)
from condgen.data.hyperparameters import innermost
from condgen.data.text import read_text
from condgen.paths import require_file
from condgen.printable import printable
from condgen.trust import MOST_PARTS, all_parts

OF_TRAINING = ("model", "trainer", "steps", "seed_everything", "weights")  # options of `fit`, which are passed over


class Parser(OneLineErrors, LightningArgumentParser):
    """Lightning's parser of configurations."""


def parser() -> Parser:
    """Build the parser: of a configuration it takes the data alone."""
    found = Parser(
        prog="condgen data",
        description="Show what will be learnt from: examples of each class and split, what was passed over, and what "
        "will harm training. All files are read, and recordings prepared as `condgen fit` does, once for both.",
    )
    found.add_argument(
        "-c", "--config", action=ActionConfigFile, help="configuration, of which the data are taken alone"
    )
    found.add_lightning_class_args(pl.LightningDataModule, "data", subclass_mode=True, required=True)
    found.add_argument("--out", type=str | None, default=None, help="folder for the report and for examples to look at "
                       "and to listen to; it appears when all is done")  # fmt: skip
    found.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    for key in OF_TRAINING:
        found.add_argument(f"--{key}", type=Any, default=None, help=SUPPRESS)
    return found


def of_data(argv: list[str]) -> list[str]:
    """Return a command line with the data alone of every configuration, and with all that it names in full.

    Raises:
        ValueError: there is no such file, or it holds no configuration of data.
    """
    words = [word for option in in_full(argv)
             for word in (option.split("=", 1) if option.startswith(("-c=", "--config=")) else [option])]  # fmt: skip
    result: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if before in ("-c", "--config"):
            result.append(json.dumps({"data": _data_of(word)}))
        else:
            result.append(word)
    return result


def _data_of(path: str) -> object:
    text = read_text(require_file(path, "a configuration, such as FILE.yaml"))
    try:
        found = yaml.safe_load(text)
        is_endless = any(count > MOST_PARTS for count, _ in enumerate(all_parts(found)))
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path} is malformed YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError(f"{path} is malformed YAML: brackets are nested too deep") from None
    if is_endless:
        raise ValueError(f"{path} holds more than {MOST_PARTS:,} parts: write out what its anchors repeat")
    if not isinstance(found, dict) or not isinstance(found.get("data"), dict):
        raise ValueError(f"{path} says nothing about data; give a configuration with a part `data`")
    return found["data"]


def show(options: Namespace, found: Parser) -> None:
    """Print the report, and write it with examples if a folder is given."""
    with output_folder(options.out, options.overwrite) if options.out else nullcontext() as folder:
        with noted() as notes:
            data = build(options, found)
            report = contents(data, read_all(data))
        report |= {"notes": notes, "cautions": cautions(report)}
        text = markdown(report)
        if folder is not None:
            (folder / "report.md").write_text(text, encoding="utf-8")
            (folder / "report.json").write_text(json.dumps(report, indent=1, default=str), encoding="utf-8")
            files = write_examples(folder, data)
    print("\n".join(map(printable, text.split("\n"))), end="")
    if options.out:
        print(f"\nreport.md, report.json, {files} in {options.out}")


def build(options: Namespace, found: Parser) -> ReadBySplit:
    """Build the data module alone; see `complete`."""
    source = options.data.get("init_args", Namespace()).get("source")
    with saying_where(source.as_dict() if isinstance(source, Namespace) else None):
        built = complete(Namespace(), options.data, None).built
        if built is not None:
            found.add_instantiator(*built)
        wanted = Namespace(data=options.data)
        return require(found.instantiate_classes(wanted).data, ReadBySplit)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Give a list that holds, at the end of the block, what warnings said in it, each once."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        try:
            yield notes
        finally:
            notes += dict.fromkeys(str(warning.message) for warning in said)


def run(argv: list[str]) -> None:
    """Run `condgen data`. A configuration is a program: its classes may stand in the current folder."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    found = parser()
    try:
        with quiet():
            show(found.parse_args(of_data(argv[1:])), found)
    except ValueError as error:
        raise ValueError(innermost(str(error))) from error
