"""The command line: its help, unknown commands, and warnings."""

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from types import SimpleNamespace

import pytest
import torch

from condgen.cli import COMMANDS, HELP, THREADS, main


def test_help_is_quick_and_loads_no_framework():
    code = (
        "import sys, condgen.cli; status = condgen.cli.main(['--help']);"
        "heavy = {'torch', 'numpy', 'pytorch_lightning', 'librosa', 'torchaudio'} & set(sys.modules);"
        "sys.exit(status or bool(heavy))"
    )
    start = time.perf_counter()
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0
    assert time.perf_counter() - start < 2
    assert found.stdout == HELP
    assert all(f"  {command} " in HELP for command in COMMANDS)


def test_unknown_command_names_the_known_ones(one_line):
    assert main(["fitt"]) == 2
    one_line("unknown command 'fitt'", "fit, validate, test, sample, evaluate")


def test_a_warning_is_one_line_too(monkeypatch, capsys):
    """And outside the command line nothing has changed."""
    before = warnings.formatwarning
    monkeypatch.setitem(COMMANDS, "sample", "warner")
    monkeypatch.setitem(sys.modules, "warner", SimpleNamespace(run=lambda argv: print(
        warnings.formatwarning("engine gone", UserWarning, "draw.py", 3), end="")))  # fmt: skip
    assert main(["sample"]) == 0
    assert capsys.readouterr().out == "condgen: warning: engine gone\n"
    assert warnings.formatwarning is before


def state_of_the_process():
    remarks = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    return {
        "handler": signal.getsignal(signal.SIGTERM), "warnings": (warnings.formatwarning, [*warnings.filters]),
        "path": [*sys.path], "environment": {**os.environ}, "logging": (remarks.level, [*remarks.filters]),
        "chance": random.getstate(), "torch": torch.get_rng_state().tolist(), "threads": torch.get_num_threads(),
    }  # fmt: skip


@pytest.mark.parametrize("command", ["fit --help", "fit -c missing.yaml", "sample --help", "evaluate", "validate"])
def test_a_command_runs_in_any_thread_and_leaves_the_process_as_it_was(command, capsys):
    import condgen.commands.fit  # noqa: F401  (what imports leave behind is not of the command)

    before, statuses = state_of_the_process(), []
    statuses.append(main(command.split()))
    assert state_of_the_process() == before
    thread = threading.Thread(target=lambda: statuses.append(main(command.split())))
    thread.start()
    thread.join()
    assert statuses == [0, 0] if "--help" in command else statuses == [1, 1]
    assert state_of_the_process() == before


@pytest.mark.parametrize("said", [{}, {"OMP_NUM_THREADS": "2"}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"},
                                  {"KMP_BLOCKTIME": "0"}])  # fmt: skip
def test_threads_that_wait_sleep_unless_the_user_has_said_how_they_wait(monkeypatch, said):
    """Before PyTorch is there, and for no longer than the command runs."""
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    found = {}
    monkeypatch.setitem(COMMANDS, "sample", "waiter")
    monkeypatch.setitem(sys.modules, "waiter", SimpleNamespace(run=lambda argv: found.update(os.environ)))
    before = {**os.environ}
    assert main(["sample"]) == 0
    assert {name: found[name] for name in THREADS if name in found} == (said or {"OMP_WAIT_POLICY": "PASSIVE"})
    assert {**os.environ} == before


def test_the_package_itself_leaves_threads_alone():
    code = "import os, condgen, condgen.cli, condgen.models; assert 'OMP_WAIT_POLICY' not in os.environ"
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


@pytest.mark.parametrize(("raised", "status"), [(SystemExit(3), 3), (SystemExit("why"), 1), (SystemExit(None), 0),
                                                (KeyboardInterrupt(), 130), (ValueError("bad"), 1),
                                                (BrokenPipeError(), 141)])  # fmt: skip
def test_every_end_is_an_exit_status(monkeypatch, raised, status):
    def run(argv):
        raise raised

    monkeypatch.setitem(COMMANDS, "sample", "ender")
    monkeypatch.setitem(sys.modules, "ender", SimpleNamespace(run=run))
    assert main(["sample"]) == status


def test_what_a_file_or_a_word_says_does_not_steer_the_terminal(monkeypatch, capsys):
    """Names come from checkpoints of strangers; errors and warnings list them."""
    hostile = "\x1b[31mred\x1b]0;title\x07\u202e"

    def run(argv):
        print(warnings.formatwarning(f"no examples of {hostile}\nat all", UserWarning, "draw.py", 3), end="")
        raise ValueError(f"has no word '{hostile}'")

    monkeypatch.setitem(COMMANDS, "sample", "warner")
    monkeypatch.setitem(sys.modules, "warner", SimpleNamespace(run=run))
    assert main(["sample"]) == 1
    assert main([hostile]) == 2
    out, err = capsys.readouterr()
    seen = r"\x1b[31mred\x1b]0;title\x07\u202e"
    assert out == f"condgen: warning: no examples of {seen} at all\n"
    assert err.splitlines()[0] == f"condgen: error: has no word '{seen}'"
    assert err.splitlines()[1].startswith(f"condgen: error: unknown command '{seen}'")
