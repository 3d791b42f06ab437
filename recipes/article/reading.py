"""The gated-attention reader on a made-up cloze test: multiply against add against concatenate, and hops.

    python recipes/article/reading.py

A document is a row of people and places; a question asks for the first place after, or the last place before, a person.
Between them stand up to a dozen other people, so a reader that knows the question while it reads has little to keep in
mind: it marks the person, and hands the mark on to the next place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import torch
from claim import Claim, Figures, Kept, Story, all_of, beats
from jsonargparse import auto_cli
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning import film
from condgen.conditioning.self_conditioning import gated_attention

PEOPLE, PLACES, SHOWN = 100, 10, (14, 8)  # people and places that there are, and of each in a document
WORDS = PEOPLE + PLACES + 2  # the last two words ask for the place before, and after
POINTS = 8  # points of a learning curve
VARIANTS = {  # gating, hops
    "multiply": ("multiply", 2),
    "add": ("add", 2),
    "concatenate": ("concatenate", 2),
    "question last": ("none", 2),
    "multiply, 1 hop": ("multiply", 1),
    "multiply, 3 hops": ("multiply", 3),
}
ARTICLE = ("Its section on the literature has, for language, the gated-attention reader: a document's tokens are "
           "scaled by what they attend to in the question, between the layers that read them.")  # fmt: skip
CAPTION = ("Above: a document, with the person asked about, the question, and the answer. Below: share of new "
           "questions answered while the readers learn, and its mean; bands and dots are seeds.")  # fmt: skip


def questions(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Make up documents and questions.

    Returns:
        document: ids of people and places, each at most once, (documents, tokens).
        question: ids of the relation and the person, (documents, 2).
        answer: position of the place that is the answer, (documents,).
    """
    shuffled = [torch.rand(count, total, generator=generator).argsort(1)[:, :shown] + first
                for total, shown, first in zip((PEOPLE, PLACES), SHOWN, (0, PEOPLE), strict=True)]  # fmt: skip
    document = torch.cat(shuffled, 1)
    tokens = document.shape[1]
    document = document.gather(1, torch.rand(count, tokens, generator=generator).argsort(1))
    after, position, is_place = (
        torch.rand(count, 1, generator=generator) < 0.5,
        torch.arange(tokens),
        document >= PEOPLE,
    )
    following = torch.where(is_place, position, tokens).flip(1).cummin(1).values.flip(1)
    preceding = torch.where(is_place, position, -1).cummax(1).values
    answers = torch.where(after, following, preceding)
    can_be_asked = ~is_place & (answers >= 0) & (answers < tokens)
    asked = (torch.rand(count, tokens, generator=generator) * can_be_asked).argmax(1, keepdim=True)
    question = torch.cat([PEOPLE + PLACES + after.long(), document.gather(1, asked)], 1)
    return document, question, answers.gather(1, asked).squeeze(1)


class Reader(nn.Module):
    """A document and a question to scores of the document's tokens (Dhingra et al. 2017, section 3).

    Layers of two-way GRUs read both; between the layers, what each token attends to in the question acts on it.

    Args:
        gating: way in which it acts: `multiply`, `add`, `concatenate`, or `none`.
        hops: number of layers.
        features: features of a GRU, in each direction.
    """

    def __init__(self, gating: str, hops: int, features: int = 24) -> None:
        super().__init__()
        self.gating, self.embedding = gating, nn.Embedding(WORDS, features)
        between = 2 * features * (2 if gating == "concatenate" else 1)
        self.document = nn.ModuleList(
            nn.GRU(between if hop else features, features, batch_first=True, bidirectional=True) for hop in range(hops)
        )
        self.question = nn.ModuleList(
            nn.GRU(features, features, batch_first=True, bidirectional=True) for _ in range(hops)
        )

    def gated(self, states: Tensor, question: Tensor) -> Tensor:
        """Let the question, (batch, channels, words), act on states, (batch, channels, tokens)."""
        read, _ = gated_attention(states, question)
        if self.gating == "multiply":
            return film(states, read)
        if self.gating == "add":
            return film(states, beta=read)
        return torch.cat([states, read], 1) if self.gating == "concatenate" else states

    def forward(self, document: Tensor, question: Tensor) -> Tensor:
        """Map (batch, tokens) and (batch, words) to (batch, tokens)."""
        read, asked = self.embedding(document), self.embedding(question)
        (states, _), (words, last) = self.document[0](read), self.question[0](asked)
        for over_document, over_question in zip(self.document[1:], self.question[1:], strict=True):
            read = self.gated(states.transpose(1, 2), words.transpose(1, 2)).transpose(1, 2)
            (states, _), (words, last) = over_document(read), over_question(asked)
        scores = torch.einsum("btc,bc->bt", states, torch.cat([*last], 1))
        return scores.masked_fill(document < PEOPLE, -torch.inf)


