"""How fast every engine samples, compared with the limits of the machine, measured in the same run.

    python recipes/benchmark_sampling.py

The limits are PyTorch's float32 matrix product (large, and at the size of a step), and the speed at which the machine
reads as many numbers as a WaveNet's step has weights, over and over, so that they stay in its cache. Every weight is
counted once per step and block of rows; the compiled engine reads those of past taps less often, and beats PyTorch's
product at the size of a step, so these two shares may exceed 100 %. The naive engine runs the whole network at every
step, at a cost that hardly depends on the step; it is timed over a few steps and scaled to all of them, as the table
states.

With `--checkpoints`, a dictionary from checkpoints to conditions as `condgen sample` takes them, samples of these
models show how often rounding decides between two levels, and what 16-bit weights cost in bits:

    python recipes/benchmark_sampling.py --checkpoints '{"last.ckpt": {"digit": "all"}}'
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from jsonargparse import auto_cli
from llvmlite.binding import get_host_cpu_name
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from condgen.checkpoint import Checkpoint
from condgen.commands.conditions import Combination, combine, stacked
from condgen.conditioning import ClassEmbedding
from condgen.models import ConditionalModel, PixelCNN, WaveNet
from condgen.models.contract import streaming
from condgen.sampling import sample, stream, uniform_noise

AUDIO = "WaveNet, 30 layers, 64/128/64, softmax-256"
MODELS: dict[str, Callable[[], nn.Module]] = {
    "PixelCNN, digits 8×8, 17 levels": lambda: PixelCNN((1, 8, 8), 17, channels=32, layers=5, head=32),
    "PixelCNN, 28×28, 10 layers, 128 channels": lambda: PixelCNN(
        (1, 28, 28), 2, "bernoulli", channels=128, layers=10, head=32
    ),
    "PixelCNN, 28×28, 10 layers, 128 channels, dilated": lambda: PixelCNN(
        (1, 28, 28), 2, "bernoulli", channels=128, dilations=[1, 1, 2, 4, 1, 2, 4, 1, 2, 4], head=32
    ),
    AUDIO: lambda: WaveNet(256, channels=64, hidden=64, skip=64, layers=30, stacks=3),
}
ENGINES = ("naive", "cached", "compiled", "compiled_bfloat16")
COLOURS = {"naive": "lightgray", "cached": "tab:gray", "compiled": "tab:blue", "compiled_bfloat16": "tab:cyan"}
GPU_ENGINES = ("cached", "graph", "triton")
CHUNKS = (160, 800, 4000)  # samples of a stream's pieces: 10, 50 and 250 ms
COMPILE = """
import time
from condgen.models import ConditionalModel, PixelCNN, WaveNet
from condgen.sampling import sample
networks = (WaveNet(layers=1, stacks=1, channels=4), 9), (PixelCNN((1, 2, 2), 2, layers=1, channels=4, head=4), None)
start = time.perf_counter()
for network, length in networks:
    sample(ConditionalModel(network, {}, "none"), length=length, engine="compiled", progress=False)
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Row:
    """One measurement. A sample is an image or a value of a waveform; only the naive engine has `scaled_from_steps`."""

    model: str
    parameters: int
    engine: str
    batch: int
    threads: int
    wall_seconds: float
    cpu_seconds: float
    samples_per_second: float
    samples_per_cpu_second: float
    real_time_factor: float | None
    matmul_fraction: float
    matmul_fraction_at_size: float
    read_fraction: float
    scaled_from_steps: int | None


@dataclass(frozen=True)
class Limits:
    """What the machine can do per CPU-second: GFLOP/s of a large matrix product and of a product the size of a step's,
    and GB/s of reading as many numbers as a WaveNet's step has weights."""

    matmul: float
    matmul_at_size: float
    read: float


def timed(work: Callable[[], object], device: str, repeats: int) -> tuple[float, float]:
    """Return the wall and CPU seconds of a call: the best of some repeats, after one to warm up."""
    best = (math.inf, math.inf)
    for _ in range(repeats + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - wall, time.process_time() - cpu))
    return best


@numba.njit(fastmath=True)
def read(numbers: NDArray[np.float32], times: int) -> np.float32:
    """Add up numbers `times` times."""
    total = np.float32(0)
    for _ in range(times):
        for i in range(len(numbers)):
            total += numbers[i]
    return total


