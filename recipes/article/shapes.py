"""Scenes of six coloured shapes and questions about them, drawn on the spot, as in Sort-of-CLEVR.

Source: Santoro et al., "A simple neural network module for relational reasoning", 2017, section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from condgen.conditioning.token_sequence import padded_ids

SIZE, CELLS, CELL = 16, 4, 4
COLOURS = {"red": (1.0, 0.1, 0.1), "green": (0.1, 0.8, 0.1), "blue": (0.2, 0.3, 1.0), "orange": (1.0, 0.6, 0.0),
           "white": (1.0, 1.0, 1.0), "violet": (0.8, 0.2, 1.0)}  # fmt: skip
SHAPES = {"square": "111111111", "ring": "111101111", "cross": "101010101"}
# Types of questions: the first three are about one shape, the others relate it to the rest. Each has four wordings.
TYPES, RELATIONAL = ("shape", "side", "height", "nearest", "farthest", "count"), 3
WORDINGS = ("KEY of X", "X what KEY", "which KEY has X", "tell me the KEY of X")
ANSWERS = (*SHAPES, "left", "right", "high", "low", *(str(n) for n in range(1, len(COLOURS) + 1)))
ROUNDS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


@dataclass(frozen=True)
class Scenes:
    """Scenes of six shapes, one of each colour.

    Attributes:
        pictures: pictures, (batch, 3, size, size).
        shapes: shape of each colour's, (batch, 6).
        places: row and column of its upper left corner, (batch, 6, 2).
    """

    pictures: Tensor
    shapes: Tensor
    places: Tensor


def scenes(batch: int, rng: torch.Generator) -> Scenes:
    """Draw scenes: each shape lies somewhere in a cell of its own."""
    number = len(COLOURS)
    cells = torch.rand(batch, CELLS**2, generator=rng).argsort(1)[:, :number]
    places = CELL * torch.stack([cells // CELLS, cells % CELLS], 2)
    places = places + torch.randint(CELL - 2, (batch, number, 2), generator=rng)
    shapes = torch.randint(len(SHAPES), (batch, number), generator=rng)
    ink = torch.tensor([[float(c) for c in bits] for bits in SHAPES.values()])[shapes]
    offsets = torch.tensor([[y, x] for y in range(3) for x in range(3)])
    at = places[:, :, None] + offsets
    colours = torch.tensor(list(COLOURS.values()))[None, :, None] * ink[..., None]
    flat = torch.zeros(batch, SIZE**2, 3)
    flat.scatter_add_(
        1, (SIZE * at[..., 0] + at[..., 1]).flatten(1)[..., None].expand(-1, -1, 3), colours.flatten(1, 2)
    )
    return Scenes(flat.transpose(1, 2).unflatten(2, (SIZE, SIZE)), shapes, places)


def answers(of: Scenes, types: Tensor, colours: Tensor) -> Tensor:
    """Answer a question about each scene, by its type and the colour that it is about: (batch,)."""
    rows = torch.arange(len(types))
    (row, column), shape = of.places[rows, colours].unbind(1), of.shapes[rows, colours]
    apart = (of.places - of.places[rows, colours][:, None]).square().sum(2).double()
    apart += torch.arange(len(COLOURS)) * 1e-3  # of two that are as far, the first of the colours counts as nearer
    nearest = of.shapes[rows, apart.index_put((rows, colours), torch.tensor(torch.inf).double()).argmin(1)]
    farthest = of.shapes[rows, apart.argmax(1)]
    count = (of.shapes == shape[:, None]).sum(1)
    half = SIZE // 2
    each = (shape, 3 + (column >= half).long(), 5 + (row >= half).long(), nearest, farthest, 6 + count)
    return torch.stack(each, 1)[rows, types]


def words(kind: int, colour: int, wording: int) -> list[str]:
    """Put a question into words."""
    return WORDINGS[wording].replace("KEY", TYPES[kind]).replace("X", tuple(COLOURS)[colour]).split()


EVERY = [(t, c, w) for t in range(len(TYPES)) for c in range(len(COLOURS)) for w in range(len(WORDINGS))]
WORDS = sorted({word for question in EVERY for word in words(*question)} | {*ROUNDS, "now"})
IDS = padded_ids([words(*question) for question in EVERY], WORDS)  # of every question


def asked(types: Tensor, colours: Tensor, rng: torch.Generator) -> Tensor:
    """Ask questions in one wording or another: ids of their words, (batch, tokens)."""
    wordings = torch.randint(len(WORDINGS), types.shape, generator=rng)
    return IDS.view(len(TYPES), len(COLOURS), len(WORDINGS), -1)[types, colours, wordings]


def dialogues(types: Tensor, colours: Tensor, rounds: int, kinds: int, rng: torch.Generator) -> Tensor:
    """Hide questions in dialogues: ids of words, (batch, 3 · rounds + 2).

    Each round is a number, a colour and one of the first few types; "now" and a number at the end say which is meant.
    """
    ids = {word: i for i, word in enumerate(WORDS, 1)}
    said = [torch.tensor([ids[word] for word in known]) for known in (ROUNDS, COLOURS, TYPES)]
    batch, rows = len(types), torch.arange(len(types))
    meant = torch.randint(rounds, (batch,), generator=rng)
    c, t = (torch.randint(n, (batch, rounds), generator=rng) for n in (len(COLOURS), kinds))
    c[rows, meant], t[rows, meant] = colours, types
    told = torch.stack([said[0][:rounds].expand(batch, -1), said[1][c], said[2][t]], 2).flatten(1)
    return torch.cat([told, torch.full((batch, 1), ids["now"]), said[0][meant][:, None]], 1)
