"""Every conditioning mechanism in every model family, several seeds: what each is good for, in tables and plots.

    python recipes/mechanisms.py --fsdd DIR

DIR holds the recordings of the Free Spoken Digit Dataset; without it, spoken digits are left out. It takes about two
hours of a core; cells whose results are in the output folder are not repeated, so that it can be interrupted, and
results of several machines put together. What was found is in recipes/mechanisms/README.md.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli
from mechanism_cells import FAMILIES, POSITION_WISE, Cell, Place, build, count, fit, matched
from mechanism_measures import classifiers, measure
from mechanism_tables import MECHANISMS, plots, tables
from tqdm import tqdm

DEEPER: list[dict[str, Any]] = [{"depth": 1}, {"depth": 2}, {"start": "small"}]


def every_cell(family: str, seed: int) -> Iterator[Cell]:
    """List the cells of a family for one seed."""
    conditions = FAMILIES[family].conditions
    for conditioning in MECHANISMS:
        # A WaveNet's positions are no places: a clip may begin anywhere.
        if conditioning != POSITION_WISE or len(conditions) == 1:
            yield Cell("mechanisms", family, conditioning, seed)
    for conditioning in ("film", "bias") if family == "tones" else ("film",):
        if len(conditions) > 1:
            yield Cell("pairs", family, conditioning, seed)
            yield Cell("pairs", family, conditioning, seed, joint=True)
    if family in ("digits", "GAN digits"):
        yield from (Cell("generators", family, "film", seed, **options) for options in DEEPER)
    if family == "tones":
        yield from (Cell("pairs", family, "film", seed, depth=depth) for depth in (1, 2))


def be_quiet() -> None:
    """Let a worker write nothing to the terminal, where the progress of all is shown."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)


def prepare(place: Place, family: str) -> None:
    """Make a family's data and classifiers, which its cells share."""
    classifiers(place, FAMILIES[family])
    if len(FAMILIES[family].conditions) > 1:
        place.data(FAMILIES[family], pairs=True)


def processor() -> str:
    """Return the name of the processor."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def run(cell: Cell, place: Place) -> dict[str, Any]:
    """Train and measure a cell; return its result."""
    torch.set_num_threads(1)
    family = FAMILIES[cell.family]
    data, began = place.data(family, cell.study == "pairs"), time.process_time()
    features = matched(cell, data.names)
    task = build(cell, data.names, features)
    model = fit(task, data, 2 if place.quick else family.steps, cell.seed)
    trained = time.process_time()
    figures = measure(cell, place, model)
    return {
        "cell": asdict(cell),
        "figures": figures,
        "features": features,
        "parameters": {
            "network": count(task.model.get_submodule("network")),
            "generator": count(task.model.film_generator),
        },
        "seconds": {"training": trained - began, "measuring": time.process_time() - trained},
        "processor": processor(),
        "torch": torch.__version__,
    }


def run_and_store(cell: Cell, place: Place) -> None:
    """Run a cell, and write its result; an interrupted one must be repeated."""
    result = json.dumps(run(cell, place), indent=1) + "\n"
    partial = cell.file(place).with_suffix(f".{os.getpid()}.partial")
    partial.write_text(result)
    partial.replace(cell.file(place))


def train_all(place: Place, cells: list[Cell], workers: int) -> None:
    """Run the cells that have no result yet, in several processes of one thread each."""
    todo = [cell for cell in cells if not cell.file(place).is_file()]
    seconds = sum(FAMILIES[cell.family].seconds for cell in todo)
    print(f"{len(todo)} of {len(cells)} cells to train, about {seconds / 60:.0f} minutes of a core, "
          f"{seconds / 60 / workers:.0f} with {workers} workers")  # fmt: skip
    for folder in ("data", "results"):
        (place.out / folder).mkdir(parents=True, exist_ok=True)
    with (
        ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), be_quiet) as pool,
        tqdm(desc="cells", total=len(cells), initial=len(cells) - len(todo)) as bar,
    ):
        try:
            # Families of the same data share its classifiers, which one of them makes.
            first = {FAMILIES[cell.family].data: cell.family for cell in todo}
            for made in as_completed([pool.submit(prepare, place, family) for family in first.values()]):
                made.result()
            for job in as_completed([pool.submit(run_and_store, cell, place) for cell in todo]):
                job.result()
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def main(
    out: str = "runs/mechanisms",
    fsdd: str | None = None,
    workers: int = 2,
    seeds: int = 5,
    families: list[str] | None = None,
    quick: bool = False,
) -> None:
    """Run everything; print the tables, and write tables.md, results.json and the plots.

    Args:
        out: folder for all of it.
        fsdd: folder of the Free Spoken Digit Dataset, or of its recordings.
        workers: number of processes, of one thread each.
        seeds: number of seeds, from 0.
        families: networks and data to run: `digits`, `shifted digits`, `tones`, `spoken digits`, `GAN digits`; all if
            left out.
        quick: miniature, run if true: next to nothing is trained, to see that everything works.
    """
    unknown = sorted({*(families or ())} - {*FAMILIES})
    if unknown:
        sys.exit(f"mechanisms: no family '{unknown[0]}'; there are: {', '.join(FAMILIES)}")
    if fsdd is not None and not Path(fsdd).is_dir():
        sys.exit(f"mechanisms: {fsdd} is no folder; --fsdd names that of the Free Spoken Digit Dataset")
    if fsdd is None and "spoken digits" in (families or ()):
        sys.exit("mechanisms: 'spoken digits' needs the Free Spoken Digit Dataset: name its folder with --fsdd")
    if min(workers, seeds) < 1:
        sys.exit(f"mechanisms: workers {workers} and seeds {seeds} are to be at least 1")
    wanted = [family for family in families or FAMILIES if fsdd is not None or family != "spoken digits"]
    place = Place(Path(out), None if fsdd is None else Path(fsdd), quick)
    os.environ["OMP_NUM_THREADS"] = "1"  # the workers' libraries read it when they start
    cells = [cell for seed in range(seeds) for family in wanted for cell in every_cell(family, seed)]
    if not all(cell.file(place).is_file() for cell in cells):
        train_all(place, cells, workers)
    results = [json.loads(file.read_text()) for file in sorted((place.out / "results").glob("*.json"))]
    (place.out / "results.json").write_text("[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n")
    (place.out / "tables.md").write_text(tables(results))
    plots(place.out, results)
    print(tables(results))


if __name__ == "__main__":
    auto_cli(main)
