"""Questions about drawn scenes: FiLM and its ablations, multi-hop FiLM, and conditional batch norm on a frozen trunk.

    python recipes/article/visual_reasoning.py

A question is words in a row; the network that looks at the scene learns of it only by (γ, β).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np
import torch
from claim import Claim, Figures, Kept, Story, all_of, beats, reaches
from jsonargparse import auto_cli
from matplotlib.axes import Axes
from shapes import (
    ANSWERS,
    CELL,
    CELLS,
    COLOURS,
    EVERY,
    IDS,
    RELATIONAL,
    SHAPES,
    TYPES,
    WORDS,
    Scenes,
    answers,
    asked,
    dialogues,
    scenes,
    words,
)
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.analysis import (
    Change,
    Representation,
    ablate,
    feature_maps,
    neighbours,
    over_rows,
    project,
    statistics,
    whole,
)
from condgen.conditioning import FiLM, FiLMGenerator, FiLMParameters, MultiHopGenerator, TokenSequence, film_layers

STEPS, LONGER, BATCH, RATE, ROUNDS, TEST = 900, 2200, 64, 5e-3, 6, 1800  # longer where all types are asked about
# Mechanisms of Table 2 of Perez et al.; γ := σ(γ) leaves β free, so gate and bias read the same encoder.
KINDS: dict[str, str | dict[str, str]] = {
    "film": "film", "β := 0": "scale", "γ := 1": "bias", "γ := σ(γ)": {"gate": "gate", "shift": "bias"}, "none": "none",
}  # fmt: skip
OFTEN = torch.tensor([9.0, 9, 9, 1, 1, 1])  # of the types of questions: most are about one shape
Ask = Callable[[int, torch.Generator], tuple[Scenes, Tensor, Tensor, Tensor]]


class Reasoner(nn.Module):
    """Looks at scenes through residual blocks, each a convolution that is normalised and then modulated by FiLM."""

    def __init__(self, width: int = 48, says: int = len(ANSWERS)) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, CELL, CELL), nn.BatchNorm2d(width), nn.ReLU())
        self.convs = nn.ModuleList([nn.Conv2d(width, width, k, padding=k // 2, bias=False) for k in (1, 3)])
        self.films = nn.ModuleList([FiLM(width, "batch") for _ in self.convs])
        self.places = nn.ModuleList([nn.Conv2d(2, width, 1) for _ in range(3)])
        self.last, self.norm = nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width)
        self.answer = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, says))

    def look(self, pictures: Tensor, film: FiLMParameters) -> Tensor:
        """Return features of (batch, 3, size, size), the largest over all places: (batch, width)."""
        line = torch.linspace(-1, 1, CELLS)
        where = [place(torch.stack(torch.meshgrid(line, line, indexing="ij"))[None]) for place in self.places]
        x = self.stem(pictures)
        for i, (conv, layer) in enumerate(zip(self.convs, self.films, strict=True)):
            x = x + F.relu(layer(conv(x) + where[i], film[f"films.{i}"]))
        return F.relu(self.norm(self.last(x) + where[2])).amax((2, 3))

    def forward(self, pictures: Tensor, film: FiLMParameters) -> Tensor:
        """Return logits of the answers."""
        return self.answer(self.look(pictures, film))


class System(nn.Module):
    """A reasoner and the generator that reads the question.

    Args:
        kind: mechanism, one of `KINDS`.
        make: class of the generator.
    """

    def __init__(self, kind: str = "film", make: Callable[..., FiLMGenerator] = FiLMGenerator) -> None:
        super().__init__()
        mechanism, encoder = KINDS[kind], TokenSequence(64, WORDS)
        self.names = list(mechanism) if isinstance(mechanism, dict) else [] if kind == "none" else ["question"]
        self.looks = Reasoner()
        self.generator = make(dict.fromkeys(self.names, encoder), film_layers(self.looks), mechanism)

    def film(self, questions: Tensor) -> FiLMParameters:
        """Write (γ, β) of questions."""
        return self.generator(dict.fromkeys(self.names, questions))

    def forward(self, pictures: Tensor, questions: Tensor) -> Tensor:
        """Return logits of the answers."""
        return self.looks(pictures, self.film(questions))


class Modern(nn.Module):
    """A pretrained trunk, which stays as it is, and a head that multiplies its features with the question's.

    With conditional batch norm, the question adds to the trunk's own γ and β, at first nothing.

    Args:
        trunk: pretrained reasoner.
        own: generator of its own γ and β, that of a plain batch norm.
        conditional: additions of the question to them, made if true.
    """

    def __init__(self, trunk: Reasoner, own: FiLMGenerator, conditional: bool) -> None:
        super().__init__()
        self.trunk, self.encoder = trunk.requires_grad_(False), TokenSequence(64, WORDS)
        layers = film_layers(trunk)
        self.generator = FiLMGenerator({"question": self.encoder}, layers, "film") if conditional else own
        self.generator.load_state_dict(own.state_dict(), strict=False)  # γ and β of a plain batch norm: they stay
        for name, parameter in self.generator.named_parameters():
            parameter.requires_grad_(not name.startswith("own_"))
        self.conditional, self.fuse, self.answer = conditional, nn.Linear(64, 48), Reasoner().answer

    def train(self, mode: bool = True) -> Modern:
        """Keep the trunk's statistics as they are."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, pictures: Tensor, questions: Tensor) -> Tensor:
        """Return logits of the answers."""
        film = self.generator({"question": questions} if self.conditional else {})
        return self.answer(self.trunk.look(pictures, film) * self.fuse(self.encoder(questions)))


