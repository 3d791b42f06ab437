"""How long sampling takes, engine by engine: wall and CPU seconds for a batch of 16, and the ratio.

    python recipes/benchmark_sampling.py

The naive engine runs the whole network at every step, whose cost does not depend on the step; it is timed over a few
steps and scaled to all of them, which the table says.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path

import torch
from jsonargparse import auto_cli
from tqdm import tqdm

from condgen.conditioning import ClassEmbedding
from condgen.models import ConditionalModel, PixelCNN
from condgen.sampling import sample


@dataclass(frozen=True)
class Setting:
    """A model to time."""

    name: str
    shape: tuple[int, int, int]
    levels: int
    output: str
    channels: int
    layers: int
    head: int


SETTINGS = [
    Setting("digits 8×8, 17 levels", (1, 8, 8), 17, "categorical", 32, 5, 32),
    Setting("gated PixelCNN 28×28, binary", (1, 28, 28), 2, "bernoulli", 128, 11, 32),
]


@dataclass(frozen=True)
class Row:
    """One measurement, of a whole batch of samples."""

    model: str
    parameters: int
    engine: str
    batch: int
    threads: int
    wall_seconds: float
    cpu_seconds: float
    scaled_from_steps: int | None


def build(setting: Setting) -> ConditionalModel:
    """Make an untrained class-conditional model: its speed is that of a trained one."""
    torch.manual_seed(0)
    network = PixelCNN(
        setting.shape, setting.levels, setting.output, channels=setting.channels, layers=setting.layers,  # type: ignore[arg-type]
        head=setting.head,
    )  # fmt: skip
    return ConditionalModel(network, {"class": ClassEmbedding(num_classes=10)}).eval()


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(setting: Setting, engine: str, batch: int, threads: int, naive_steps: int, repeats: int) -> Row:
    """Time one engine on one model; the best of some repeats."""
    model = build(setting)
    network = model.network
    labels = {"class": torch.arange(batch) % 10}
    scaled = None if engine != "naive" or network.num_steps <= naive_steps else naive_steps
    with torch.inference_mode():
        film, x = model.film(labels), torch.zeros(batch, *setting.shape)

        def work() -> None:
            if scaled is None:
                sample(model, labels, engine=engine, batch_size=batch, progress=False)
            else:
                for _ in range(scaled):
                    network(x, film)

        network(x, film)
        wall, cpu = min(timed(work) for _ in range(repeats))
    factor = 1 if scaled is None else network.num_steps / scaled
    parameters = sum(p.numel() for p in model.parameters())
    return Row(setting.name, parameters, engine, batch, threads, wall * factor, cpu * factor, scaled)


def table(rows: list[Row]) -> str:
    """Write the rows for people, each with its speed relative to naive."""
    lines = [
        f"{platform.processor() or platform.machine()}, {rows[0].threads} thread(s), torch {torch.__version__}, "
        f"load {os.getloadavg()[0]:.1f}",
        "",
        "| model | parameters | engine | batch | wall s | CPU s | times naive (CPU) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    naive = {row.model: row.cpu_seconds for row in rows if row.engine == "naive"}
    for row in rows:
        scaled = "" if row.scaled_from_steps is None else f" (scaled from {row.scaled_from_steps} steps)"
        lines.append(
            f"| {row.model} | {row.parameters:,} | {row.engine}{scaled} | {row.batch} | {row.wall_seconds:.2f} | "
            f"{row.cpu_seconds:.2f} | {naive[row.model] / row.cpu_seconds:.0f} |"
        )
    return "\n".join(lines)


def main(batch: int = 16, threads: int = 1, naive_steps: int = 8, repeats: int = 3, json: str | None = None) -> None:
    """Time all engines and print a table.

    Args:
        batch: samples drawn together.
        threads: of the CPU.
        naive_steps: steps of the naive engine to time, where it has more.
        repeats: the best of so many is kept.
        json: a file for the rows.
    """
    torch.set_num_threads(threads)
    todo = [(setting, engine) for setting in SETTINGS for engine in ("naive", "cached")]
    rows = [measure(s, e, batch, threads, naive_steps, repeats) for s, e in tqdm(todo, desc="timing", leave=False)]
    print(table(rows))
    if json:
        Path(json).write_text(dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    auto_cli(main)
