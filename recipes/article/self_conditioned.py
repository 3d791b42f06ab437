"""Networks that condition themselves: highways, squeeze-and-excitation, an LSTM's gates, and gated linear units.

    python recipes/article/self_conditioned.py

Most of them read text, the documentation of the Python language that Python itself carries, one character at a time.
Squeeze-and-excitation looks at all positions at once, so it reads pictures instead: scikit-learn's digits under noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics
from statistics import mean

import matplotlib.pyplot as plt
import torch
from claim import Claim, Figures, Kept, Story, all_of, beats
from jsonargparse import auto_cli
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from condgen.conditioning import film
from condgen.conditioning.self_conditioning import (
    Highway,
    SelfConditioned,
    SqueezeExcitation,
    gated_linear_unit,
    lstm_gates,
)

LETTERS = 97  # a line break, the printable characters of ASCII, and one for all others
LENGTH, WINDOW = 48, 8  # characters of an excerpt, and characters that a network of position-wise layers sees
DEPTHS = (2, 8, 20)
# Gains that keep the size of features; a GLU's g is such that g² · mean of σ(g n)², n normal, is 1.
GAINS = {"highway": math.sqrt(2), "ReLU": math.sqrt(2), "tanh": 5 / 3, "GLU": 1.75, "GTU": 2.0}
RATES = {"stacks": 1e-2, "deep": 2e-3, "digits": 2e-3}  # learning rates, one for all that are compared
GATES = ("GLU", "GTU", "ReLU", "tanh")
SQUEEZES = {"squeeze-and-excitation": True, "plain": False}
DEEP = ("highway", *GATES)
RECURRENT = ("LSTM", "tanh RNN")
ARTICLE = ("Its section on the literature calls it self-conditioning where γ comes from the network's own features: "
           "squeeze-and-excitation in networks for images, an LSTM's gates, and the gated linear units of "
           "convolutional models of language and translation.")  # fmt: skip
CAPTION = ("Left: what networks of growing depth need for a character of text. Middle: the same for stacks of "
           "convolutions and recurrent networks. Right: errors on digits. Bands and dots are seeds.")  # fmt: skip


def text(held_out: bool) -> Tensor:
    """Return the characters of every tenth topic, or of the others, as whole numbers."""
    pages = [page for i, (_, page) in enumerate(sorted(topics.items())) if (i % 10 == 0) == held_out]
    codes = torch.tensor(list("\n".join(pages).encode("utf-8")))
    return torch.where(codes == 10, 0, torch.where((codes >= 32) & (codes < 127), codes - 31, LETTERS - 1))


TEXTS = {held_out: text(held_out) for held_out in (False, True)}


def excerpts(count: int, held_out: bool, generator: torch.Generator) -> Tensor:
    """Draw excerpts, (count, LENGTH + 1) whole numbers."""
    start = torch.randint(len(TEXTS[held_out]) - LENGTH, (count, 1), generator=generator)
    return TEXTS[held_out][start + torch.arange(LENGTH + 1)]


def act(kind: str, x: Tensor) -> Tensor:
    """Apply a nonlinearity; a gated one makes half as many features."""
    if kind in ("ReLU", "tanh"):
        return torch.relu(x) if kind == "ReLU" else torch.tanh(x)
    value, gate = x.chunk(2, 1)
    return film(torch.tanh(value) if kind == "GTU" else value, gated_linear_unit(gate).gamma)


class Convolutions(nn.Module):
    """Causal convolutions with residual connections (Dauphin et al. 2017); every kind has the same number of weights.

    Args:
        kind: nonlinearity.
        channels: channels between the blocks.
        gated: channels behind a gate; without one, they are so many that the number of weights is the same.
        kernel: characters that a convolution covers.
        blocks: number of blocks.
    """

    def __init__(self, kind: str, channels: int = 48, gated: int = 32, kernel: int = 3, blocks: int = 4) -> None:
        super().__init__()
        self.kind, self.kernel = kind, kernel
        is_gated = kind in ("GLU", "GTU")
        hidden = gated if is_gated else gated * (2 * kernel + 1) // (kernel + 1)
        wide = 2 * hidden if is_gated else hidden
        self.embedding, self.out = nn.Embedding(LETTERS, channels), nn.Conv1d(channels, LETTERS, 1)
        self.convolutions = nn.ModuleList(nn.Conv1d(channels, wide, kernel) for _ in range(blocks))
        self.projections = nn.ModuleList(nn.Conv1d(hidden, channels, 1) for _ in range(blocks))

    def forward(self, letters: Tensor) -> Tensor:
        """Map (batch, time) to logits of the letters after each, (batch, letters, time)."""
        x = self.embedding(letters).transpose(1, 2)
        for convolution, projection in zip(self.convolutions, self.projections, strict=True):
            x = x + projection(act(self.kind, convolution(F.pad(x, (self.kernel - 1, 0)))))
        return self.out(x)


class Layers(nn.Module):
    """A window of letters, then layers without residual connections.

    Args:
        kind: nonlinearity, or `highway`.
        depth: number of layers.
        channels: channels of a layer; without a gate, as many more as give the same number of weights.
    """

    def __init__(self, kind: str, depth: int, channels: int = 40) -> None:
        super().__init__()
        self.kind, is_gated = kind, kind in ("GLU", "GTU", "highway")
        channels = channels if is_gated else round(math.sqrt(2) * channels)
        self.embedding, self.window = nn.Embedding(LETTERS, 16), nn.Conv1d(16, channels, WINDOW)
        wide = 2 * channels if kind in ("GLU", "GTU") else channels
        layers = [nn.Conv1d(channels, wide, 1) for _ in range(depth)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=GAINS[kind] / math.sqrt(channels))
        self.layers = nn.ModuleList(layers)
        self.writers = nn.ModuleList(Highway(channels) for _ in range(depth if kind == "highway" else 0))
        self.out = nn.Conv1d(channels, LETTERS, 1)

    def forward(self, letters: Tensor) -> Tensor:
        """Map (batch, time) to logits of the letters after each, (batch, letters, time)."""
        x = torch.tanh(self.window(F.pad(self.embedding(letters).transpose(1, 2), (WINDOW - 1, 0))))
        for i, layer in enumerate(self.layers):
            if self.kind == "highway":
                pair = self.writers[i](x)
                x = film(torch.relu(layer(x)), pair.gamma, pair.beta)
            else:
                x = act(self.kind, layer(x))
        return self.out(x)


class Recurrent(nn.Module):
    """A recurrent network: an LSTM, whose cell and output are FiLM-ed by its gates, or tanh of a linear map.

    Args:
        kind: `LSTM`, or `tanh RNN` with as many more features as give the same number of weights.
        features: features of the LSTM.
    """

    def __init__(self, kind: str, features: int = 96) -> None:
        super().__init__()
        self.is_gated = kind == "LSTM"
        # An LSTM has 4 f (16 + f) weights between letters and state, and f times the letters behind.
        widths = range(features, 4 * features)
        size = 4 * features * (16 + features) + features * LETTERS
        self.features = features if self.is_gated else min(widths, key=lambda w: abs(w * (16 + w + LETTERS) - size))
        self.embedding, self.out = nn.Embedding(LETTERS, 16), nn.Linear(self.features, LETTERS)
        self.step = nn.Linear(16 + self.features, self.features * (4 if self.is_gated else 1))
        if self.is_gated:
            nn.init.ones_(self.step.bias[features : 2 * features])  # to keep what the cell holds, at the start

    def forward(self, letters: Tensor) -> Tensor:
        """Map (batch, time) to logits of the letters after each, (batch, letters, time)."""
        state = cell = torch.zeros(len(letters), self.features)
        states = []
        for letter in self.embedding(letters).unbind(1):
            linear = self.step(torch.cat([letter, state], 1))
            if self.is_gated:
                inner, outer = lstm_gates(linear)
                cell = film(cell, inner.gamma, inner.beta)
                state = film(torch.tanh(cell), outer.gamma)
            else:
                state = torch.tanh(linear)
            states.append(state)
        return self.out(torch.stack(states, 1)).transpose(1, 2)


class Digits(nn.Module):
    """Digits to logits by two residual blocks, with or without squeeze-and-excitation behind each branch."""

    def __init__(self, squeezes: bool, channels: int = 24) -> None:
        super().__init__()
        self.stem, self.out = nn.Conv2d(1, channels, 3, padding=1), nn.Linear(channels, 10)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
                SelfConditioned(SqueezeExcitation(channels, 4)) if squeezes else nn.Identity(),
            ) for _ in range(2)
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        """Map (batch, 1, 8, 8) to (batch, 10)."""
        x = torch.relu(self.stem(pictures))
        for branch in self.branches:
            x = torch.relu(x + branch(x))
        return self.out(x.mean((2, 3)))


def trained(model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], rate: float) -> nn.Module:
    """Train a classifier on batches of inputs and classes."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for inputs, classes in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), classes).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def bits(make: Callable[[], nn.Module], seed: int, effort: float, steps: int, rate: float) -> Figures:
    """Return the bits that a network trained on excerpts needs for a character of the pages held out."""
    torch.manual_seed(seed)
    generator, model = torch.Generator().manual_seed(seed), make()
    rows = (excerpts(32, False, generator) for _ in range(max(1, round(steps * effort))))
    trained(model, ((row[:, :-1], row[:, 1:]) for row in rows), rate)
    test = excerpts(max(20, round(400 * effort)), True, torch.Generator().manual_seed(99))
    with torch.no_grad():
        nats = F.cross_entropy(model(test[:, :-1]), test[:, 1:])
    return {"figure": nats.item() / math.log(2), "weights": float(sum(p.numel() for p in model.parameters()))}


