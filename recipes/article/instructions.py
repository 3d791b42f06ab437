"""Instructions in a grid world: gated attention against concatenation, and a FiLM model of reward.

    python recipes/article/instructions.py

An agent sees a world of coloured shapes around itself, reads "go to the red ring", and may step on no other object.
Some pairs of a colour and a shape are neither asked for nor shown when policies are cloned from shortest paths. Then a
reward model that was shown goal states, and never how to come there, teaches a policy the pairs held out.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from bars import bars
from claim import Claim, Figures, Kept, Story, all_of, beats, reaches
from jsonargparse import auto_cli
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning import FiLM, FiLMGenerator, GammaBeta, TokenSequence, film_layers
from condgen.conditioning.film import FIXED
from condgen.conditioning.film_generator import Conditioning
from condgen.conditioning.token_sequence import padded_ids

SIDE, CELL, STEPS = 5, 5, 12  # cells of the world's side, pixels of a cell's side, steps of an episode
VIEW = 2 * SIDE - 1  # cells of the side of what is seen: all of the world, with the agent in the middle
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "pink": (1, 0, 1),
           "white": (1, 1, 1)}  # fmt: skip
SHAPES = {"cross": "..#.. ..#.. ##### ..#.. ..#..", "ring": ".###. #...# #...# #...# .###.",
          "ladder": "#...# ##### #...# ##### #...#", "ball": "..... .###. .###. .###. ....."}  # fmt: skip
KINDS = [(colour, shape) for colour in COLOURS for shape in SHAPES]
HELD_OUT = [i * len(SHAPES) + i for i in range(len(SHAPES))]  # red cross, green ring, blue ladder, yellow ball
SEEN = [kind for kind in range(len(KINDS)) if kind not in HELD_OUT]
ALL = list(range(len(KINDS)))
WORDS = ["go", "to", "the", *COLOURS, *SHAPES]
INSTRUCTIONS = padded_ids([["go", "to", "the", *kind] for kind in KINDS], WORDS)  # (kinds, words)
MOVES = torch.tensor([[-1, 0], [1, 0], [0, -1], [0, 1]])
VARIANTS: dict[str, tuple[str, Conditioning]] = {
    "gated attention": ("maps", "gate"),
    "FiLM": ("maps", "film"),
    "concatenation": ("vector", "bias"),  # to the vector of the whole map: by linearity, a bias of the layer after it
}
SOURCES = ("world", "model", "model, other word")
ARTICLE = ("Its section on the literature counts among the uses in reinforcement learning gated attention, by which an "
           "instruction gates the feature maps of what an agent sees, and the FiLM layers through which AGILE's policy "
           "reads its own.")  # fmt: skip
CAPTION = ("What the agent sees, with the shortest ways; success on instructions seen and held out; and success on the "
           "held-out ones after reinforcement learning on three sources of reward. Dots are seeds, the dotted line is "
           "the share of the right object among the four.")  # fmt: skip


def tiles() -> Tensor:
    """Draw the kinds of objects, then an empty cell and a wall, (kinds + 2, 3, pixels, pixels)."""
    glyphs = {name: torch.tensor([[c == "#" for c in row] for row in rows.split()]) for name, rows in SHAPES.items()}
    objects = [torch.tensor(COLOURS[c])[:, None, None] * glyphs[s] for c, s in KINDS]
    return torch.stack([*objects, torch.zeros(3, CELL, CELL), torch.full((3, CELL, CELL), 0.5)]).float()


TILES = tiles()


def worlds(count: int, asked: list[int], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Lay out worlds: one object is asked for, one has its colour, one its shape, one neither.

    Returns:
        kinds: kinds of the objects, (worlds, 4), the one asked for first; the others are of a
            held-out pair only in worlds where such pairs are asked for.
        cells: cells of the objects, (worlds, 4).
        agent: cell of the agent, (worlds,).
    """
    target = torch.tensor(asked)[torch.randint(len(asked), (count,), generator=generator)]
    others = torch.tensor(SEEN if set(asked) <= set(SEEN) else ALL)
    colour = others // len(SHAPES) == target[:, None] // len(SHAPES)
    shape = others % len(SHAPES) == target[:, None] % len(SHAPES)
    chosen = [(torch.rand(count, len(others), generator=generator) * fits).argmax(1)
              for fits in (colour & ~shape, shape & ~colour, ~shape & ~colour)]  # fmt: skip
    cells = torch.rand(count, SIDE**2, generator=generator).argsort(1)[:, :5]
    return torch.stack([target, *(others[choice] for choice in chosen)], 1), cells[:, :4], cells[:, 4]