def measure(variant: str, seed: int, effort: float, batch: int = 64) -> Figures:
    """Return the percentages of new questions that a reader answers while it learns."""
    torch.manual_seed(seed)
    generator, reader = torch.Generator().manual_seed(seed), Reader(*VARIANTS[variant])
    optimizer, steps, found = torch.optim.Adam(reader.parameters(), 3e-3), max(POINTS, round(320 * effort)), {}
    test = questions(max(50, round(1000 * effort)), torch.Generator().manual_seed(99))
    for step in range(1, steps + 1):
        document, question, answer = questions(batch, generator)
        optimizer.zero_grad()
        F.cross_entropy(reader(document, question), answer).backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        if step % (steps // POINTS) == 0:
            with torch.no_grad():
                right = reader(*test[:2]).argmax(1) == test[2]
            found[f"{step}"] = 100 * right.float().mean().item()
    return found


def draw(curves: Mapping[str, list[Figures]], path: Path) -> None:
    """Draw a question, the learning curves, and their means."""
    figure, axes = plt.subplot_mosaic([["question"] * 2, ["curves", "means"]], figsize=(11, 5), height_ratios=[1, 5])
    document, question, answer = questions(1, torch.Generator().manual_seed(3))
    for i, word in enumerate(document[0].tolist()):
        is_asked, is_answer, is_place = word == question[0, 1], i == answer[0], word >= PEOPLE
        colour = "tab:orange" if is_asked else "tab:green" if is_answer else "tab:blue" if is_place else "lightgray"
        name = f"place {word - PEOPLE}" if is_place else f"person {word}"
        axes["question"].text(i, 0, name.replace(" ", "\n"), ha="center", va="center", fontsize=7,
                              bbox={"boxstyle": "round", "fc": colour, "alpha": 0.6, "lw": 0})  # fmt: skip
    relation = "first place after" if question[0, 0] == WORDS - 1 else "last place before"
    axes["question"].set(xlim=(-0.7, document.shape[1] - 0.3), ylim=(-1, 1))
    axes["question"].set_title(f"Which is the {relation} person {question[0, 1]}?", fontsize=11)
    axes["question"].axis("off")
    for i, (variant, found) in enumerate(curves.items()):
        steps = [int(step) for step in found[0]]
        values = [list(curve.values()) for curve in found]
        centre = [mean(at) for at in zip(*values, strict=True)]
        axes["curves"].plot(steps, centre, "o-", ms=3, color=f"C{i}", label=variant)
        lowest, highest = ([side(at) for at in zip(*values, strict=True)] for side in (min, max))
        axes["curves"].fill_between(steps, lowest, highest, color=f"C{i}", alpha=0.15, lw=0)
        axes["means"].barh(i, mean(centre), color=f"C{i}", alpha=0.6)
        axes["means"].plot([mean(curve) for curve in values], [i] * len(values), "k.", ms=5)
    axes["curves"].axhline(100 / SHOWN[1], color="k", ls=":", lw=1)
    axes["curves"].set(xlabel="batches of 64 questions read", ylabel="new questions answered, %", ylim=(0, 102))
    axes["curves"].legend(fontsize=8)
    axes["means"].set_yticks(range(len(curves)), curves)
    axes["means"].invert_yaxis()
    axes["means"].set_xlabel("mean over that time, %")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(out: str = "runs/article", seeds: int = 5, effort: float = 1.0) -> None:
    """Check the claims.

    Args:
        out: folder for figures, story and picture.
        seeds: number of seeds.
        effort: share of the full training budget.
    """
    kept = Kept(Path(out), "reading", effort)
    figures = kept.each(VARIANTS, seeds, lambda variant, seed: measure(variant, seed, effort))
    curves = {variant: [{step: value for step, value in found.items() if step != "seconds"} for found in each]
              for variant, each in figures.items()}  # fmt: skip
    draw(curves, Path(out) / "reading.png")
    means = {variant: [mean(curve.values()) for curve in found] for variant, found in curves.items()}
    last = {variant: [list(curve.values())[-1] for curve in found] for variant, found in curves.items()}
    steps, system = list(curves["multiply"][0])[-1], "Dhingra et al. 2017, gated-attention reader"
    unit = f"% of new questions answered, mean over the first {steps} batches"
    Story("reading", ARTICLE, CAPTION, [
        Claim(system, "multiplying the document by the question beats adding it", "no figure checked", unit,
              {name: means[name] for name in ("multiply", "add")}, beats(means["multiply"], means["add"])),
        Claim(system, "multiplying beats concatenating", "no figure checked", unit,
              {name: means[name] for name in ("multiply", "concatenate")},
              beats(means["multiply"], means["concatenate"])),
        Claim(system, "knowing the question while reading beats comparing with it at the end, at equal depth; so do "
              "more hops than one", "no figure checked", f"% of new questions answered after {steps} batches",
              {name: last[name] for name in ("multiply", "question last", "multiply, 1 hop", "multiply, 3 hops")},
              all_of(beats(last["multiply"], last["question last"]), beats(last["multiply"], last["multiply, 1 hop"]))),
    ], effort, kept.seconds).write(Path(out))  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