def ask(rounds: int, kinds: int, batch: int, rng: torch.Generator) -> tuple[Scenes, Tensor, Tensor, Tensor]:
    """Draw scenes and ask a question about each: scenes, types, ids of the words, and answers."""
    of = scenes(batch, rng)
    types = torch.multinomial(OFTEN[:kinds], batch, True, generator=rng)
    colours = torch.randint(len(COLOURS), (batch,), generator=rng)
    said = dialogues(types, colours, rounds, kinds, rng) if rounds else asked(types, colours, rng)
    return of, types, said, answers(of, types, colours)


def descend(loss: Callable[[], Tensor], parts: Mapping[float, Iterator[nn.Parameter]], steps: int) -> None:
    """Take steps of Adam, with learning rates by part."""
    groups = [{"params": [p for p in part if p.requires_grad], "lr": RATE * factor} for factor, part in parts.items()]
    optimizer = torch.optim.Adam([group for group in groups if group["params"]])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 * (1 - step / steps)))
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        schedule.step()


def learn(system: nn.Module, generator: nn.Module, put: Ask, steps: int, seed: int) -> None:
    """Teach a system to answer; what reads the question learns at twice the rate, since it starts from small states."""
    rng, slow = torch.Generator().manual_seed(seed), {id(p) for p in generator.parameters()}

    def loss() -> Tensor:
        of, _, said, wanted = put(BATCH, rng)
        return F.cross_entropy(system(of.pictures, said), wanted)

    descend(loss, {2.0: generator.parameters(), 1.0: (p for p in system.parameters() if id(p) not in slow)}, steps)
    system.eval()


@torch.no_grad()
def right(system: nn.Module, put: Ask, seed: int, number: int) -> Figures:
    """Return % of right answers to new questions about new scenes."""
    of, types, said, wanted = put(number, torch.Generator().manual_seed(seed + 500))
    hit = (system(of.pictures, said).argmax(1) == wanted).float() * 100
    found, simple = {"right": hit.mean().item(), "simple": hit[types < RELATIONAL].mean().item()}, types < RELATIONAL
    return found if simple.all() else {**found, "relational": hit[~simple].mean().item()}


@torch.no_grad()
def looked_into(system: System, put: Ask, seed: int, number: int) -> Figures:
    """Measure what γ and β each do at test time, and what the questions' representations are like."""
    of, _, said, wanted = put(number, torch.Generator().manual_seed(seed + 500))
    film, every = system.film(said), system.film(IDS)
    dealt = film.select(torch.randperm(number, generator=torch.Generator().manual_seed(seed)))
    shown = Representation(film, *over_rows(every), dealt)

    def loss(change: Change) -> float:
        return 100 * (system.looks(of.pictures, change(shown)).argmax(1) != wanted).float().mean().item()

    lost = ablate(loss, film, {}, noises=())
    kinds, maps = [TYPES[t] for t, _, _ in EVERY], statistics(feature_maps(every))
    near = neighbours(whole(every), kinds)
    assert near is not None
    return {"own": 100 - lost.own, "γ at its mean": 100 - lost.parts["gamma"],
            "β at its mean": 100 - lost.parts["beta"], "both at their means": 100 - lost.mean,
            "shuffled": 100 - lost.shuffled, "near": 100 * near.accuracy,
            "near, shuffled": 100 * near.shuffled, "between": 100 * maps.between["both"],
            "γ < 0": 100 * maps.negative["gamma"], "β < 0": 100 * maps.negative["beta"]}  # fmt: skip


