"""How fast the likelihood models train, compared with the machine's limit and with plain versions of the same networks.

    python recipes/benchmark_training.py

Plain is what most repositories do: dilated `nn.Conv1d` over (batch, channels, time) for WaveNet; square `nn.Conv2d`
kernels multiplied by a mask at every call for PixelCNN. Both are given condgen's weights, and their outputs are
compared before anything is timed. A step is forward, backward and Adam; its work is counted as 6 operations per weight
and position, without masked weights, and compared with a large matrix product in float32 or, for bf16 variants, in
bf16.
"""

from __future__ import annotations

import copy
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
import torch
from benchmark_sampling import matmul_rate, weights_per_step
from jsonargparse import auto_cli
from llvmlite.binding import get_host_cpu_name
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from condgen.conditioning import ClassEmbedding, GammaBeta
from condgen.data import AudioFolder, Digits, Images, MelSpectrogram, Speech
from condgen.models import ConditionalModel, PixelCNN, WaveNet
from condgen.training.precision import default_precision

Film = Mapping[str, GammaBeta]
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "WaveNet, 30 layers, 64/128/64": (lambda: WaveNet(256, channels=64, layers=30, stacks=3), (2, 1, 8000)),
    "WaveNet, 20 layers, 64/64/128": (lambda: WaveNet(256, channels=64, head=128, layers=20, stacks=2), (4, 1, 3520)),
    "PixelCNN, 28×28, 7 layers, 64 channels": (
        lambda: PixelCNN((1, 28, 28), 2, "bernoulli", channels=64, layers=7, head=64), (32, 1, 28, 28),
    ),
    "PixelCNN, 28×28, 10 layers, 128 channels": (
        lambda: PixelCNN((1, 28, 28), 2, "bernoulli", channels=128, layers=10, head=32), (8, 1, 28, 28),
    ),
    "PixelCNN, 32×32×3, 8 layers, 96 channels": (
        lambda: PixelCNN((3, 32, 32), 256, channels=96, layers=8, head=96), (4, 3, 32, 32),
    ),
}  # fmt: skip
VARIANTS = (
    "plain nn.Conv", "condgen", "channels-last", "masks applied once", "compiled", "compiled, channels-last", "bf16",
    "compiled, bf16",
)  # fmt: skip


class PlainWaveNet(nn.Module):
    """WaveNet of dilated `nn.Conv1d` over (batch, channels, time), with the weights of a condgen WaveNet."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.output, self.scale, self.embedding = ours.output, ours.skip_scale, copy.deepcopy(ours.input)
        self.convs, self.outs = nn.ModuleList(), nn.ModuleList()
        for layer in ours.layers:
            conv = nn.Conv1d(ours.channels, layer.conv.weight.shape[1], layer.conv.kernel_size,
                             dilation=layer.conv.dilation)  # fmt: skip
            out = nn.Conv1d(layer.output.in_features, layer.output.out_features, 1)
            give(conv, layer.conv.weight.permute(1, 2, 0), layer.conv.bias)
            give(out, layer.output.weight[..., None], layer.output.bias)
            self.convs.append(conv)
            self.outs.append(out)
        self.head = nn.Sequential()
        for layer in (ours.head[1], ours.head[3]):
            self.head.extend([nn.ReLU(), give(nn.Conv1d(layer.in_features, layer.out_features, 1),
                                              layer.weight[..., None], layer.bias)])  # fmt: skip

    def forward(self, x: Tensor, film: Film) -> Tensor:
        h = F.pad(self.embedding(x[:, 0, :-1]).transpose(1, 2), (1, 0))
        skips: Any = 0
        for (conv, out), pair in zip(zip(self.convs, self.outs, strict=True), film.values(), strict=True):
            reach: int = (conv.kernel_size[0] - 1) * conv.dilation[0]  # type: ignore[index,assignment]
            y = conv(F.pad(h, (reach, 0))) + pair.beta[..., None]  # type: ignore[index]
            a, b = y.chunk(2, 1)
            y = out(torch.tanh(a) * torch.sigmoid(b))
            residual = y.shape[1] - self.head[1].in_channels
            skips = skips + y[:, residual:]
            h = h + y[:, :residual] if residual else h
        return self.head(skips * self.scale)


class MaskedConv2d(nn.Conv2d):
    """A square convolution whose weights are multiplied by a mask at every call."""

    def __init__(self, ours: Any) -> None:
        weight = ours.kernel
        radius = weight.shape[3] // 2 if weight.shape[2] > 1 else weight.shape[3] - 1
        size = (2 * radius + 1, 2 * radius + 1) if weight.shape[2] > 1 else (1, 2 * radius + 1)
        super().__init__(weight.shape[1], weight.shape[0], size, padding=ours.padding, dilation=ours.dilation,
                         bias=ours.bias is not None)  # fmt: skip
        full = torch.zeros_like(self.weight)
        full[:, :, : weight.shape[2], : weight.shape[3]] = weight.detach()
        give(self, full, ours.bias)
        mask = torch.zeros_like(full)
        mask[:, :, : weight.shape[2], : weight.shape[3]] = 1 if ours.mask is None else ours.mask
        self.mask: Tensor
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding, dilation=self.dilation)


class PlainPixelCNN(nn.Module):
    """Gated PixelCNN of square masked `nn.Conv2d`, with the weights of a condgen PixelCNN."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.output, self.levels = ours.output, ours.levels
        names = ("vertical", "horizontal", "output")
        self.blocks = nn.ModuleList()
        for block in ours.blocks:
            convs = {name: MaskedConv2d(getattr(block, name)) for name in names}
            self.blocks.append(nn.ModuleDict({**convs, "link": copy.deepcopy(block.link)}))
        self.head = nn.ModuleList(MaskedConv2d(layer) for layer in ours.head)

    def forward(self, x: Tensor, film: Film) -> Tensor:
        v = h = x * (2 / (self.levels - 1)) - 1
        for i, block in enumerate(self.blocks):
            convs: Any = block
            betas = [film[f"blocks.{i}.{stack}_film"].beta[..., None, None] for stack in ("vertical", "horizontal")]  # type: ignore[index]
            a = convs["vertical"](v)
            b = convs["horizontal"](h) + convs["link"](F.pad(a, (0, 0, 1, -1)))
            (va, vb), (ha, hb) = ((x + beta).chunk(2, 1) for x, beta in zip((a, b), betas, strict=True))
            v, y = torch.tanh(va) * torch.sigmoid(vb), convs["output"](torch.tanh(ha) * torch.sigmoid(hb))
            h = h + y if i else y
        for layer in self.head:
            h = layer(torch.relu(h))
        return h


