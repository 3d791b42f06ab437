"""Five letters of an alphabet never seen, one example of each: a network that is conditioned on the task at hand.

    python recipes/article/few_shot.py

Source: Oreshkin et al., "TADAM: Task dependent adaptive metric for improved few-shot learning", NeurIPS 2018. The mean
of the examples' features stands for the task; a FiLM generator writes from it how every layer is to look at this task.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np
import torch
from bars import bars
from claim import Claim, Figures, Kept, Story, beats
from glyphs import varied
from jsonargparse import auto_cli
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from condgen.conditioning import FeatureVector, FiLM, FiLMGenerator, FiLMParameters, film_layers
from condgen.conditioning.film import FIXED

SIDE, WAYS, QUERIES, STEPS, TRIALS = 16, 5, 5, 800, 200
KNOWN = ["ABCDEFGHIJKLMNPQRSTUVWXYZ", "abdefghjkmnqrtuy", "αβγδεζηθλμξπρσφχψω", "бвгджзийлмнптфцчшщъыьэюя"]
NEW = ["ԱԲԳԴԵԶԷԸԹԺԻԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՓՔ", "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ"]  # Armenian and Georgian
FONTS = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic",
         "DejaVuSansMono-Bold")  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a network is trained with: task conditioning, post-multipliers in it, co-training to name all letters."""

    task: bool = False
    multipliers: bool = False
    co_training: bool = False


VARIANTS = {
    "metric alone": Variant(),
    "co-training": Variant(co_training=True),
    "task conditioning": Variant(task=True, multipliers=True),
    "both": Variant(task=True, multipliers=True, co_training=True),
    "both, without post-multipliers": Variant(task=True, co_training=True),
}


@cache
def drawn(alphabets: tuple[str, ...], each: int) -> list[Tensor]:
    """Draw every letter of some alphabets in every font: (letters, pictures, 1, SIDE, SIDE) each."""
    chance, fonts = np.random.default_rng(0), FONTS * each
    return [torch.stack([torch.stack([varied(letter, font, SIDE, chance, turn=30)[None] for font in fonts])
                         for letter in alphabet]) for alphabet in alphabets]  # fmt: skip


class Network(nn.Module):
    """Three convolutions with FiLM behind each batch norm, and what a variant asks for.

    Args:
        variant: variant.
        letters: number of letters that co-training names.
    """

    def __init__(self, variant: Variant, letters: int) -> None:
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(inputs, 32, 3, padding=1) for inputs in (1, 32, 32))
        self.norm = nn.ModuleList(nn.BatchNorm2d(32) for _ in self.conv)
        self.film = nn.ModuleList(FiLM(32) for _ in self.conv)
        self.scale = nn.Parameter(torch.tensor(1.0))  # of distances: the paper's metric scaling α
        self.name = nn.Linear(128, letters)
        encoder, layers = FeatureVector(128, 64), film_layers(self)
        self.generator = FiLMGenerator({"task": encoder}, layers, "film", depth=2,
                                       post_multiplier=variant.multipliers) if variant.task else None  # fmt: skip

    def embed(self, x: Tensor, film: FiLMParameters | None = None) -> Tensor:
        """Map pictures, (batch, 1, SIDE, SIDE), to features, (batch, 128)."""
        pairs = [FIXED] * len(self.film) if film is None else list(film.values())
        for conv, norm, layer, pair in zip(self.conv, self.norm, self.film, pairs, strict=True):
            x = F.max_pool2d(torch.relu(layer(norm(conv(x)), pair)), 2)
        return x.flatten(1)

    def forward(self, support: Tensor, queries: Tensor) -> Tensor:
        """Score queries against one example of each class: (queries, classes)."""
        film = None
        if self.generator is not None:
            # One task: the mean of the classes' features, of the network as it is without conditioning.
            film = self.generator({"task": self.embed(support).mean(0, keepdim=True)})
        features = self.embed(torch.cat([support, queries]), film)
        prototypes, asked = features[: len(support)], features[len(support) :]
        return -self.scale * (asked[:, None] - prototypes).square().mean(2)

    def multipliers(self) -> Tensor:
        """Return γ₀ and β₀ of all layers, (2, layers); none are all 1."""
        post = None if self.generator is None else self.generator.post
        return torch.ones(2, len(self.film)) if post is None else torch.stack([*post.by_part.values()])


