"""Letters and textures, drawn on the spot, and what says how much of either is left in a picture."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torch.nn import functional as F

SIZE, LETTERS, PATTERNS = 24, "ABCDEHKRSX", 5
Styles = dict[str, Tensor]


def styles(number: int, seed: int) -> Styles:
    """Draw styles: a row each of pattern, angle, period, and two colours that differ in brightness."""
    rng = torch.Generator().manual_seed(seed)
    dark, bright = torch.rand(number, 3, generator=rng) * 0.55, 0.45 + torch.rand(number, 3, generator=rng) * 0.55
    return {"pattern": torch.randint(PATTERNS, (number,), generator=rng),
            "angle": torch.rand(number, generator=rng) * math.pi,
            "period": 3.5 + 4.5 * torch.rand(number, generator=rng),
            "colours": torch.stack([dark, bright], 1)}  # fmt: skip


def texture(of: Styles, rows: Tensor, rng: torch.Generator) -> Tensor:
    """Draw pictures of some styles, (batch, 3, size, size): the pattern begins anywhere."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    angle, period = of["angle"][rows, None, None], of["period"][rows, None, None]
    start = torch.rand(2, len(rows), 1, 1, generator=rng) * 2 * math.pi
    u = (x * angle.cos() + y * angle.sin()) * 2 * math.pi / period + start[0]
    v = (y * angle.cos() - x * angle.sin()) * 2 * math.pi / period + start[1]
    patterns = torch.stack([u.sin(), u.sin() * v.sin() * 1.5, u.cos() + v.cos() - 0.6, (u + 2 * (v / 2).sin()).sin(),
                            (u.sin() + (0.6 * u + 0.8 * v).sin()) * 0.8])  # fmt: skip
    height = torch.sigmoid(4 * patterns[of["pattern"][rows], torch.arange(len(rows))])[:, None]
    dark, bright = of["colours"][rows].unbind(1)
    return height * bright[..., None, None] + (1 - height) * dark[..., None, None]


@cache
def glyphs() -> Tensor:
    """Draw the letters in the fonts that matplotlib carries: (fonts, letters, 1, size, size), 1 where the ink is."""

    def one(font: str, letter: str) -> Tensor:
        file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
        image = Image.new("L", (SIZE, SIZE))
        middle = (SIZE / 2, SIZE / 2)
        ImageDraw.Draw(image).text(middle, letter, 255, ImageFont.truetype(str(file), SIZE - 3), anchor="mm")
        return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).float().view(1, SIZE, SIZE) / 255

    fonts = ("DejaVuSans-Bold", "DejaVuSansMono-Bold", "DejaVuSerif-Bold")
    return torch.stack([torch.stack([one(font, letter) for letter in LETTERS]) for font in fonts])


def letters(batch: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw letters, turned and moved a little: masks (batch, 1, size, size), and which they are (batch,)."""
    which, font = (torch.randint(high, (batch,), generator=rng) for high in (len(LETTERS), len(glyphs())))
    angle, moved = 0.3 * (torch.rand(batch, generator=rng) - 0.5), 0.3 * (torch.rand(batch, 2, generator=rng) - 0.5)
    rows = torch.stack([angle.cos(), -angle.sin(), moved[:, 0], angle.sin(), angle.cos(), moved[:, 1]], 1)
    grid = F.affine_grid(rows.view(-1, 2, 3), [batch, 1, SIZE, SIZE], align_corners=False)
    return F.grid_sample(glyphs()[font, which], grid, align_corners=False), which


def plain(mask: Tensor) -> Tensor:
    """Draw a mask as a dark letter on bright ground."""
    return (0.9 - 0.8 * mask).expand(-1, 3, -1, -1)


class Reader(nn.Module):
    """Reads letters; the last features before it says which are what is to stay of a picture."""

    def __init__(self) -> None:
        sizes = ((3, 16), (16, 32), (32, 32))
        layers = [m for a, b in sizes for m in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))]
        super().__init__()
        self.layers, self.names = nn.Sequential(*layers), nn.Linear(32 * 9, len(LETTERS))

    def content(self, x: Tensor) -> Tensor:
        """Return features of (batch, 3, size, size) at a quarter of the size."""
        return self.layers[:8](x)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of the letters."""
        return self.names(self.layers(x).flatten(1))


class Texture:
    """Random filters of three sizes with ReLU: a style is how their answers go together, whatever the place.

    Source: Ustyuzhaninov et al., "What does it take to generate natural textures?", ICLR 2017: random ones will do.
    """

    def __init__(self, seed: int, filters: int = 16) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.banks = [F.normalize(torch.randn(filters, 3 * k * k, generator=rng)).view(filters, 3, k, k)
                      for k in (3, 5, 9)]  # fmt: skip
        self.spread = self.gram(texture(styles(256, seed), torch.arange(256), rng)).std(0)

    def features(self, x: Tensor) -> Tensor:
        """Map (batch, 3, size, size) to (batch, features, size, size)."""
        sides = [(bank.shape[-1] // 2,) * 4 for bank in self.banks]
        found = [
            F.conv2d(F.pad(2 * x - 1, side, "reflect"), bank) for side, bank in zip(sides, self.banks, strict=True)
        ]
        return F.relu(torch.cat(found, 1))

    def gram(self, x: Tensor) -> Tensor:
        """Return the correlations of the features over positions, (batch, features²)."""
        found = self.features(x).flatten(2)
        return (found @ found.transpose(1, 2) / found.shape[2]).flatten(1)

    def distance(self, x: Tensor, pictures: Tensor) -> Tensor:
        """Return how far the textures of pictures are from those of others, (batch,): 2 between two at random."""
        return ((self.gram(x) - self.gram(pictures)) / self.spread).square().mean(1)

    def told(self, x: Tensor, of: Styles, rows: range) -> Tensor:
        """Return which of some styles pictures have, (batch,)."""
        rng = torch.Generator().manual_seed(0)
        typical = torch.stack([self.gram(texture(of, torch.full((8,), row), rng)).mean(0) for row in rows])
        return torch.tensor(rows)[torch.cdist(self.gram(x) / self.spread, typical / self.spread).argmin(1)]


def read(seed: int, steps: int) -> Reader:
    """Train a reader on letters behind a veil of some texture."""
    torch.manual_seed(seed)
    rng, reader, known = torch.Generator().manual_seed(seed), Reader(), styles(512, seed + 7)
    optimizer = torch.optim.Adam(reader.parameters(), 3e-3)
    for _ in range(steps):
        mask, which = letters(32, rng)
        veil = texture(known, torch.randint(512, (32,), generator=rng), rng)
        veiled = plain(mask).lerp(veil, 0.8 * torch.rand(32, 1, 1, 1, generator=rng))
        optimizer.zero_grad()
        F.cross_entropy(reader(veiled), which).backward()
        optimizer.step()
    return reader.eval().requires_grad_(False)
