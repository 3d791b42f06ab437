"""Plant every mutant of `mutants.py` in a copy of the package, and see the tests that are named for it fail.

`make mutants` runs all, `make mutants ONLY="name other"` some. The named tests first run on an unchanged copy, where
they must pass. The exit status is 0 if every mutant was caught.

To add one: put a `Mutant` into `mutants.py`, with the shortest `old` that occurs once in its file; write a test that
states, from the mathematics or by hand, what the fault breaks; name it in `tests`; and run `make mutants ONLY=name`.
A mutant that survives shows a hole in the tests, not in this script. Where a change of the package makes an `old`
text vanish, the run stops and names it: follow the change, or drop the mutant with the code that it was about.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
PASSED, FAILED = 0, 1  # exit statuses of pytest; all others say that it could not do its work
LIMIT = 600  # seconds for the tests of a mutant


def mutated(mutant: Mutant) -> str:
    """Return the text of a file with the fault in it.

    Raises:
        ValueError: the old text does not occur exactly once.
    """
    source = (ROOT / "condgen" / mutant.file).read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: {mutant.old!r} occurs {source.count(mutant.old)} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)


def run_tests(tests: Sequence[str], mutant: Mutant | None = None) -> tuple[int, str]:
    """Run tests on a copy of the package, with a fault in it or without; return the exit status and the output."""
    with tempfile.TemporaryDirectory(prefix="condgen-mutant-") as folder:
        shutil.copytree(ROOT / "condgen", Path(folder, "condgen"))
        if mutant is not None:
            Path(folder, "condgen", mutant.file).write_text(mutated(mutant), encoding="utf-8")
        # From the copy's folder, since Python looks there first.
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--rootdir", str(ROOT),
                   "-c", str(ROOT / "pyproject.toml"), *(str(ROOT / "tests" / test) for test in tests)]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        try:
            found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return -1, f"no answer within {LIMIT} seconds"
        return found.returncode, found.stdout + found.stderr


def verdict(mutant: Mutant) -> str:
    """Say what became of a mutant: `caught`, `survived`, or `broken` where its tests could not run."""
    status, _ = run_tests(mutant.tests, mutant)
    return {PASSED: "survived", FAILED: "caught"}.get(status, "broken")


def main() -> int:
    """Run the mutants that are asked for, and print a table."""
    parser = argparse.ArgumentParser(description="Plant faults and see the tests fail.")
    parser.add_argument("names", nargs="*", help="mutants to plant; all if none is named")
    parser.add_argument("--jobs", type=int, default=2, help="mutants that run side by side")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - {mutant.name for mutant in MUTANTS})
    if unknown:
        parser.error(f"no mutant is called {', '.join(unknown)}")
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    for mutant in chosen:
        mutated(mutant)  # refuses a text that is gone before anything long
    status, output = run_tests(sorted({test for mutant in chosen for test in mutant.tests}))
    if status != PASSED:
        print(f"{output}\nThe tests must pass before a fault is planted.")
        return 1
    with ThreadPoolExecutor(options.jobs) as pool:
        found = []
        for mutant, became in zip(chosen, pool.map(verdict, chosen), strict=True):
            print(f"{became:9} {mutant.name:34} {mutant.what}", flush=True)
            found.append(became)
    print(f"{found.count('caught')} of {len(found)} mutants caught")
    return int(set(found) != {"caught"})


if __name__ == "__main__":
    sys.exit(main())