def clouded(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Change each picture's contrast, half of them to negatives, and its brightness, and lay noise over it."""
    contrast, brightness = torch.rand(2, len(pictures), 1, 1, 1, generator=generator) * 2 - 1
    contrast = contrast.sign() * (0.3 + 0.7 * contrast.abs())
    return contrast * pictures + brightness + 0.1 * torch.randn(pictures.shape, generator=generator)


def errors(squeezes: bool, seed: int, effort: float) -> Figures:
    """Return the percentage of held-out digits, each under ten clouds, that a network reads wrongly."""
    torch.manual_seed(seed)
    generator, model = torch.Generator().manual_seed(seed), Digits(squeezes)
    data, labels = load_digits(return_X_y=True)
    times, pictures, classes = (
        max(1, round(10 * effort)),
        torch.tensor(data / 16).float().view(-1, 1, 8, 8),
        torch.tensor(labels),
    )
    picks = (torch.randint(500, len(pictures), (64,), generator=generator) for _ in range(max(1, round(400 * effort))))
    trained(model, ((clouded(pictures[pick], generator), classes[pick]) for pick in picks), RATES["digits"])
    with torch.no_grad():
        said = model(clouded(pictures[:500].repeat(times, 1, 1, 1), torch.Generator().manual_seed(99))).argmax(1)
    wrong = (said != classes[:500].repeat(times)).float().mean().item()
    return {"figure": 100 * wrong, "weights": float(sum(p.numel() for p in model.parameters()))}


def cells(seed: int, effort: float) -> dict[str, Callable[[], Figures]]:
    """List what is measured with a seed."""
    stacks = {kind: partial(bits, partial(Convolutions, kind), seed, effort, 240, RATES["stacks"]) for kind in GATES}
    recurrent = {
        kind: partial(bits, partial(Recurrent, kind), seed, effort, 240, RATES["stacks"]) for kind in RECURRENT
    }
    deep = {f"{kind}, {depth} layers": partial(bits, partial(Layers, kind, depth), seed, effort, 160, RATES["deep"])
            for kind in DEEP for depth in DEPTHS}  # fmt: skip
    digits = {kind: partial(errors, squeezes, seed, effort) for kind, squeezes in SQUEEZES.items()}
    return {**stacks, **recurrent, **deep, **digits}


def draw(found: dict[str, list[float]], path: Path) -> None:
    """Draw bits by depth, bits by kind of network, and errors on clouded digits."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), width_ratios=[1.5, 1.5, 1])
    for i, kind in enumerate(DEEP):
        values = [found[f"{kind}, {depth} layers"] for depth in DEPTHS]
        axes[0].plot(DEPTHS, [mean(v) for v in values], "o-", ms=4, color=f"C{i}", label=kind)
        axes[0].fill_between(
            DEPTHS, *([side(v) for v in values] for side in (min, max)), color=f"C{i}", alpha=0.15, lw=0
        )
    axes[0].set(xscale="log", xlabel="layers, without residual connections", ylabel="bits per character",
                title="what a gate does to depth")  # fmt: skip
    axes[0].set_ylim(
        top=min(axes[0].get_ylim()[1], math.log2(LETTERS))
    )  # beyond, all letters alike would be a better guess
    axes[0].minorticks_off()
    axes[0].set_xticks(DEPTHS, DEPTHS)
    axes[0].legend(fontsize=8)
    for axis, kinds, title in ((axes[1], (*GATES, *RECURRENT), "convolutions, and recurrence"),
                               (axes[2], tuple(SQUEEZES), "clouded digits")):  # fmt: skip
        for i, kind in enumerate(kinds):
            axis.bar(i, mean(found[kind]), 0.7, color="C5" if kind in RECURRENT else f"C{i + 1}", alpha=0.6)
            axis.plot([i] * len(found[kind]), found[kind], "k.", ms=5)
        lowest, highest = (side(v for kind in kinds for v in found[kind]) for side in (min, max))
        axis.set(
            title=title, ylim=(lowest - 0.4 * (highest - lowest) - 0.01, highest + 0.1 * (highest - lowest) + 0.01)
        )
        axis.set_xticks(range(len(kinds)), [kind.replace("-and-", "-\nand-").replace(" ", "\n") for kind in kinds])
    axes[1].set_ylabel("bits per character")
    axes[2].set_ylabel("read wrongly, %")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def claims(found: dict[str, list[float]]) -> list[Claim]:
    """Compare with what the papers say; fewer bits, and fewer errors, are better."""
    deep, shallow = ({kind: found[f"{kind}, {depth} layers"] for kind in DEEP} for depth in (DEPTHS[-1], DEPTHS[0]))
    lost = {kind: [a - b for a, b in zip(deep[kind], shallow[kind], strict=True)] for kind in DEEP}
    middle = {
        kind: [a - b for a, b in zip(found[f"{kind}, {DEPTHS[1]} layers"], shallow[kind], strict=True)] for kind in DEEP
    }
    unit, none = "bits per character of pages held out", "no figure checked"
    dauphin = "Dauphin et al. 2017, gated linear units"
    return [
        Claim("Srivastava et al. 2015, highway networks", f"at {DEPTHS[-1]} layers a highway network learns, and has "
              "lost less by depth than a plain one with as many weights", none,
              f"{unit}; lost against {DEPTHS[0]} layers",
              {"highway": deep["highway"], "plain ReLU": deep["ReLU"], "plain tanh": deep["tanh"],
               "highway lost": lost["highway"], "ReLU lost": lost["ReLU"]},
              all_of(beats(deep["ReLU"], deep["highway"]), beats(lost["ReLU"], lost["highway"]))),
        Claim("Hu et al. 2018, squeeze-and-excitation", "a residual network errs less with it",
              "2.251 % top-5 error, ILSVRC 2017 (abstract)", "% of clouded digits read wrongly",
              {kind: found[kind] for kind in SQUEEZES}, beats(found["plain"], found["squeeze-and-excitation"])),
        Claim("Hochreiter and Schmidhuber 1997, LSTM", "with its gates, a recurrent network predicts better than "
              "without, at as many weights", none, unit, {kind: found[kind] for kind in RECURRENT},
              beats(found["tanh RNN"], found["LSTM"])),
        Claim(dauphin, "convolutions behind a GLU predict better than behind a GTU, at as many weights",
              "38.1 perplexity on Google Billion Word, GCNN-13 with GLU", unit,
              {kind: found[kind] for kind in ("GLU", "GTU")}, beats(found["GTU"], found["GLU"])),
        Claim(dauphin, "and better than ungated ones", "in order: GLU, ReLU, GTU, tanh", unit,
              {kind: found[kind] for kind in GATES},
              all_of(beats(found["ReLU"], found["GLU"]), beats(found["tanh"], found["GLU"]))),
        Claim(dauphin, f"a GLU has a linear path for the gradient: at {DEPTHS[-1]} layers without residual "
              "connections, it has lost less than a GTU", none, f"{unit}, lost against {DEPTHS[0]} layers",
              {"GLU": lost["GLU"], "GTU": lost["GTU"], f"at {DEPTHS[1]} layers GLU": middle["GLU"], "GTU at those":
               middle["GTU"]}, beats(lost["GTU"], lost["GLU"])),
        Claim("Gehring et al. 2017, ConvS2S", "stacked convolutions with GLUs do better than an LSTM, at about as many "
              "weights and as many characters read", none, unit, {kind: found[kind] for kind in ("GLU", "LSTM")},
              beats(found["LSTM"], found["GLU"])),
    ]  # fmt: skip


def main(out: str = "runs/article", seeds: int = 5, effort: float = 1.0) -> None:
    """Check the claims.

    Args:
        out: folder for figures, story and picture.
        seeds: number of seeds.
        effort: share of the full training budget.
    """
    kept, found = Kept(Path(out), "self_conditioned", effort), dict[str, list[float]]()
    todo = [(seed, name, compute) for seed in range(seeds) for name, compute in cells(seed, effort).items()]
    for seed, name, compute in tqdm(todo, desc="cells"):
        found.setdefault(name, []).append(kept(f"{name} seed {seed}", compute)["figure"])
    draw(found, Path(out) / "self_conditioned.png")
    Story("self_conditioned", ARTICLE, CAPTION, claims(found), effort, kept.seconds).write(Path(out))


if __name__ == "__main__":
    auto_cli(main)