def matmul_rate(device: str, dtype: torch.dtype = torch.float32) -> float:
    """Measure a large matrix product on the threads that PyTorch is set to, or on a GPU, in GFLOP/s."""
    size = 2048 if device == "cpu" else 8192
    large = torch.randn(size, size, device=device, dtype=dtype)
    return 2e-9 * size**3 / timed(lambda: large @ large, device, 5)[0]


def limits(rows: int, device: str) -> Limits:
    """Measure the machine, on one thread or one GPU; `rows` is a thread's share of the batch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    few, step = torch.randn(rows, 128, device=device), list(torch.randn(46, 128, 128, device=device))
    product, _ = timed(lambda: [few @ weight for _ in range(20) for weight in step], device, 5)
    weights = torch.randn(46 * 128 * 128, device=device)
    numbers = weights.cpu().numpy()
    reading = (lambda: read(numbers, 50)) if device == "cpu" else (lambda: [weights.sum() for _ in range(50)])
    adding, _ = timed(reading, device, 5)
    found = Limits(
        matmul_rate(device), 20 * 2e-9 * rows * weights.numel() / product, 50 * 4e-9 * weights.numel() / adding
    )
    torch.set_num_threads(threads)
    return found


def weights_per_step(network: nn.Module) -> int:
    """Count the weights that a step multiplies by: all except biases and tables."""
    return sum(p.numel() for n, p in network.named_parameters() if p.ndim > 1 and not n.startswith("input."))


def build(name: str, device: str) -> ConditionalModel:
    """Make an untrained class-conditional model, which is as fast as a trained one."""
    torch.manual_seed(0)
    return ConditionalModel(MODELS[name](), {"class": ClassEmbedding(num_classes=10)}).eval().to(device)


def time_engine(
    model: ConditionalModel, engine: str, batch: int, steps: int, device: str, repeats: int
) -> tuple[float, float, int | None]:
    """Return the wall and CPU seconds of drawing a batch and, for `naive`, the number of steps they are scaled from."""
    network, heard = model.network, streaming(model.network)
    length = steps if heard else None
    labels = torch.arange(batch) % 10
    if engine != "naive":
        options: dict[str, Any] = {"engine": engine, "batch_size": batch, "length": length, "progress": False}
        return *timed(lambda: sample(model, {"class": labels}, **options), device, repeats), None
    scaled = min(steps, 2 if length else 8)
    with torch.inference_mode():
        film = model.film({"class": labels.to(device)})
        x = torch.zeros(batch, *network.canvas(heard.receptive_field if heard else None), device=device)
        wall, cpu = timed(lambda: [network(x, film) for _ in range(scaled)], device, 1)
    return wall * steps / scaled, cpu * steps / scaled, scaled


def measure(name: str, engine: str, batch: int, threads: int, device: str, seconds: float, repeats: int) -> Row:
    """Time one engine on one model."""
    model = build(name, device)
    network, heard = model.network, streaming(model.network)
    rate = {"naive": 1, "cached": 500, "compiled": 10_000}.get(engine, 20_000)
    steps = max(50, int(seconds * rate / batch**0.5)) if heard else network.num_steps(network.canvas())
    wall, cpu, scaled = time_engine(model, engine, batch, steps, device, repeats)
    weights = weights_per_step(model.get_submodule("network"))
    machine, samples = limits(max(1, batch // threads), device), batch * (steps if heard else 1)
    busy = wall if device == "cuda" else cpu
    flop = 2e-9 * weights * batch * steps / busy
    size = 2 if engine.endswith("bfloat16") else 4
    read = 1e-9 * size * weights * steps * (threads if device == "cpu" else 1) / busy
    return Row(
        name, sum(p.numel() for p in model.parameters()), engine, batch, threads, wall, cpu, samples / wall,
        samples / cpu, samples / wall / heard.sample_rate if heard else None, flop / machine.matmul,
        flop / machine.matmul_at_size, read / machine.read, scaled,
    )  # fmt: skip


def streamed(steps: int, repeats: int) -> str:
    """Say how much of a long draw's speed streams in chunks keep on one thread, and how fast they are."""
    model, label = build(AUDIO, "cpu"), {"class": torch.zeros(1, dtype=torch.long)}

    def in_chunks(chunk: int) -> None:
        deque(stream(model, label, chunk=chunk, length=steps), maxlen=0)

    runs: list[Callable[[], object]] = [partial(sample, model, label, length=steps, progress=False)]
    runs += [partial(in_chunks, chunk) for chunk in CHUNKS]
    # In turn, over and over, so that all of them share the machine's busy moments.
    rounds = [[timed(run, "cpu", 0)[1] for run in runs] for _ in range(repeats + 1)]
    whole, *each = (steps / 16000 / min(seconds) for seconds in zip(*rounds, strict=True))
    kept = ", ".join(f"{rate / whole:.0%} ({rate:.3g} × real time)" for rate in each)
    return (f"\nStreams in chunks of {', '.join(map(str, CHUNKS))} samples keep {kept} of the speed of a long draw "
            f"({whole:.3g} × real time) with one row and one thread.")  # fmt: skip