def see(kinds: Tensor, cells: Tensor, agent: Tensor) -> Tensor:
    """Draw what agents see, (worlds, 3, height, width): the world with the agent in the middle, and walls around."""
    rows, y, x = torch.arange(len(kinds))[:, None], agent // SIDE, agent % SIDE
    near = torch.arange(VIEW) - SIDE + 1
    inside = [((near + place[:, None]) % SIDE == near + place[:, None]) for place in (y, x)]
    what = torch.where(inside[0][:, :, None] & inside[1][:, None], len(KINDS), len(KINDS) + 1)
    what[rows, cells // SIDE - y[:, None] + SIDE - 1, cells % SIDE - x[:, None] + SIDE - 1] = kinds
    return TILES[what].permute(0, 3, 1, 4, 2, 5).reshape(len(kinds), 3, VIEW * CELL, VIEW * CELL)


def move(agent: Tensor, action: Tensor) -> Tensor:
    """Move agents up, down, left or right; walls hold them."""
    y, x = ((place + by).clamp(0, SIDE - 1) for place, by in
            zip((agent // SIDE, agent % SIDE), MOVES[action].unbind(-1), strict=True))  # fmt: skip
    return y * SIDE + x


NEXT = move(torch.arange(SIDE**2)[:, None], torch.arange(4))  # cell after each action, (cells, 4)


def shortest(cells: Tensor, agent: Tensor) -> Tensor:
    """Say which actions lie on a shortest path to the first object around the others, (worlds, 4)."""
    rows, others = torch.arange(len(cells)), torch.zeros(len(cells), SIDE**2).bool().scatter(1, cells[:, 1:], True)
    distance = torch.full((len(cells), SIDE**2), 99.0).scatter(1, cells[:, :1], 0.0)
    for _ in range(3 * SIDE):
        distance = distance.minimum(distance[:, NEXT].amin(2) + 1).masked_fill(others, 99.0)
    after = distance[rows[:, None], NEXT[agent]]
    return after == after.amin(1, keepdim=True)


class Policy(nn.Module):
    """Pictures to logits of the four moves, with a FiLM layer at the feature maps, and one at a vector of all."""

    def __init__(self, channels: int = 24, hidden: int = 64) -> None:
        super().__init__()
        self.see = nn.Sequential(nn.Conv2d(3, channels, CELL, stride=CELL), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.maps, self.cell = FiLM(channels), nn.Conv2d(channels, channels, 1)
        self.join, self.vector = nn.Linear(channels * VIEW**2, hidden), FiLM(hidden, dims=0)
        self.act = nn.Linear(hidden, 4)

    def forward(self, pictures: Tensor, film: Mapping[str, GammaBeta]) -> Tensor:
        """Map (batch, 3, height, width) to (batch, 4)."""
        maps = torch.relu(self.cell(self.maps(torch.relu(self.see(pictures)), film.get("maps", FIXED))))
        return self.act(torch.relu(self.vector(self.join(maps.flatten(1)), film.get("vector", FIXED))))


class Goal(nn.Module):
    """Pictures to the logit that this is the goal: two FiLM layers between convolutions (AGILE's discriminator)."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.see, self.first = nn.Conv2d(3, channels, CELL, stride=CELL), FiLM(channels)
        self.think, self.second = nn.Conv2d(channels, channels, 1), FiLM(channels)
        self.judge = nn.Linear(channels * VIEW**2, 1)

    def forward(self, pictures: Tensor, film: Mapping[str, GammaBeta]) -> Tensor:
        """Map (batch, 3, height, width) to (batch,)."""
        maps = torch.relu(self.first(self.see(pictures), film["first"]))
        return self.judge(torch.relu(self.second(self.think(maps), film["second"])).flatten(1)).squeeze(1)


class Instructed(nn.Module):
    """A network and the FiLM generator that reads the instruction for it.

    Args:
        network: network.
        layers: FiLM layers that the instruction reaches.
        conditioning: mechanism.
    """

    def __init__(self, network: nn.Module, layers: list[str], conditioning: Conditioning) -> None:
        super().__init__()
        reached = {name: layer for name, layer in film_layers(network).items() if name in layers}
        self.network = network
        self.generator = FiLMGenerator({"instruction": TokenSequence(32, WORDS, 16)}, reached, conditioning)

    def forward(self, asked: Tensor, pictures: Tensor) -> Tensor:
        """Judge pictures, (batch, 3, height, width), under instructions for the kinds asked for, (batch,)."""
        return self.network(pictures, self.generator({"instruction": INSTRUCTIONS[asked]}))


def episodes(policy: Instructed, kinds: Tensor, cells: Tensor, agent: Tensor) -> tuple[Tensor, Tensor]:
    """Let agents draw their actions until they step on an object.

    Returns:
        path: cells of the agents before each action and after the last, (worlds, steps + 1).
        actions: actions, (worlds, steps); -1 where an episode is over.
    """
    path, actions = [agent], []
    for _ in range(STEPS):
        with torch.no_grad():
            logits = policy(kinds[:, 0], see(kinds, cells, agent))
        action = torch.multinomial(logits.softmax(1), 1).squeeze(1)
        over = (agent[:, None] == cells).any(1)
        agent = torch.where(over, agent, move(agent, action))
        path.append(agent)
        actions.append(action.masked_fill(over, -1))
    return torch.stack(path, 1), torch.stack(actions, 1)


def success(policy: Instructed, asked: list[int], count: int) -> float:
    """Return the percentage of new worlds in which the first object that the agent steps on is the one asked for."""
    torch.manual_seed(0)
    kinds, cells, agent = worlds(count, asked, torch.Generator().manual_seed(99))
    path, _ = episodes(policy, kinds, cells, agent)
    return 100 * (path[:, -1] == cells[:, 0]).float().mean().item()


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step of gradient descent."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def cloned(variant: str, seed: int, steps: int, batch: int = 256) -> Instructed:
    """Train a policy to take the actions of shortest paths, on instructions that are not held out."""
    torch.manual_seed(seed)
    layer, conditioning = VARIANTS[variant]
    policy, generator = Instructed(Policy(), [layer], conditioning), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for _ in range(steps):
        kinds, cells, agent = worlds(batch, SEEN, generator)
        wanted = F.normalize(shortest(cells, agent).float(), p=1)
        step(optimizer, F.cross_entropy(policy(kinds[:, 0], see(kinds, cells, agent)), wanted))
    return policy


def rewarding(seed: int, steps: int, batch: int = 128, dropped: float = 0.25) -> Instructed:
    """Train a reward model to tell goal states of all instructions from states of an aimless agent.

    Such an agent stands on an object or on none; where it stands on the right one by chance, the state would wrongly
    count against the instruction. So the likeliest quarter of its states is dropped (Bahdanau et al. 2019, section 3).
    """
    torch.manual_seed(seed)
    model, generator = Instructed(Goal(), ["first", "second"], "film"), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        kinds, cells, agent = worlds(2 * batch, ALL, generator)
        anywhere = torch.cat([cells, agent[:, None]], 1)[torch.arange(batch, 2 * batch), torch.randint(5, (batch,))]
        place = torch.cat([cells[:batch, 0], anywhere])
        goal, other = model(kinds[:, 0], see(kinds, cells, place)).split(batch)
        kept = other.sort().values[: round((1 - dropped) * batch)]
        step(optimizer, F.softplus(-goal).mean() + F.softplus(kept).mean())
    return model


def judged(model: Instructed, asked: list[int], count: int) -> float:
    """Return the percentage of states on objects that a reward model judges rightly, goals and others by halves."""
    kinds, cells, _ = worlds(count, asked, torch.Generator().manual_seed(99))
    with torch.no_grad():
        said = torch.stack([model(kinds[:, 0], see(kinds, cells, cells[:, i])) > 0 for i in range(4)], 1).float()
    return 50 * (said[:, 0].mean() + 1 - said[:, 1:].mean()).item()


def taught(policy: Instructed, source: str, model: Instructed, seed: int, updates: int, batch: int = 96) -> Instructed:
    """Teach a policy the held-out instructions by REINFORCE.

    Args:
        policy: policy; a copy is taught.
        source: source of the reward: "world", "model", or "model, other word" for the reward of another instruction.
        model: reward model.
        seed: seed.
        updates: number of updates.
        batch: episodes of an update.
    """
    torch.manual_seed(seed)
    policy, generator = copy.deepcopy(policy), torch.Generator().manual_seed(1000 + seed)
    optimizer = torch.optim.Adam(policy.parameters(), 1e-3)
    another = torch.arange(len(KINDS)).scatter(0, torch.tensor(HELD_OUT), torch.tensor(HELD_OUT).roll(1))
    for _ in range(updates):
        kinds, cells, agent = worlds(batch, HELD_OUT, generator)
        path, actions = episodes(policy, kinds, cells, agent)
        asked = another[kinds[:, 0]] if source == "model, other word" else kinds[:, 0]
        with torch.no_grad():
            said = model(asked, see(kinds, cells, path[:, -1])) > 0
        reward = (path[:, -1] == cells[:, 0] if source == "world" else said).float()
        row, time = (actions >= 0).nonzero(as_tuple=True)
        logits = policy(kinds[row, 0], see(kinds[row], cells[row], path[row, time]))
        surprise = F.cross_entropy(logits, actions[row, time], reduction="none")
        step(optimizer, (surprise * (reward - reward.mean())[row]).mean())
    return policy


def measure(variant: str, seed: int, effort: float) -> Figures:
    """Return the successes of a policy; of that with FiLM also after it was taught the held-out instructions."""
    worlds_judged = max(20, round(1000 * effort))
    policy = cloned(variant, seed, max(1, round(400 * effort)))
    found = {"seen": success(policy, SEEN, worlds_judged), "held out": success(policy, HELD_OUT, worlds_judged)}
    if variant != "FiLM":
        return found
    model = rewarding(seed, max(1, round(400 * effort)))
    for source in SOURCES:
        pupil = taught(policy, source, model, seed, max(1, round(80 * effort)))
        found |= {source: success(pupil, HELD_OUT, worlds_judged)}
    return found | {"judged rightly": judged(model, HELD_OUT, worlds_judged)}


def draw(by: Mapping[str, list[Figures]], path: Path) -> None:
    """Draw what the agent sees, how the policies fare on instructions seen and held out, and what rewards teach."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.7), width_ratios=[1, 1, 1.4, 1.4])
    for axis, asked, word in zip(axes, (SEEN[6:7], HELD_OUT[1:2]), ("known", "held out"), strict=False):
        kinds, cells, agent = worlds(1, asked, torch.Generator().manual_seed(11))
        axis.imshow(see(kinds, cells, agent)[0].permute(1, 2, 0))
        middle = VIEW * CELL / 2 - 0.5
        for dy, dx in MOVES[shortest(cells, agent)[0]].tolist():
            axis.annotate(
                "", (middle + 7 * dx, middle + 7 * dy), (middle, middle), arrowprops={"fc": "orange", "lw": 0}
            )
        axis.plot(middle, middle, "o", color="orange")
        axis.set_title(f"“go to the {' '.join(KINDS[asked[0]])}” ({word})", fontsize=10)
        axis.axis("off")
    cloned_by = {v: {part: [cell[part] for cell in found] for part in ("seen", "held out")} for v, found in by.items()}
    bars(axes[2], cloned_by, ("tab:blue", "tab:red"))
    labels = dict(zip(("held out", *SOURCES), ("before", "the world", "the model", "model, other word"), strict=True))
    taught_by = {label: {"held out": [cell[name] for cell in by["FiLM"]]} for name, label in labels.items()}
    bars(axes[3], taught_by, ("tab:green",))
    titles = "policies cloned from shortest paths", "the FiLM policy, then rewarded by"
    for axis, title in zip(axes[2:], titles, strict=True):
        axis.axhline(25, color="k", ls=":", lw=1)
        axis.set(ylim=(0, 110), ylabel="right object reached first, %", title=title)
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
    kept = Kept(Path(out), "instructions", effort)
    by = kept.each(VARIANTS, seeds, lambda variant, seed: measure(variant, seed, effort))
    draw(by, Path(out) / "instructions.png")
    unit = "% of worlds in which the right one of four objects is reached first"
    held, seen = ({v: [cell[part] for cell in found] for v, found in by.items()} for part in ("held out", "seen"))
    agile = {name: [cell[name] for cell in by["FiLM"]] for name in ("held out", *SOURCES, "judged rightly")}
    gated, concatenated = "gated attention", "concatenation"
    Story("instructions", ARTICLE, CAPTION, [
        Claim("Chaplot et al. 2018, gated attention", "gating the feature maps by the instruction beats concatenating "
              "it, on new worlds", "no figure checked", unit, seen, beats(seen[gated], seen[concatenated])),
        Claim("Chaplot et al. 2018, gated attention", "so it does on pairs of words that were never put together in "
              "training", "no figure checked", unit, held,
              all_of(beats(held[gated], held[concatenated]), reaches(held[gated], 25))),
        Claim("Bahdanau et al. 2019, AGILE", "a FiLM reward model trained from goal states serves as the reward: "
              "the policy learns to reach kinds that it never went to, and not if the model hears of other ones",
              "no figure checked",
              unit + "; states judged rightly", {("before" if n == "held out" else f"rewarded by {n}" if n in SOURCES
              else n): values for n, values in agile.items()},
              all_of(beats(agile["model"], agile["held out"]), beats(agile["model"], agile["model, other word"]))),
    ], effort, kept.seconds).write(Path(out))  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
