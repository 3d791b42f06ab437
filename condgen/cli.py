"""`condgen fit | validate | test | sample | evaluate | merge | analyze | adapt | play | export | show`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

from condgen.printable import printable

HELP = """usage: condgen COMMAND [OPTIONS]

Conditional generative models of audio and images.

commands:
  data        show what will be learnt from: condgen data --data Images --data.source Folder --data.source.root DIR
  fit         train a model:          condgen fit -c pixelcnn_digits
  validate    score it on the validation split
  test        score it on the test split
  sample      draw from a model:      condgen sample MODEL --condition.digit 7 --num_samples 16 --out DIR
  evaluate    measure a model:        condgen evaluate MODEL --out DIR
  merge       put parts together: condgen merge OUT.part-* --out OUT
  analyze     look into its task representations: condgen analyze MODEL --out DIR
  adapt       teach it a new class:   condgen adapt MODEL --condition.speaker ann --examples DIR --out NEW
  play        play with it in the browser: condgen play MODEL
  export      write a model to hand on, with its card: condgen export CHECKPOINT --out DIR
  configs     list the configurations that come with condgen
  pretrained  list the trained models that come with condgen
  show        say how a sample was made, or what a model is: condgen show FILE

options:
  -h, --help  show this; `condgen COMMAND --help` shows the options of a command
  --version   show the version

A MODEL is a checkpoint, the folder of an exported one, or the name of one that comes with condgen, or of one on the
Hugging Face hub: hf://user/model.

A configuration is a program: it may name any class, of modules in the current folder too. A checkpoint is data: no
command imports, runs or writes what it names, but for classes of modules that you --trust.

An error is one line; with CONDGEN_TRACEBACK=1 in the environment, it is the whole traceback.
"""

COMMANDS = {
    "data": "condgen.commands.data",
    "fit": "condgen.commands.fit",
    "validate": "condgen.commands.fit",
    "test": "condgen.commands.fit",
    "sample": "condgen.commands.sample",
    "evaluate": "condgen.commands.evaluate",
    "merge": "condgen.commands.merge",
    "analyze": "condgen.commands.analyze",
    "adapt": "condgen.commands.adapt",
    "play": "condgen.commands.play",
    "export": "condgen.commands.export",
    "configs": "condgen.commands.configurations",
    "pretrained": "condgen.commands.listing",
    "show": "condgen.commands.show",
}

# How PyTorch's threads are counted and how they wait for each other. By themselves they spin: beside another busy
# process, each then waits for one that is not running, at a quarter of the speed and less; sleeping costs little.
THREADS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def main(argv: list[str] | None = None) -> int:
    """Run a command, in any thread, and return its exit status; the process is left as it was.

    Imports wait until the command is known, so that `--help` is quick.
    """
    argv = sys.argv[1:] if argv is None else argv
    command = argv[0] if argv else "--help"
    if command in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if command == "--version":
        from condgen import __version__

        print(__version__)
        return 0
    if command not in COMMANDS:
        print(f"condgen: error: unknown command '{printable(command)}'; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        with _process():
            import_module(COMMANDS[command]).run(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        print("condgen: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has had enough, as `head` has
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("CONDGEN_TRACEBACK"):
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, ValueError | OSError | FloatingPointError | ImportError | MemoryError):
            message = f"{type(error).__name__}: {message} (CONDGEN_TRACEBACK=1 shows where)"
        print(f"condgen: error: {printable(message)}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _process() -> Iterator[None]:
    """Let warnings be one line, SIGTERM an exit, so that temporary folders are removed, and threads that wait sleep,
    unless the user has said how they wait; and undo it afterwards."""
    written, path, environment, ended = warnings.formatwarning, [*sys.path], {**os.environ}, None
    warnings.formatwarning = _one_line
    if not any(name in os.environ for name in THREADS):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # heeded by what imports PyTorch later
    if threading.current_thread() is threading.main_thread():  # Python allows handlers of signals nowhere else
        ended = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        warnings.formatwarning, sys.path[:] = written, path
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        if ended is not None:
            signal.signal(signal.SIGTERM, ended)


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Write a warning for people at a command line, who have no use for the place in the code."""
    return f"condgen: warning: {printable(' '.join(str(message).split()))}\n"


if __name__ == "__main__":
    sys.exit(main())
