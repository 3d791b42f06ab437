"""Many styles in one network: conditional instance norm, a predicted style, and AdaIN, on letters and drawn textures.

    python recipes/article/style_transfer.py

A style is a texture: a pattern, its angle and period, and two colours. The pictures to be restyled are letters. As no
pretrained network is at hand, what is left of a letter is measured in the features of a network that has learned to
read letters through any texture, and a texture in random features. Others than those in the losses judge whether a
letter can be read and a style be told; distances to a style are by the filters of the losses, on new pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import mean
from typing import TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import torch
from claim import Claim, Figures, Kept, Story, all_of, beats, reaches
from jsonargparse import auto_cli
from matplotlib.axes import Axes
from textures import Reader, Styles, Texture, letters, plain, read, styles, texture
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning import (
    ClassEmbedding,
    FiLM,
    FiLMGenerator,
    FiLMParameters,
    ImageEncoder,
    film_layers,
    self_conditioning,
)

N, MANY, ALONE = 16, (4, 16, 64), (0,)  # styles known by number; learned by predictors; that have a network alone
STEPS, BATCH, RATE, STYLE = 300, 16, 5e-3, 2.0  # STYLE: weight of the style's loss
PICTURES = 384  # pictures that are judged


class Painter(nn.Module):
    """Restyles pictures: convolutions, each normalised per picture and then modulated by FiLM."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        half = width // 2
        sizes = ((3, half), (half, width), (width, width), (width, width), (width, width), (width, half))
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 3, 2 if i == 1 else 1, 1) for i, (a, b) in enumerate(sizes)])
        self.films = nn.ModuleList([FiLM(b, "instance") for _, b in sizes])
        self.colours = nn.Conv2d(half, 3, 3, padding=1)

    def forward(self, x: Tensor, film: FiLMParameters) -> Tensor:
        """Restyle (batch, 3, size, size)."""
        for i, (conv, layer) in enumerate(zip(self.convs, self.films, strict=True)):
            found = F.relu(layer(conv(F.interpolate(x, scale_factor=2) if i == 5 else x), film[f"films.{i}"]))
            x = x + found if 2 <= i < 5 else found
        return torch.sigmoid(self.colours(x))


class Filmed(nn.Module):
    """A painter with the generator that reads which style is wanted: its number, a picture of it, or nothing.

    Args:
        encoder: encoder of the condition; `None` for none.
        shown: picture as the condition if true, else a number.
    """

    def __init__(self, encoder: nn.Module | None, shown: bool = False) -> None:
        super().__init__()
        self.painter, self.shown, self.known = Painter(), shown, encoder is not None
        encoders = {} if encoder is None else {"style": encoder}
        self.generator = FiLMGenerator(encoders, film_layers(self.painter), "film" if encoders else "none")

    def film(self, rows: Tensor, pictures: Tensor) -> FiLMParameters:
        """Write (γ, β) of styles, given by their numbers and by pictures of them."""
        return self.generator({"style": pictures if self.shown else rows} if self.known else {})

    def forward(self, x: Tensor, rows: Tensor, pictures: Tensor) -> Tensor:
        """Restyle (batch, 3, size, size)."""
        return self.painter(x, self.film(rows, pictures))


class AdaIN(nn.Module):
    """Adaptive instance norm: γ and β are statistics of the style's features, and only the decoder learns."""

    def __init__(self, texture: Texture) -> None:
        super().__init__()
        self.texture, self.film = texture, FiLM(48, "instance")
        self.decoder = nn.Sequential(
            nn.Conv2d(48, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1),
            nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor, rows: Tensor, pictures: Tensor) -> Tensor:
        """Restyle (batch, 3, size, size)."""
        content, style = (self.texture.features(picture)[..., ::2, ::2] for picture in (x, pictures))
        return self.decoder(self.film(content, self_conditioning.adaptive_instance_norm(style)))


System: TypeAlias = "Filmed | AdaIN"