def give(layer: Any, weight: Tensor, bias: Tensor | None) -> Any:
    """Copy a weight and a bias into a layer."""
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def plain(network: nn.Module) -> nn.Module:
    """Return the plain version of a network."""
    return PlainWaveNet(network) if isinstance(network, WaveNet) else PlainPixelCNN(network)


def build(name: str, variant: str, device: str) -> ConditionalModel:
    """Make a model for a variant."""
    torch.manual_seed(0)
    model = ConditionalModel(MODELS[name][0](), {"class": ClassEmbedding(num_classes=10)})
    own: Any = model.network
    if variant == "plain nn.Conv":
        network = plain(own)
        x, film = torch.ones(MODELS[name][1], dtype=torch.long), model.film({"class": torch.zeros(1, dtype=torch.long)})
        with torch.no_grad():
            assert torch.allclose(network(x, film), model.network(x, film), atol=1e-4)
        model.add_module("network", network)
    if variant == "masks applied once":  # shows what the multiplications cost; such a model must not be trained further
        for module in own.modules():
            if getattr(module, "mask", None) is not None:
                module.mask = None
    model = model.to(device)
    if "channels-last" in variant:
        model = model.to(memory_format=torch.channels_last)
    if "compiled" in variant:
        model.get_submodule("network").compile()
    return model


@dataclass(frozen=True)
class Row:
    """One measurement."""

    model: str
    variant: str
    batch: int
    threads: int
    wall_seconds: float
    cpu_seconds: float
    examples_per_second: float
    examples_per_cpu_second: float
    gflop_per_cpu_second: float
    matmul_fraction: float


def work(name: str, variant: str, device: str) -> Callable[[], None]:
    """Return a training step."""
    shape = MODELS[name][1]
    model = build(name, variant, device)
    x = torch.randint(2, shape, device=device)
    x = x.to(memory_format=torch.channels_last) if "channels-last" in variant else x
    conditions = {"class": torch.arange(len(x), device=device) % 10}
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled="bf16" in variant):
            parameters = model.network(x, model.film(conditions))
        loss = -model.network.output(parameters.float()).log_prob(x).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(name: str, steps: Mapping[str, Callable[[], None]], device: str, repeats: int) -> list[Row]:
    """Time the variants of a model in turn, so that all see the same load; keep the best of some repeats of each."""
    best = dict.fromkeys(steps, (math.inf, math.inf))
    for repeat in range(repeats + 1):  # the first, which compiles, is not kept
        for variant, step in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat:
                best[variant] = min(best[variant], (time.perf_counter() - wall, time.process_time() - cpu))
    network, shape = MODELS[name][0](), MODELS[name][1]
    flop, count = 6e-9 * weights_per_step(network) * shape[0] * math.prod(shape[2:]), torch.get_num_threads()
    # In 16 bits only if asked for: processors that emulate them take minutes for such a product.
    single = matmul_rate(device)
    half = matmul_rate(device, torch.bfloat16) if any("bf16" in variant for variant in best) else single
    rows = []
    for variant, (wall, cpu) in best.items():
        # For all threads together, like the rates of matrix products.
        share, busy = flop / wall / (half if "bf16" in variant else single), wall if device == "cuda" else cpu
        rows.append(Row(name, variant, shape[0], count, wall, cpu, shape[0] / wall, shape[0] / cpu, flop / busy, share))
    return rows


