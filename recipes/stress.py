"""What files that are broken, huge or bent do to condgen: a table of figures, one row each.

    python recipes/stress.py
    python recipes/stress.py --inputs 2000 --flips 60 --bombs true

Each file is written by condgen or in its stead, bent at random by a seed, and read as condgen reads it. What may come
of it is one line of condgen's own that names the file; anything else is counted: `unforeseen`, with its types. Of
flipped bits those are counted that are taken in silence: the file is read, and what it holds is another.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from jsonargparse import auto_cli
from stress_bombs import BOMBS, defused
from stress_files import FORMATS, SEALED, bent, flipped


def main(inputs: int = 20, flips: int = 10, bombs: bool = False, formats: list[str] | None = None) -> int:
    """Print the table; the exit status is 1 if anything was unforeseen, taken in silence, or too large.

    Args:
        inputs: number of bent files of each format.
        flips: number of flipped bits of each format that has a checksum.
        bombs: permission to open files that claim to be huge, each in a process of its own.
        formats: formats to bend; all of them if left out.
    """
    faults = 0
    print("| what | files | found | of these |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        for name in formats or FORMATS:
            made, folder = FORMATS[name], Path(place, name)
            folder.mkdir()
            found = bent(made, folder, inputs)
            kinds = "; ".join(f"{count} {kind}" for kind, count in found.most_common(6))
            faults += found.total()
            print(f"| {name}, bent | {inputs:,} | {found.total():,} unforeseen | {kinds} |", flush=True)
            if name in SEALED and flips:
                silent = flipped(made, folder, flips)
                faults += len(silent)
                print(f"| {name}, a bit flipped | {flips} | {len(silent)} in silence | {silent[:4]} |", flush=True)
        for name in BOMBS if bombs else ():
            end = defused(name, Path(place))
            faults += not end.is_defused
            print(f"| bomb: {name} | 1 | {end.megabytes:,.0f} MB, {end.seconds:.1f} s | {end.said} |", flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(auto_cli(main))