def cell(variant: str, seed: int, effort: float, folder: Path) -> Figures:
    """Train and test one system; FiLM's of seed 0 leaves a map of its questions."""
    steps, number = max(1, round(STEPS * effort)), max(180, round(TEST * min(effort, 1)))
    torch.manual_seed(seed)
    if variant.startswith("trunk"):
        return modern(variant, seed, steps, number)
    hops, long = variant.startswith("multi-hop"), variant.endswith("long")
    put = partial(ask, ROUNDS if long else 0, RELATIONAL if long else len(TYPES))
    system = System(variant if variant in KINDS else "film", MultiHopGenerator if hops else FiLMGenerator)
    if long:  # to see is learned from dialogues of one round
        learn(system, system.generator, partial(ask, 1, RELATIONAL), steps, seed)
    learn(system, system.generator, put, steps if long else max(1, round(LONGER * effort)), seed)
    found = right(system, put, seed, number)
    if variant == "film":
        found |= looked_into(system, put, seed, number)
        if seed == 0:
            with torch.no_grad():
                film = system.film(IDS)
            maps = feature_maps(film).most_varied(2)
            np.savez(folder / "visual_reasoning.npz", map=project(whole(film)), maps=maps.points, names=maps.names)
    return found


def modern(variant: str, seed: int, steps: int, number: int) -> Figures:
    """Pretrain a trunk to name every colour's shape, and then answer questions with it."""
    rng, trunk = torch.Generator().manual_seed(seed), Reasoner(says=len(COLOURS) * len(SHAPES))
    own = FiLMGenerator({}, film_layers(trunk), "none")

    def loss() -> Tensor:
        of = scenes(BATCH, rng)
        return F.cross_entropy(trunk(of.pictures, own({})).unflatten(1, (len(SHAPES), -1)), of.shapes)

    descend(loss, {1.0: iter([*trunk.parameters(), *own.parameters()])}, max(1, steps // 2))
    put = partial(ask, 0, len(TYPES))
    system = Modern(trunk, own, conditional=variant == "trunk, conditional")
    if variant == "trunk, last block tuned":
        for part in (trunk.convs[1], trunk.last, trunk.norm, trunk.places[1], trunk.places[2]):
            part.requires_grad_(True)
        for parameter in own.parameters():
            parameter.requires_grad_(True)
    learn(system, nn.ModuleList([system.generator, system.encoder]), put, max(1, steps // 2), seed)
    return right(system, put, seed, number)


VARIANTS = (*KINDS, "multi-hop", "single, long", "multi-hop, long", "trunk, frozen", "trunk, last block tuned",
            "trunk, conditional")  # fmt: skip


def bars(axes: Axes, title: str, of: Mapping[str, list[float]]) -> None:
    """Draw a bar per variant, with a point per seed."""
    for i, (name, values) in enumerate(of.items()):
        axes.barh(i, mean(values), color="#88aacc" if i else "#225588")
        axes.plot(values, [i] * len(values), "k.", markersize=4)
        axes.text(2, i, name, va="center", color="white" if not i else "black", fontsize=9)
    axes.set(title=title, xlim=(0, 100), yticks=[], xlabel="% of answers right")
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)


def draw(figures: Mapping[str, list[Figures]], folder: Path) -> None:
    """Draw a scene with questions, the ablations, the map of the questions, and the (γ, β) of two feature maps."""
    kept, kinds = np.load(folder / "visual_reasoning.npz"), [t for t, _, _ in EVERY]

    def right_of(names: Mapping[str, str]) -> dict[str, list[float]]:
        return {name: [found["right"] for found in figures[variant]] for name, variant in names.items()}

    figure, axes = plt.subplots(2, 4, figsize=(15, 7), layout="constrained")
    scene = scenes(1, torch.Generator().manual_seed(4))
    axes[0, 0].imshow(scene.pictures[0].movedim(0, 2))
    lines = []
    for kind, question in enumerate([(t, t, t % 4) for t in range(len(TYPES))]):
        answer = answers(scene, torch.tensor([kind]), torch.tensor([question[1]]))
        lines.append(f"{' '.join(words(*question))}? {ANSWERS[int(answer)]}")
    axes[0, 0].set(title="A scene", xticks=[], yticks=[])
    axes[0, 0].set_xlabel("\n".join(lines), fontsize=9)
    bars(axes[0, 1], "FiLM, and less than FiLM", {k: [f["right"] for f in figures[k]] for k in KINDS})
    tested = ("own", "β at its mean", "γ at its mean", "both at their means", "shuffled")
    bars(axes[0, 2], "FiLM, changed at test time", {k: [f[k] for f in figures["film"]] for k in tested})
    names = {"multi-hop": "multi-hop, long", "one hop": "single, long"}
    bars(axes[0, 3], f"{3 * ROUNDS + 2} words that hold {ROUNDS} questions", right_of(names))
    names = {"conditional batch norm": "trunk, conditional", "last block tuned": "trunk, last block tuned",
             "head alone": "trunk, frozen"}  # fmt: skip
    bars(axes[1, 3], "A frozen trunk", right_of(names))
    paints = [f"C{kind}" for kind in kinds]
    for i, title in enumerate(["Questions by their (γ, β)", *kept["names"]]):
        x, y = kept["map"].T if i == 0 else kept["maps"][i - 1].T
        axes[1, i].scatter(x, y, c=paints, s=14, alpha=0.8, linewidths=0)
        axes[1, i].set(title=title, xlabel="γ" if i else "", ylabel="β" if i else "")
    axes[1, 0].set(xticks=[], yticks=[])
    for kind, name in enumerate(TYPES):
        axes[1, 0].scatter([], [], color=f"C{kind}", s=14, label=name)
    axes[1, 0].legend(fontsize=7, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.02))
    figure.savefig(folder / "visual_reasoning.png", dpi=110)
    plt.close(figure)


def claims(figures: Mapping[str, list[Figures]]) -> list[Claim]:
    """Judge the papers' claims."""

    def of(variant: str, part: str = "right") -> list[float]:
        return [found[part] for found in figures[variant]]

    film, scale, bias, gate, none = (of(kind) for kind in KINDS)
    lost = {part: [f["own"] - f[f"{part} at its mean"] for f in figures["film"]] for part in ("γ", "β")}
    one, many = of("single, long"), of("multi-hop, long")
    conditional, tuned = of("trunk, conditional"), of("trunk, last block tuned")
    perez, here = "Perez et al. 2018, FiLM", "% of answers right"
    return [
        Claim(perez, "at least 95 % of questions about one shape are answered right", "97.7 % on CLEVR (Table 1, at "
              "second hand)", here, {"about one": of("film", "simple"), "relational": of("film", "relational")},
              reaches(of("film", "simple"), 95)),
        Claim(perez, "the ablations come in the paper's order: all of FiLM, β := 0, then γ := 1 and γ := σ(γ), and far "
              "below, none", "97.4, 96.9, 95.9, 95.9, 21.4 % (Table 2, at second hand)", here,
              dict(zip(KINDS, (film, scale, bias, gate, none), strict=True)),
              all_of(beats(film, scale), beats(scale, bias), beats(scale, gate), beats(bias, none), beats(gate, none))),
        Claim(perez, "at test time, γ at its mean costs at least 20 points more than β at its mean",
              "65.4 points against 1.0 (at second hand)", "points lost", lost, beats(lost["γ"], lost["β"], by=20)),
        Claim(perez, "the (γ, β) of questions lie by type: of at least 90 %, the neighbours are of the same type",
              "91.9 % on the article's map; γ < 0 35.1 %, β < 0 70.4 %, 74.3 % of the variance between feature maps "
              "(computed from the article's parameters)", "% of questions, numbers and variance",
              {"by neighbours": of("film", "near"), "shuffled": of("film", "near, shuffled"), 
               "γ < 0": of("film", "γ < 0"),
               "β < 0": of("film", "β < 0"), "between maps": of("film", "between")}, reaches(of("film", "near"), 90)),
        Claim("Strub et al. 2018, multi-hop FiLM", "it wins on long texts, and on short ones loses at most 2 points",
              "on a par on ReferIt, significantly better on the dialogues of GuessWhat?! (abstract)", here,
              {"multi-hop, long": many, "one hop, long": one, "multi-hop, short": of("multi-hop"), "one, short": film},
              all_of(beats(many, one), beats(of("multi-hop"), film, by=-2))),
        Claim("de Vries et al. 2017, MODERN", "conditional batch norm on a frozen trunk beats tuning its last block",
              "VQA 56.1 % without, 58.6 % with it in all stages (Table 2, at second hand)", here,
              {"conditional": conditional, "last block tuned": tuned, "head alone": of("trunk, frozen")},
              beats(conditional, tuned)),
    ]  # fmt: skip


def main(out: str = "runs/article", seeds: int = 3, effort: float = 1.0) -> None:
    """Train the systems, look into FiLM's, and tell the story.

    Args:
        out: folder for figures, story and picture.
        seeds: number of seeds.
        effort: share of the full training budget.
    """
    folder, kept = Path(out), Kept(Path(out), "visual_reasoning", effort)
    figures = kept.each(VARIANTS, seeds, lambda variant, seed: cell(variant, seed, effort, folder))
    draw(figures, folder)
    Story(
        "visual_reasoning",
        "Its review of the literature, under visual question-answering, goes from a question that modulates a "
        "pretrained network's batch norms to FiLM, which is trained from pixels, and to FiLM in several hops.",
        "A scene, FiLM with parts of it taken away in training and at test time, long texts, a frozen trunk, and the "
        "questions' (γ, β): by t-SNE, and of the two feature maps that differ most between questions.",
        claims(figures), effort, kept.seconds,
    ).write(folder)  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
