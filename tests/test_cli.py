"""The command line: its help, unknown commands, and warnings."""

import subprocess
import sys
import time
import warnings
from types import SimpleNamespace

from condgen.cli import COMMANDS, HELP, main


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