def episode(alphabets: list[Tensor], chance: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw five letters of one alphabet: an example of each, queries, and the queries' classes."""
    alphabet = alphabets[int(torch.randint(len(alphabets), (1,), generator=chance))]
    letters = torch.randperm(len(alphabet), generator=chance)[:WAYS]
    places = torch.stack([torch.randperm(alphabet.shape[1], generator=chance)[: 1 + QUERIES] for _ in letters])
    pictures = alphabet[letters[:, None], places]
    return pictures[:, 0], pictures[:, 1:].flatten(0, 1), torch.arange(WAYS).repeat_interleave(QUERIES)


def train(network: Network, variant: Variant, alphabets: list[Tensor], steps: int, chance: torch.Generator) -> None:
    """Train on episodes; with co-training, some steps name letters out of all, fewer and fewer of them."""
    letters, optimizer = torch.cat(alphabets), torch.optim.Adam(network.parameters(), lr=2e-3)
    for step in range(steps):
        if variant.co_training and torch.rand((), generator=chance) < 0.9 ** (20 * step // steps):
            rows = torch.randint(len(letters), (64,), generator=chance)
            places = torch.randint(letters.shape[1], (64,), generator=chance)
            loss = F.cross_entropy(network.name(network.embed(letters[rows, places])), rows)
        else:
            support, queries, classes = episode(alphabets, chance)
            loss = F.cross_entropy(network(support, queries), classes)
        if variant.multipliers:
            loss = loss + 0.01 * network.multipliers().square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def accuracy(network: Network, alphabets: list[Tensor], trials: int, seed: int) -> float:
    """Return the percentage of queries whose class is found."""
    chance, right = torch.Generator().manual_seed(seed), []
    for _ in range(trials):
        support, queries, classes = episode(alphabets, chance)
        right.append(float((network(support, queries).argmax(1) == classes).double().mean()))
    return 100 * mean(right)


def run(variant: Variant, seed: int, effort: float) -> Figures:
    """Train on known alphabets; return what is read of new ones."""
    torch.manual_seed(seed)
    each, chance = max(1, round(3 * min(1, effort))), torch.Generator().manual_seed(seed)
    known, new = drawn(tuple(KNOWN), each), drawn(tuple(NEW), each)
    network, trials = Network(variant, sum(map(len, KNOWN))), max(1, round(TRIALS * min(1, effort)))
    train(network, variant, known, max(1, round(STEPS * effort)), chance)
    network.eval()
    figures = {"new": accuracy(network, new, trials, 1), "known": accuracy(network, known, trials, 1)}
    sizes = network.multipliers().abs().detach()
    return figures | {f"{part} {i}": float(size) for part, row in zip(("γ", "β"), sizes, strict=True)
                      for i, size in enumerate(row)}  # fmt: skip


def draw(found: dict[tuple[str, int], Figures], path: Path) -> None:
    """Draw an episode, what each variant reads, and how much each layer is conditioned."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 3.8), layout="constrained", width_ratios=[1, 1.5, 1])
    support, queries, _ = episode(drawn(tuple(NEW), 1), torch.Generator().manual_seed(4))
    rows = torch.cat([support[:, None], queries.unflatten(0, (WAYS, QUERIES))], 1)[:, :, 0]
    axes[0].imshow(rows.permute(0, 2, 1, 3).reshape(WAYS * SIDE, -1), cmap="gray_r")
    axes[0].axvline(SIDE - 0.5, color="crimson")
    axes[0].set_axis_off()
    axes[0].set_title("a task: five letters, one example each, and queries", fontsize=10)
    read = {name.replace(", ", ",\n"): {f"{part} alphabets": [run[part] for (n, _), run in found.items() if n == name]
                                        for part in ("known", "new")} for name in VARIANTS}  # fmt: skip
    bars(axes[1], read, ("0.75", "tab:blue"))
    lowest = min(min(run["new"], run["known"]) for run in found.values())
    axes[1].set(ylabel="queries read right, %", ylim=(max(0, lowest - 5), 108))
    both = [figures for (name, _), figures in found.items() if name == "both"]
    sizes = {f"layer {i + 1}": {f"|{p}₀|": [run[f"{p} {i}"] for run in both] for p in ("γ", "β")} for i in range(3)}
    bars(axes[2], sizes, ("tab:blue", "tab:orange"))
    axes[2].margins(y=0.2)
    axes[2].set_title("post-multipliers: how much each layer is conditioned", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def claims(found: dict[tuple[str, int], Figures]) -> list[Claim]:
    """Say what came out."""
    new = {name: [figures["new"] for (n, _), figures in found.items() if n == name] for name in VARIANTS}
    system, unit = "Oreshkin et al. 2018, TADAM", "% of queries of new alphabets read right, five ways, one shot"

    def claim(words: str, published: str, better: str, worse: str) -> Claim:
        here = {better: new[better], worse: new[worse]}
        return Claim(system, words, published, unit, here, beats(new[better], new[worse]))

    table = "mini-ImageNet, one shot, its table of results"
    return [
        claim("Task conditioning with co-training is better than the scaled metric alone",
              f"58.5 ± 0.3 % against 56.8 % ({table})", "both", "metric alone"),
        claim("Task conditioning without co-training is worse than none", f"54.4 % against 56.8 % ({table})",
              "metric alone", "task conditioning"),
        claim("Task conditioning adds to co-training", "no figure checked", "both", "co-training"),
        claim("Post-multipliers make task conditioning better", "no figure checked", "both",
              "both, without post-multipliers"),
    ]  # fmt: skip


def main(out: str = "runs/article", seeds: int = 3, effort: float = 1.0) -> None:
    """Train on episodes of known alphabets, read new ones; write the story and its picture.

    Args:
        out: folder for figures, story and picture.
        seeds: number of seeds.
        effort: share of the full training budget.
    """
    torch.set_num_threads(1)
    kept, cells = Kept(Path(out), "few_shot", effort), list(itertools.product(VARIANTS, range(seeds)))
    found = {(n, s): kept(f"{n} seed {s}", partial(run, VARIANTS[n], s, effort)) for n, s in tqdm(cells, desc="runs")}
    draw(found, Path(out) / "few_shot.png")
    Story(
        "few_shot",
        "Section “Domain adaptation and few-shot learning”: for few-shot learning, Oreshkin et al. condition "
        "the features on the task, through the mean of its classes' prototypes.",
        "Left: a task, examples before the line and queries behind it. Middle: queries read right, each seed a dot. "
        "Right: what the post-multipliers of “both” came to.",
        claims(found), effort, kept.seconds,
    ).write(Path(out))  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
