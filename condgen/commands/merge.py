"""`condgen merge`: put the parts of a request together, as if one process had drawn them all.

Only what says how the command is called stands here: its help shall not wait for PyTorch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from condgen.commands.output import output_folder
from condgen.commands.parser import OneLineParser


def merge(parts: Sequence[str], out: str, overwrite: bool = False) -> None:
    """Put the parts of a request together that `condgen sample --part 3/16` drew; they stay.

    Args:
        parts: folders of all parts.
        out: folder for the whole.
        overwrite: permission to replace an existing folder.
    """
    from condgen.commands.plan import read_conditions
    from condgen.commands.unfinished import all_parts
    from condgen.commands.writing import names, write_whole

    with output_folder(out, overwrite) as folder:
        works, plan = all_parts([Path(part) for part in parts])
        records = [record for work in works for record in work.records().values()]
        for work in works:
            for record in work.records().values():
                for name in names(plan, record.indices.tolist()):
                    (folder / name).parent.mkdir(exist_ok=True)
                    _place(work.samples / name, folder / name)
        written = write_whole(folder, plan, records, read_conditions(works[0].folder))
    print(f"{plan.total} samples of {len(works)} parts in {out}: {written}")


def _place(file: Path, place: Path) -> None:
    """Give a file a second name or, where the file system has none such, copy it."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)


def run(argv: list[str]) -> None:
    """Run `condgen merge`."""
    parser = OneLineParser(prog="condgen merge", description=str(merge.__doc__).splitlines()[0])
    parser.add_argument("parts", nargs="+", metavar="PART", help="folders of all parts")
    parser.add_argument("--out", required=True, help="folder for the whole")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    merge(**parser.parse_args(argv[1:]).as_dict())