def compile_seconds() -> list[float]:
    """Time the first sampling of a new process with an empty cache, and of a second one."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        runs = [subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True,
                               check=True) for _ in range(2)]  # fmt: skip
    return [float(run.stdout) for run in runs]


def ready(checkpoint: str, asked: dict[str, str], count: int = 32) -> tuple[Any, list[Combination]]:
    """Load a trained model, and make `count` rows for each combination of the conditions asked for."""
    opened = Checkpoint.open(checkpoint)
    model = opened.model()
    return model, [row for row in combine(model, asked, opened.front_end()) for _ in range(count)]


def compared(checkpoint: str, model: Any, rows: list[Combination]) -> str:
    """Say how often rounding decides between two levels of a trained model, and what 16-bit weights cost it."""
    ties, positions, lost, dims = 0, 0, [], 0
    for i, row in enumerate(tqdm(rows, desc="comparing")):
        conditions = stacked([row])
        exact, rounded = (
            sample(model, conditions, num_samples=1, first_index=i, engine=engine, length=row.length, progress=False)
            for engine in ("compiled", "compiled_bfloat16")
        )
        assert rounded.log_prob is not None
        size = exact.x.shape[2:]
        noise = uniform_noise(0, [i], (math.prod(size) * model.network.output.groups, model.network.output.uniforms))
        with torch.inference_mode():
            defined = model(exact.x, conditions).from_uniform(noise.view(1, *size, -1))
            lost.append(rounded.log_prob - model.log_prob(rounded.x, conditions))
        ties += int((defined != exact.x).any(1).sum())
        positions, dims = positions + math.prod(size), dims + exact.x.numel()
    bits = torch.cat(lost) * len(rows) / dims / math.log(2)
    cost = f"{bits.mean():.1e} ± {bits.std() / len(bits) ** 0.5:.0e} bits per {model.network.dim}"
    return (f"{checkpoint}: rounding decided {ties} of {positions:,} draws; 16-bit weights cost {cost}, over "
            f"{len(rows)} samples.")  # fmt: skip


def number(x: float) -> str:
    """Format a number for reading, with at least three digits."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def table(rows: list[Row], machine: dict[int, Limits]) -> str:
    """Format the rows as a table."""
    lines = ["| model | engine | batch | threads | samples/s | samples per CPU-s | × naive | × real time | "
             "of matmul, large | at size | of reading |", "| --- " * 11 + "|"]  # fmt: skip
    naive = {(r.model, r.batch): r.samples_per_cpu_second for r in rows if r.engine == "naive" and r.threads == 1}
    for r in rows:
        times = r.samples_per_cpu_second / naive.get((r.model, r.batch), math.nan)
        real = "" if r.real_time_factor is None else f"{r.real_time_factor:.3g}"
        scaled = f" (scaled from {r.scaled_from_steps} steps)" if r.scaled_from_steps else ""
        lines.append(
            f"| {r.model} | {r.engine}{scaled} | {r.batch} | {r.threads} | {number(r.samples_per_second)} | "
            f"{number(r.samples_per_cpu_second)} | {number(times)} | {real} | {r.matmul_fraction:.0%} | "
            f"{r.matmul_fraction_at_size:.0%} | {r.read_fraction:.0%} |"
        )
    for batch, found in machine.items():
        lines.append(
            f"\nLimits of a CPU-second at {batch} rows: {found.matmul:.0f} GFLOP of large matrix products, "
            f"{found.matmul_at_size:.0f} GFLOP of a step's, {found.read:.0f} GB of a step's weights read."
        )
    return "\n".join(lines)


