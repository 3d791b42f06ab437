"""A network of one's own, as a user would write it: a causal transformer over the pixels of an image, in raster order.

It knows of condgen what `condgen.models.contract` says, and nothing else. `test_contract` holds it to that; the
tests of the command line train, sample and evaluate it by its class path.
"""

import torch
from torch import nn
from torch.nn import functional as F

from condgen.conditioning import FiLM, GammaBeta, film_layers
from condgen.distributions import output_family


class Block(nn.Module):
    """Causal self-attention and a hidden layer, with FiLM before its nonlinearity."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden, self.film = nn.Linear(width, 2 * width), FiLM(2 * width, dims=1)
        self.output = nn.Linear(2 * width, width)

    def split(self, x):
        """Map (batch, time, width) to query, key and value, (batch, heads, time, width / heads) each."""
        return [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)]

    def forward(self, x, film, past=None):
        """Map (batch, time, width) to the same, and return the keys and values seen so far."""
        query, key, value = self.split(F.layer_norm(x, x.shape[-1:]))
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        hidden = self.film(self.hidden(F.layer_norm(x, x.shape[-1:])).transpose(1, 2), film).transpose(1, 2)
        return x + self.output(torch.relu(hidden)), (key, value)


def in_order(part):
    """Lay out spatial parameters, (batch, channels, height, width), in raster order; global ones serve every pixel."""
    return part if part.ndim == 2 else part.flatten(2)


class RasterTransformer(nn.Module):
    """Levels of a gray image to the logits of each pixel, from the pixels before it.

    Args:
        shape: channels (1), height and width of the images.
        levels: whole levels of each pixel.
        width: features of each position.
        layers: blocks.
        heads: attention heads.
    """

    agrees_with_data = ("shape", "levels")
    dim, blank, sample_rate = "dim", 0, None

    def __init__(self, shape: tuple[int, int, int], levels: int, width: int = 16, layers: int = 2, heads: int = 2):
        super().__init__()
        self.shape, self.levels = tuple(shape), levels
        self.output = output_family("categorical", 1, levels)
        self.enter = nn.Embedding(levels + 1, width)  # one more level stands for what is before the first pixel
        self.place = nn.Parameter(0.1 * torch.randn(shape[1] * shape[2], width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.head = nn.Linear(width, self.output.parameters)

    @property
    def film_layers(self):
        return film_layers(self)

    def film_of(self, film, layer):
        return (film or {}).get(f"blocks.{layer}.film", GammaBeta())

    def forward(self, x, film=None):
        film = self.checked(film)
        before = F.pad(x.flatten(1)[:, :-1].long(), (1, 0), value=self.levels)
        h = self.enter(before) + self.place
        for i, block in enumerate(self.blocks):
            h, _ = block(h, self.film_of(film, i).map(in_order))
        return self.head(h).transpose(1, 2).unflatten(-1, self.shape[1:])

    def checked(self, film):
        film = film or {}
        for name, pair in film.items():
            for part in pair.parts.values():
                if name not in self.film_layers or part.shape[1] != self.film_layers[name].channels:
                    raise ValueError("FiLM parameters of another network")
        return film

    def canvas(self, length=None, film=None):
        return self.shape

    def num_steps(self, canvas):
        return canvas[1] * canvas[2]

    def locate(self, step):
        return divmod(step, self.shape[2]), slice(0, 1), slice(None)

    def start(self, batch):
        first = torch.full((batch, 1), self.levels, device=self.place.device)
        return 0, first, [None] * len(self.blocks)

    def step(self, values, film, state):
        step, first, past = state
        before = first if values is None else values.long()
        h, kept = self.enter(before) + self.place[step], []
        for i, block in enumerate(self.blocks):
            h, seen = block(h, self.film_of(film, i).at(*divmod(step, self.shape[2])), past[i])
            kept.append(seen)
        return self.head(h)[:, 0], (step + 1, first, kept)