def delivered(data: Any, epochs: int = 5) -> float:
    """Return the dimensions per second that the loader of a data module delivers, after an epoch to warm up."""
    data.setup()
    list(data.train_dataloader())
    start = time.perf_counter()
    count = sum(batch.x.numel() for _ in range(epochs) for batch in data.train_dataloader())
    return count / (time.perf_counter() - start)


def data_rates() -> str:
    """Say how fast batches come: of digits, and of crops of noise at 16 kHz with their mel spectrograms."""
    pixels = delivered(Images(Digits(), batch_size=64))
    with TemporaryDirectory() as folder:
        noise = np.random.default_rng(0).uniform(-1, 1, (40, 48_000))
        Path(folder, "noise").mkdir()
        for i, waveform in enumerate(noise):
            soundfile.write(Path(folder, "noise", f"{i:02}.wav"), waveform, 16_000)
        mel: Any = {"mel": MelSpectrogram()}
        samples = delivered(Speech(AudioFolder(folder), features=mel, crop=8000, batch_size=8, cache=f"{folder}/cache"))
    return (f"The data modules deliver {pixels / 1e6:.0f} million pixels of digits, or {samples / 1e6:.0f} million "
            "samples of audio with a mel spectrogram, a second.")  # fmt: skip


def table(rows: list[Row]) -> str:
    """Format the rows as a table."""
    lines = ["| model | variant | batch | examples per CPU-s | × plain | GFLOP per CPU-s | of matmul, same type |",
             "| --- " * 7 + "|"]  # fmt: skip
    base = {row.model: row.examples_per_cpu_second for row in rows if row.variant == VARIANTS[0]}
    for row in rows:
        lines.append(
            f"| {row.model} | {row.variant} | {row.batch} | {row.examples_per_cpu_second:.3g} | "
            f"{row.examples_per_cpu_second / base[row.model]:.2f} | {row.gflop_per_cpu_second:.0f} | "
            f"{row.matmul_fraction:.0%} |"
        )
    return "\n".join(lines)


def main(
    models: list[str] | None = None,
    variants: list[str] | None = None,
    threads: int = 1,
    device: str = "cpu",
    repeats: int = 3,
    out: str = "runs/benchmark_training",
    json: str | None = None,
) -> None:
    """Time training steps; print a table and write table.md.

    Args:
        models: names of the models to time; all if left out.
        variants: names of the variants to time, in addition to "plain nn.Conv"; if left out, all that the device has:
            none in bf16 where it would emulate that.
        threads: number of CPU threads.
        device: device to train on: `cpu` or `cuda`.
        repeats: number of repeats, of which the best is kept.
        out: folder for the table.
        json: file for the rows, as JSON.
    """
    unknown = set(models or ()) - set(MODELS) | set(variants or ()) - set(VARIANTS)
    if unknown or min(threads, repeats) < 1 or (device == "cuda" and not torch.cuda.is_available()):
        sys.exit(f"benchmark_training: models are {', '.join(map(repr, MODELS))}; variants {', '.join(VARIANTS)}; "
                 "threads and repeats are at least 1; and device cuda needs a GPU")  # fmt: skip
    torch.set_num_threads(threads)
    fast = default_precision(device)[0] == "bf16-mixed"
    variants = [v for v in VARIANTS if fast or "bf16" not in v] if variants is None else variants
    rows: list[Row] = []
    for name in tqdm(models or list(MODELS), desc="timing"):
        chosen = [v for v in VARIANTS if v == VARIANTS[0] or v in variants]
        if name.startswith("WaveNet"):
            chosen = [v for v in chosen if "channels" not in v and "masks" not in v]
        rows += measure(name, {v: work(name, v, device) for v in chosen}, device, repeats)
    on = torch.cuda.get_device_name() if device == "cuda" else get_host_cpu_name()
    lines = [f"{on}, {threads} thread(s), torch {torch.__version__}, load {os.getloadavg()[0]:.1f}", "", table(rows),
             "", data_rates()]  # fmt: skip
    print("\n".join(lines))
    Path(out).mkdir(parents=True, exist_ok=True)
    Path(out, "table.md").write_text("\n".join(lines) + "\n")
    if json:
        Path(json).write_text(dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    auto_cli(main)
