"""`condgen fit | validate | test`: Lightning's command line over condgen's tasks and data."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from pydoc import locate
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities import rank_zero_info
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from condgen.checkpoint import Checkpoint
from condgen.commands.completion import complete
from condgen.commands.configurations import configurations, in_full
from condgen.commands.ending import no_empty_run, process_as_it_was, stopped_by_hand, telling_what_is_kept
from condgen.commands.going_on import (
    Place,
    default_place,
    find_last,
    from_checkpoint,
    from_here,
    logged,
    own_run,
    place_of,
    precision_of,
    refuse_export,
    refuse_finished,
)
from condgen.commands.moved import saying_where
from condgen.commands.one_run import keep_figures, stay_in_its_folder
from condgen.commands.parser import TRUST, OneLineErrors
from condgen.commands.quiet import quiet
from condgen.commands.weights import flattened, start_from
from condgen.data import Images, Speech  # noqa: F401
from condgen.data.hyperparameters import innermost
from condgen.training import LikelihoodTask
from condgen.training.pace import WholeEpochs
from condgen.training.precision import check_precision, default_precision, device_of, require_fast


class Parser(OneLineErrors, LightningArgumentParser):
    """Lightning's parser of configurations."""


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

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse what is given, and the same with defaults; it need not be whole before the data have completed it."""
        self.words = [str(word) for word in args or ()]
        self.given = parser.parse_args(args, defaults=False, _skip_validation=True)
        self.config = parser.parse_args(args, _skip_validation=True)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--weights", type=str | None, default=None, help="start from a checkpoint's weights, with "
                            "the hyper-parameters given here and a new optimizer")  # fmt: skip
        parser.add_argument("--steps", type=PositiveInt | None, default=None, help="steps of training, rounded up to "
                            "whole epochs, where trainer.max_epochs and max_steps are left out")  # fmt: skip
        parser.add_argument("--trust", nargs="+", default=[], help=TRUST)

    def _parse_ckpt_path(self) -> None:
        config: Any = self.config.get(self.config.get("subcommand"))
        path = config and config.get("ckpt_path")
        if not path:
            return
        if path == "last":
            path = config.ckpt_path = str(find_last(config.trainer, configurations(self.words)))
            print(f"condgen: going on from {from_here(path)}", file=sys.stderr)
            self._stay_with_the_run()
        checkpoint = Checkpoint.open(path, config.trust)
        config.weights_only = True  # Lightning reads the file again, and would run what is in it
        given = config.model.as_dict() if config.get("model") else {}
        _same_task(checkpoint, given.get("class_path"))
        refuse_export(checkpoint, self.config.subcommand)
        if self.config.subcommand == "fit":
            refuse_finished(checkpoint.content, config.trainer, config.get("steps"))
            config.trainer.precision = config.trainer.precision or precision_of(checkpoint.content)
        if checkpoint.is_export:  # which Lightning cannot read
            config.weights, config.ckpt_path = path, None
            return
        if self.config.subcommand == "fit":
            stay_in_its_folder(Path(path), config.trainer)
        for key, theirs in flattened(checkpoint.hyper_parameters):
            ours = dict(flattened(given.get("init_args", {}))).get(key)
            if ours is not None and ours != theirs:
                print(f"condgen: model.{key}: the checkpoint's {theirs} wins over {ours}; to train on with other "
                      f"values, start a new run with --weights {path}", file=sys.stderr)  # fmt: skip
        super()._parse_ckpt_path()

    def _stay_with_the_run(self) -> None:
        """Let a run that was moved go on where it lies now, unless the command line says where."""
        run, trainer = own_run(configurations(self.words)), self.config[self.config.subcommand].trainer
        if run is None or any(word.startswith(("--trainer.logger", "--trainer.default_root_dir"))
                              for word in self.words):  # fmt: skip
            return
        place = place_of(run)
        if not isinstance(trainer.get("logger"), Namespace) or logged(trainer).resolve() == Path(*place).resolve():
            return
        for name, value in place._asdict().items():
            if name in trainer.logger.init_args:
                trainer.logger.init_args[name] = value
        trainer.default_root_dir = str(Path(*place))

    def before_instantiate_classes(self) -> None:
        """Complete the configuration from its data; the source that was built for that is used again."""
        config = self._part(self.config)
        model = config.get("model") or Namespace()
        self._settle_precision(config.trainer, locate(model.get("class_path") or ""))
        if config.get("steps") and config.trainer.max_epochs is None:
            config.trainer.max_epochs = -1  # until the data tell how many epochs these are
        if config.get("data") and config.get("model"):
            # What a checkpoint says stands as it is.
            given = None if config.get("ckpt_path") else self._part(self.given).model.get("init_args", {})
            with saying_where(self._source()):
                built, taken = complete(config.model, config.data, given)
            if taken:
                rank_zero_info(f"taken from the data: {', '.join(taken)}")
            if built is not None:
                self.parser.add_instantiator(*built)
        self.config = self.parser.parse_object(self.config)

    def _settle_precision(self, trainer: Namespace, task: object) -> None:
        """Refuse a precision that loses steps or hours; choose one for a new run of a likelihood model."""
        device = device_of(trainer.accelerator)
        if trainer.precision is not None:
            check_precision(str(trainer.precision))  # before Lightning asks for packages that will not help
            require_fast(str(trainer.precision), device)
        elif self.config.get("subcommand") == "fit" and isinstance(task, type) and issubclass(task, LikelihoodTask):
            trainer.precision, why = default_precision(device)
            rank_zero_info(f"trainer.precision {trainer.precision}: {why}")

    def _part(self, config: Namespace) -> Any:
        """Return the part of a configuration that belongs to the command."""
        return config.get(config.get("subcommand"), config)

    def instantiate_classes(self) -> None:
        with saying_where(self._source()):
            super().instantiate_classes()

    def _run_subcommand(self, subcommand: str) -> None:
        with ExitStack() as around:
            if subcommand == "fit":
                around.enter_context(telling_what_is_kept(self.trainer, self.model))
                around.enter_context(no_empty_run(self.trainer))
            around.enter_context(stopped_by_hand(self.trainer))
            around.enter_context(saying_where(self._source()))
            super()._run_subcommand(subcommand)

    def _source(self) -> dict[str, Any] | None:
        """Return what the configuration says about the source of the data."""
        config: Any = self._part(self.config)
        data = config.get("data")
        source = data.get("init_args", Namespace()).get("source") if isinstance(data, Namespace) else None
        return source.as_dict() if isinstance(source, Namespace) else None

    def after_instantiate_classes(self) -> None:
        config = self._part(self.config)
        if self.config.get("subcommand") == "fit" and config.get("ckpt_path"):
            keep_figures(self.trainer, Checkpoint.open(config.ckpt_path, config.trust).content)
        if config.get("steps") and self.trainer.max_epochs == -1 and self.trainer.max_steps == -1:
            self.trainer.callbacks.append(WholeEpochs(config.steps))  # type: ignore[attr-defined]  # see `own_callbacks`
        if config.get("weights"):
            checkpoint = Checkpoint.open(config.weights, config.trust)
            _same_task(checkpoint, config.model.class_path)
            start_from(self.model, checkpoint)


def _same_task(checkpoint: Checkpoint, class_path: str | None) -> None:
    """Refuse a checkpoint of another task.

    Raises:
        ValueError: the tasks differ; the message holds both.
    """
    theirs = checkpoint.task_path.split(".")[-1]
    ours = (class_path or theirs).split(".")[-1]
    if ours != theirs:
        network = checkpoint.hyper_parameters.get("network")  # a task of one's own may have none among its arguments
        inside = "" if network is None else f" ({network['class_path'].split('.')[-1]})"
        raise ValueError(f"{checkpoint.path} holds a {theirs}{inside}, and the configuration trains a {ours}: they "
                         "do not fit")  # fmt: skip


def run(argv: list[str]) -> None:
    """Run fit, validate or test. A configuration is a program: its classes may stand in the current folder."""
    argv = in_full(argv)
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        with quiet(), process_as_it_was():
            cli(from_checkpoint(argv))
    except (MisconfigurationException, ValueError) as error:
        message = innermost(str(error))
        if message.startswith("Problems parsing config"):
            message = f"{' '.join(a for a in argv if a.endswith(('.yaml', '.yml', '.json')))}: {message}"
        if "No module named" in message:
            message += f"; it was looked for in the current folder, {folder}, and among the installed packages"
        raise ValueError(message) from error


def logging_of(place: Place) -> dict[str, Any]:
    """Return the trainer's defaults for a run: its log goes to SAVE_DIR/NAME/version_N, and checkpoints beside it."""
    logger = {"class_path": "pytorch_lightning.loggers.CSVLogger", "init_args": place._asdict()}
    return {"default_root_dir": str(Path(*place)), "logger": logger}


def cli(argv: list[str], run: bool = True) -> CondgenCLI:
    """Build the command line; with `run=False`, only the classes that a configuration names."""
    return CondgenCLI(
        pl.LightningModule,
        pl.LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        trainer_defaults=logging_of(default_place(argv)),
        save_config_callback=SaveConfig,
        save_config_kwargs={"overwrite": True},
        parser_class=Parser,
        args=argv,
        run=run,
    )