def plot(path: Path, rows: list[Row]) -> None:
    """Plot samples per CPU-second of every engine: a panel per model, a bar for each batch and number of threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row.model for row in rows))
    figure = Figure(figsize=(2.2 + 3.4 * len(names), 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False, sharey=True)[0], names, strict=True):
        own = [row for row in rows if row.model == name]
        labels = [f"{row.engine}, batch {row.batch}, {row.threads} thread{'s' * (row.threads > 1)}" for row in own]
        speeds = [row.samples_per_cpu_second for row in own]
        limit = max(row.samples_per_cpu_second / row.matmul_fraction for row in own)
        axes.barh(labels, speeds, color=[COLOURS.get(row.engine, "tab:purple") for row in own])
        for i, speed in enumerate(speeds):
            ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # hides the limit behind the number
            axes.text(speed * 1.2, i, number(speed), va="center", fontsize=8, bbox=ground)
        axes.axvline(limit, color="black", linestyle="--", linewidth=1, zorder=0)
        axes.set(xscale="log", xlim=(min(speeds) / 3, limit * 5))
        axes.set_title(name.replace(", ", ",\n", 1), fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].invert_yaxis()
    figure.supxlabel(
        "samples per CPU-second, logarithmic; dashed: what the machine's matrix product allows", fontsize=8
    )
    figure.savefig(path, facecolor="white")


def main(
    models: list[str] | None = None,
    batches: tuple[int, ...] = (1, 16),
    threads: tuple[int, ...] = (1, 2),
    device: str = "cpu",
    seconds: float = 1.0,
    repeats: int = 3,
    checkpoints: dict[str, dict[str, str]] | None = None,
    compile: bool = True,
    out: str = "runs/benchmark_sampling",
    json: str | None = None,
) -> None:
    """Time all engines, print a table, and write table.md and table.png.

    Args:
        models: names of the models to time; all if left out.
        batches: batch sizes to time.
        threads: numbers of CPU threads to time.
        device: device to sample on: `cpu` or `cuda`.
        seconds: approximate seconds of work per repeat, for models of audio, whose length can be chosen.
        repeats: number of repeats, of which the best is kept.
        checkpoints: conditions, as `condgen sample` takes them, for each checkpoint of a trained model.
        compile: timing of the compilation, included if true.
        out: folder for the table and the plot.
        json: file for the rows, as JSON.
    """
    unknown = sorted(set(models or ()) - set(MODELS))
    if unknown or min(*batches, *threads, repeats) < 1 or (device == "cuda" and not torch.cuda.is_available()):
        sys.exit(f"benchmark_sampling: models are {', '.join(map(repr, MODELS))}; batches, threads and repeats are at "
                 "least 1; and device cuda needs a GPU")  # fmt: skip
    try:  # before minutes of work, which would be lost
        trained = {checkpoint: ready(checkpoint, asked) for checkpoint, asked in (checkpoints or {}).items()}
    except (ValueError, OSError) as error:
        sys.exit(f"benchmark_sampling: {error}")
    engines = GPU_ENGINES if device == "cuda" else ENGINES
    counts = (1,) if device == "cuda" else threads
    todo = [(m, e, b, t) for m in models or MODELS for b in batches for t in counts for e in engines
            if t == 1 or b > 1]  # fmt: skip
    rows, machine = [], {}
    for name, engine, batch, count in tqdm(todo, desc="timing"):
        torch.set_num_threads(count)
        rows.append(measure(name, engine, batch, count, device, seconds, repeats))
    torch.set_num_threads(1)
    for batch in sorted({max(1, batch // count) for _, _, batch, count in todo}):
        machine[batch] = limits(batch, device)
    on = torch.cuda.get_device_name() if device == "cuda" else get_host_cpu_name()
    lines = [f"{on}, {os.cpu_count()} cores, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}", "",
             table(rows, machine)]  # fmt: skip
    if device == "cpu":
        lines.append(streamed(max(CHUNKS[-1], int(8000 * seconds)), repeats))
    if compile and device == "cpu":
        first, second = compile_seconds()
        lines.append(f"\nCompilation with an empty cache and the first samples: {first:.1f} s; in the next process: "
                     f"{second:.1f} s.")  # fmt: skip
    lines += [compared(checkpoint, *own) for checkpoint, own in trained.items()]
    print("\n".join(lines))
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text("\n".join(lines) + "\n")
    plot(folder / "table.png", rows)
    if json:
        Path(json).write_text(dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    auto_cli(main)
