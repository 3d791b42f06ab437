"""Following one object through a clip: scales from the first frame, and biases, place by place, from the last mask.

    python recipes/article/segmentation.py

Shapes drift over a noisy ground. One of them is to be followed: the first frame shows it alone, and then a network goes
by its own mask of the frame before. A twin looks the same, so looks do not suffice; others cross its way, so places
do not either.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np
import torch
from claim import Claim, Figures, Kept, Story, all_of, beats
from jsonargparse import auto_cli
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning import FeatureMap, FiLM, FiLMGenerator, ImageEncoder, film_layers
from condgen.conditioning.mechanism import Mechanism

SIZE, FRAMES, OBJECTS = 24, 8, 5
STEPS, BATCH, RATE, TEST = 1200, 16, 5e-3, 128
# The mechanism of each condition, by variant: all that differs between them.
VARIANTS: dict[str, dict[str, Mechanism]] = {
    "both": {"first_frame": "scale", "mask": "bias"}, "first frame": {"first_frame": "scale"},
    "last mask": {"mask": "bias"},
}  # fmt: skip


@dataclass(frozen=True)
class Clips:
    """Clips of drifting shapes.

    Attributes:
        frames: frames, (batch, frames, 3, size, size).
        masks: what is to be seen of the object that is followed, (batch, frames, 1, size, size): 0 or 1.
    """

    frames: Tensor
    masks: Tensor

    def target(self) -> Tensor:
        """Return the first frame with all but the object black."""
        return self.frames[:, 0] * self.masks[:, 0]


def clips(batch: int, rng: torch.Generator) -> Clips:
    """Draw clips: object 0 is followed, object 1 is its twin, and any may lie before any other."""
    start = 3 + (SIZE - 6) * torch.rand(batch, OBJECTS, 2, generator=rng)
    speed = 3.0 * (torch.rand(batch, OBJECTS, 2, generator=rng) - 0.5)
    way = start[:, None] + speed[:, None] * torch.arange(FRAMES)[None, :, None, None]
    span = SIZE - 6
    centre = 3 + span - ((way - 3) % (2 * span) - span).abs()  # they bounce off the border
    colour, kind = torch.rand(batch, OBJECTS, 3, generator=rng), torch.randint(3, (batch, OBJECTS), generator=rng)
    colour[:, 1], kind[:, 1] = colour[:, 0], kind[:, 0]
    line = torch.arange(SIZE)
    dy = (line[:, None] - centre[..., 0, None, None]).abs()
    dx = (line[None, :] - centre[..., 1, None, None]).abs()
    inside = torch.stack([dx**2 + dy**2 < 9.5, torch.maximum(dx, dy) < 2.6, dx + dy < 3.8])  # disc, square, diamond
    own = kind[:, None, :, None, None].expand(1, -1, FRAMES, -1, SIZE, SIZE)
    inside = inside.gather(0, own)[0]
    return painted(inside, colour, rng)


def painted(inside: Tensor, colour: Tensor, rng: torch.Generator) -> Clips:
    """Paint objects, (batch, frames, objects, size, size), one over another, in an order of each clip's own."""
    batch = len(inside)
    order = torch.rand(batch, OBJECTS, generator=rng).argsort(1)
    frames = 0.4 + 0.15 * torch.randn(batch, FRAMES, 3, SIZE, SIZE, generator=rng)
    masks = torch.zeros(batch, FRAMES, 1, SIZE, SIZE)
    for turn in range(OBJECTS):
        which, rows = order[:, turn], torch.arange(batch)
        covers = inside[rows, :, which][:, :, None]
        frames = torch.where(covers, colour[rows, which][:, None, :, None, None], frames)
        masks = torch.where(covers, (which == 0).float().view(-1, 1, 1, 1, 1), masks)
    return Clips(frames.clip(0, 1), masks)


class Follower(nn.Module):
    """Segments a frame; FiLM after each convolution tells it what to look for, and about where.

    Args:
        variant: key of `VARIANTS`, which holds the conditions.
        width: channels.
    """

    def __init__(self, variant: str, width: int = 16) -> None:
        super().__init__()
        self.conditions = VARIANTS[variant]
        ins = ((3, 1), (width, 1), (width, 2))
        self.convs = nn.ModuleList([nn.Conv2d(a, width, 3, padding=d, dilation=d) for a, d in ins])
        self.films = nn.ModuleList([FiLM(width) for _ in self.convs])
        self.mask = nn.Conv2d(width, 1, 3, padding=1)
        encoders: dict[str, nn.Module] = {"first_frame": ImageEncoder(3, 48, 16), "mask": FeatureMap(1, 8)}
        self.generator = FiLMGenerator({n: encoders[n] for n in self.conditions}, film_layers(self), self.conditions)

    def forward(self, frame: Tensor, target: Tensor, last: Tensor) -> Tensor:
        """Return logits of the mask of (batch, 3, size, size), from the object alone and the mask before."""
        about = F.avg_pool2d(last, 7, 1, 3) * 2  # roughly where it was
        film = self.generator({n: {"first_frame": target, "mask": about}[n] for n in self.conditions})
        x = 2 * frame - 1
        for i, (conv, layer) in enumerate(zip(self.convs, self.films, strict=True)):
            x = F.relu(layer(conv(x), film[f"films.{i}"]))
        return self.mask(x)