@dataclass(frozen=True)
class Lesson:
    """What the painters of a seed have in common.

    Attributes:
        reader: reader whose features say what is left of a letter.
        texture: filters that say how far a texture is from another.
        known: styles of the lessons.
        unseen: styles of none.
        judge: reader that took no part in a loss; `touch` are such filters.
    """

    reader: Reader
    texture: Texture
    known: Styles
    unseen: Styles
    judge: Reader
    touch: Texture

    def losses(self, painted: Tensor, letters: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is lost of the letters, and how far the textures are from the styles'."""
        wanted = self.reader.content(letters)
        lost = F.mse_loss(self.reader.content(painted), wanted) / wanted.square().mean()
        return lost, self.texture.distance(painted, pictures).mean()


@cache
def lesson(seed: int, steps: int) -> Lesson:
    """Prepare what the painters of a seed have in common."""
    reader, judge = read(seed, steps), read(seed + 1000, steps)
    texture, touch = Texture(seed), Texture(seed + 1000)
    return Lesson(reader, texture, styles(max(MANY), seed + 10), styles(max(MANY), seed + 20), judge, touch)


def train(system: System, of: Lesson, rows: range, steps: int, seed: int) -> System:
    """Train a system to paint some of the known styles."""
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(system.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(steps, 2))
    for _ in range(steps):
        chosen = torch.tensor(rows)[torch.randint(len(rows), (BATCH,), generator=rng)]
        x, pictures = plain(letters(BATCH, rng)[0]), texture(of.known, chosen, rng)
        optimizer.zero_grad()
        content, style = of.losses(system(x, chosen, pictures), x, pictures)
        (content + STYLE * style).backward()
        optimizer.step()
        schedule.step()
    return system.eval()


@torch.no_grad()
def judged(system: System, of: Lesson, wanted: Styles, rows: range, pictures: int, seed: int) -> Figures:
    """Judge pictures in some styles: distance to the style; letters read and styles told from the others, in %."""
    rng = torch.Generator().manual_seed(seed + 30)
    mask, which = letters(pictures, rng)
    chosen = torch.tensor(rows)[torch.arange(pictures) % len(rows)]
    shown = texture(wanted, chosen, rng)
    painted = system(plain(mask), chosen, shown)
    return {"distance": of.texture.distance(painted, shown).mean().item(),
            "read": 100 * (of.judge(painted).argmax(1) == which).float().mean().item(),
            "told": 100 * (of.touch.told(painted, wanted, rows) == chosen).float().mean().item()}  # fmt: skip


def between(system: Filmed, x: Tensor, a: int, b: int, weights: Tensor) -> Tensor:
    """Paint one picture, (1, 3, size, size), in mixtures of two styles."""
    first, second = (system.film(torch.tensor([style]), x) for style in (a, b))
    return system.painter(x.expand(len(weights), -1, -1, -1), first.interpolate(second, weights))


@torch.no_grad()
def straight(system: Filmed, of: Lesson, seed: int) -> float:
    """Return the share of steps on ways between styles that lead to the second and away from the first, in %."""
    rng, found = torch.Generator().manual_seed(seed + 40), []
    for a in range(N):
        b, x = (a + 1) % N, plain(letters(1, rng)[0])
        painted = between(system, x, a, b, torch.linspace(0, 1, 6))
        to = [of.texture.distance(painted, texture(of.known, torch.full((6,), style), rng)) for style in (a, b)]
        found += [(to[0].diff() > 0).float().mean().item(), (to[1].diff() < 0).float().mean().item()]
    return 100 * mean(found)


def build(variant: str, of: Lesson) -> tuple[System, range]:
    """Return an untrained system, and the known styles that it learns."""
    kind, _, number = variant.partition(" ")
    if kind == "adain":
        return AdaIN(of.texture), range(max(MANY))
    if kind == "predicted":
        return Filmed(ImageEncoder(3, 32, 16), shown=True), range(int(number))
    if kind == "alone":
        return Filmed(None), range(int(number), int(number) + 1)
    return Filmed(ClassEmbedding(N, num_classes=N) if kind == "number" else None), range(N)


def cell(variant: str, seed: int, effort: float, folder: Path) -> Figures:
    """Train and judge one system; those of seed 0 leave pictures."""
    steps = max(1, round(STEPS * effort))
    of = lesson(seed, steps)
    torch.manual_seed(seed)
    system, rows = build(variant, of)
    train(system, of, rows, steps, seed)
    judge = partial(judged, system, of, pictures=max(32, round(PICTURES * min(effort, 1))), seed=seed)
    found = judge(of.known, range(N) if variant == "none" else rows)
    if variant in ("none", "number"):
        found |= {f"distance {i}": judge(of.known, range(i, i + 1))["distance"] for i in ALONE}
    if isinstance(system, Filmed) and variant == "number":
        sizes = {n: sum(p.numel() for p in part.parameters()) for n, part in system.named_children()}
        numbers = system.film(torch.tensor([0]), torch.empty(0)).flatten().shape[1]
        found |= {"straight": straight(system, of, seed), "share": 100 * numbers / (sizes["painter"] + numbers)}
    if variant.startswith(("predicted", "adain")):
        found |= {f"unseen {name}": value for name, value in judge(of.unseen, range(max(MANY))).items()}
    if seed == 0:
        np.save(folder / f"style_transfer {variant}.npy", shown(system, of, variant))
    return found


@torch.no_grad()
def shown(system: System, of: Lesson, variant: str) -> np.ndarray:
    """Paint what the picture shows of a system: (rows, columns, size, size, 3), the styles first."""
    rng, columns = torch.Generator().manual_seed(5), torch.arange(8)
    masks = plain(letters(4, rng)[0])[:, None]
    pictures = texture(of.known if variant == "number" else of.unseen, columns, rng)
    painted = [system(x.expand(8, -1, -1, -1), columns, pictures) for x in masks]
    if isinstance(system, Filmed) and variant == "number":
        ways = zip(masks, (7, 1, 5, 2), (6, 6, 3, 7), strict=True)
        painted += [between(system, x, a, b, torch.linspace(0, 1, 8)) for x, a, b in ways]
    return torch.stack([pictures, *painted]).movedim(2, -1).numpy()


def draw(figures: dict[str, list[Figures]], folder: Path) -> None:
    """Draw pictures of seed 0, and the distance to unseen styles by the number of styles that were learned."""
    known = np.load(folder / "style_transfer number.npy")
    variants = {f"predicted {n}": f"learned from {n}" for n in MANY} | {"adain": "AdaIN"}
    unseen = {words: np.load(folder / f"style_transfer {variant}.npy") for variant, words in variants.items()}
    figure, ((numbers, pictures), (ways, axes)) = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    tiles(numbers, known[:5], "One network, a style by its number", ["style"])
    tiles(ways, known[5:], "Between two styles: (1 − a)·p + a·q", [])
    rows = [next(iter(unseen.values()))[0], *(strips[1] for strips in unseen.values())]
    tiles(pictures, np.stack(rows), "Styles never seen, read from a picture", ["style", *unseen])
    for label, part, paint in (("unseen styles", "unseen distance", "#cc3311"), ("its own", "distance", "#0077bb")):
        values = [[f[part] for f in figures[f"predicted {n}"]] for n in MANY]
        axes.plot(MANY, [mean(v) for v in values], color=paint, label=f"predicted, {label}")
        axes.plot(MANY, values, "o", color=paint, markersize=4)
    axes.axhline(
        mean(f["unseen distance"] for f in figures["adain"]), color="0.3", linestyle="--", label="AdaIN, unseen"
    )
    axes.set(xscale="log", xticks=MANY, xticklabels=MANY, xlabel="styles learned from", ylabel="distance to the style")
    axes.minorticks_off()
    axes.set_ylim(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(folder / "style_transfer.png", dpi=110)
    plt.close(figure)


def tiles(axes: Axes, strips: np.ndarray, title: str, names: list[str]) -> None:
    """Draw rows of pictures, (rows, columns, size, size, 3), with names beside them."""
    framed = np.pad(strips.clip(0, 1), ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)
    axes.imshow(framed.swapaxes(1, 2).reshape(len(strips) * framed.shape[2], -1, 3))
    axes.set(title=title, xticks=[], yticks=(np.arange(len(names)) + 0.5) * framed.shape[2], yticklabels=names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def claims(figures: dict[str, list[Figures]]) -> list[Claim]:
    """Judge the papers' claims."""

    def of(variant: str, part: str) -> list[float]:
        return [found[part] for found in figures[variant]]

    def own(variant: str) -> list[float]:
        """Return the mean distance to the styles that have a network of their own."""
        return [mean(found[f"distance {i}"] for i in ALONE) for found in figures[variant]]

    alone = [mean(values) for values in zip(*(of(f"alone {i}", "distance") for i in ALONE), strict=True)]
    unaware, together = own("none"), own("number")
    none = of("none", "distance")
    fewest, more, most = (of(f"predicted {n}", "unseen distance") for n in MANY)
    seen, new = of("adain", "distance"), of("adain", "unseen distance")
    told, read_, share = of("number", "told"), of("number", "read"), of("number", "share")
    return [
        Claim(
            "Dumoulin et al. 2017, conditional instance norm",
            f"one network paints {N} styles, told apart by (γ, β) alone: 95 % of its pictures have the style asked for "
            "and 85 % can still be read",
            "32 styles in one network, at about 0.2 % of its parameters per style (at second hand)",
            "% of pictures; (γ, β) of a style in % of the network's parameters",
            {"style as asked": told, "without a style's number": of("none", "told"), "letter read": read_,
             "share": share}, all_of(reaches(told, 95), reaches(read_, 85)),
        ),
        Claim(
            "Dumoulin et al. 2017, conditional instance norm",
            "it comes as near to a style as a network of that style alone: it closes at least 80 % of what lies "
            "between a network that knows no styles and those",
            "no figure checked", "distance to the style",
            {"one network": together, "a network alone": alone, "no condition": unaware},
            reaches([(n - t) / (n - a) for n, t, a in zip(unaware, together, alone, strict=True)], 0.8),
        ),
        Claim(
            "Dumoulin et al. 2017, conditional instance norm",
            "a straight way between two styles' (γ, β) leads away from one and to the other, in 90 % of its steps",
            "no figure checked", "% of steps", {"right way": of("number", "straight")},
            reaches(of("number", "straight"), 90),
        ),
        Claim(
            "Ghiasi et al. 2017, style prediction",
            "styles never seen are painted from a picture, the better the more styles were learned",
            "no figure checked", "distance to unseen styles",
            {**{f"learned from {n}": of(f"predicted {n}", "unseen distance") for n in MANY}, "no condition": none},
            all_of(beats(fewest, more), beats(more, most)),
        ),
        Claim(
            "Huang and Belongie 2017, AdaIN",
            "mean and deviation of the style's features serve as (γ, β), nothing generates them, and unseen "
            "styles come within 10 % as near as learned ones",
            "no figure checked", "distance to the style; % of pictures with the unseen style asked for",
            {"learned": seen, "unseen": new, "no condition": none, "unseen as asked": of("adain", "unseen told")},
            all_of(beats([1.1 * s for s in seen], new), beats(none, new)),
        ),
    ]  # fmt: skip


def main(out: str = "runs/article", seeds: int = 5, effort: float = 1.0) -> None:
    """Train the painters, judge them, and tell the story.

    Args:
        out: folder for figures, story and picture.
        seeds: number of seeds.
        effort: share of the full training budget.
    """
    folder, kept = Path(out), Kept(Path(out), "style_transfer", effort)
    variants = ["none", "number", *(f"alone {i}" for i in ALONE), *(f"predicted {n}" for n in MANY), "adain"]
    figures = kept.each(variants, seeds, lambda variant, seed: cell(variant, seed, effort, folder))
    draw(figures, folder)
    Story(
        "style_transfer",
        "Its review of the literature, under style transfer, tells how one network came to hold many styles in the "
        "scales and offsets of its instance norms, then to predict them from a picture of the style, and at last to "
        "take them from that picture's own statistics.",
        "Letters in textures: styles by number, ways between two of them, styles never seen, and how near these come "
        "the more styles were learned.",
        claims(figures), effort, kept.seconds,
    ).write(folder)  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