def learn(follower: Follower, steps: int, seed: int) -> None:
    """Teach it single frames, with the true mask of the frame before, a little displaced: its own will be so."""
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(follower.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 * (1 - step / steps)))
    for _ in range(steps):
        of, rows = clips(BATCH, rng), torch.arange(BATCH)
        frame = torch.randint(1, FRAMES, (BATCH,), generator=rng)
        down, right = torch.randint(-1, 2, (2,), generator=rng).tolist()
        last = of.masks[rows, frame - 1].roll((down, right), (2, 3))
        logits = follower(of.frames[rows, frame], of.target(), last)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, of.masks[rows, frame], pos_weight=torch.tensor(3.0)).backward()
        optimizer.step()
        schedule.step()
    follower.eval()


@torch.no_grad()
def follow(follower: Follower, of: Clips) -> Tensor:
    """Follow the object through clips, by the masks that it finds itself: (batch, frames, 1, size, size)."""
    found = [of.masks[:, 0]]
    for frame in of.frames.unbind(1)[1:]:
        found.append((follower(frame, of.target(), found[-1]) > 0).float())
    return torch.stack(found, 1)


def overlap(found: Tensor, true: Tensor) -> Tensor:
    """Return intersection over union of masks by clip and frame, in %; 100 where neither has anything."""
    both, either = (found * true).sum((2, 3, 4)), torch.maximum(found, true).sum((2, 3, 4))
    return torch.where(either > 0, 100 * both / either.clamp(min=1), 100.0)


def cell(variant: str, seed: int, effort: float, folder: Path) -> Figures:
    """Train and test one variant; those of seed 0 leave the masks of some clips."""
    torch.manual_seed(seed)
    follower = Follower(variant)
    learn(follower, max(1, round(STEPS * effort)), seed)
    of = clips(max(16, round(TEST * min(effort, 1))), torch.Generator().manual_seed(seed + 500))
    found = follow(follower, of)
    if seed == 0:
        np.savez(folder / f"segmentation {variant}.npz", frames=of.frames[:2], found=found[:2], true=of.masks[:2])
    by_frame = overlap(found, of.masks)[:, 1:].mean(0).tolist()
    return {"overlap": mean(by_frame), **{f"frame {i}": value for i, value in enumerate(by_frame, 1)}}


def strip(frames: np.ndarray, border: int) -> np.ndarray:
    """Lay frames, (frames, channels, size, size), side by side: (channels, height, width)."""
    return np.concatenate(np.pad(frames, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=border), 2)


def draw(figures: dict[str, list[Figures]], folder: Path) -> None:
    """Draw two clips with the masks that each variant finds, and the overlap frame by frame."""
    kept = {variant: np.load(folder / f"segmentation {variant}.npz") for variant in VARIANTS}
    figure = plt.figure(figsize=(12, 5.6), layout="constrained")
    grid = figure.add_gridspec(2 * len(VARIANTS), 2, width_ratios=(3, 1.3))
    for row, (clip, name) in enumerate((clip, name) for clip in range(2) for name in VARIANTS):
        axes, of = figure.add_subplot(grid[row, 0]), kept[name]
        shown = of["frames"][clip] * (0.45 + 0.55 * of["found"][clip])
        axes.imshow(strip(shown, 1).transpose(1, 2, 0))
        axes.contour(strip(of["true"][clip], 0)[0], [0.5], colors="white", linewidths=0.8)
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.spines[:].set_visible(False)
    curve = figure.add_subplot(grid[:, 1])
    for variant, paint in zip(VARIANTS, ("#225588", "#cc7711", "#779933"), strict=True):
        values = [[found[f"frame {i}"] for found in figures[variant]] for i in range(1, FRAMES)]
        curve.plot(range(1, FRAMES), [mean(v) for v in values], color=paint, label=variant)
        curve.plot(range(1, FRAMES), values, ".", color=paint, markersize=4)
    curve.set(xlabel="frame", ylabel="intersection over union, %", ylim=(0, 100))
    curve.spines[["top", "right"]].set_visible(False)
    curve.legend(frameon=False)
    figure.savefig(folder / "segmentation.png", dpi=110)
    plt.close(figure)


def main(out: str = "runs/article", seeds: int = 5, effort: float = 1.0) -> None:
    """Train the followers, let them follow, and tell the story.

    Args:
        out: folder for figures, story and picture.
        seeds: number of seeds.
        effort: share of the full training budget.
    """
    folder, kept = Path(out), Kept(Path(out), "segmentation", effort)
    figures = kept.each(VARIANTS, seeds, lambda variant, seed: cell(variant, seed, effort, folder))
    draw(figures, folder)
    by = {variant: [found["overlap"] for found in figures[variant]] for variant in VARIANTS}
    claim = Claim(
        "Yang et al. 2018, network modulation",
        "scales from the first frame and biases from the last mask find the object better than either alone",
        "74.0 % on DAVIS 2016 with both (the authors' code); no figure checked for either alone",
        "mean intersection over union, %", by,
        all_of(beats(by["both"], by["first frame"]), beats(by["both"], by["last mask"])),
    )  # fmt: skip
    Story(
        "segmentation",
        "Its review of the literature tells of a segmentation network that takes channel-wise scales from the first "
        "frame of a clip, and biases that differ from place to place from the mask of the frame before.",
        "Two clips: what each variant finds is lit up, what it should find is outlined; and how well they keep to it.",
        [claim], effort, kept.seconds,
    ).write(folder)  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
