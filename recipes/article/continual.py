"""One task after another on shared weights: scales and biases of each task's own, with and without the elastic penalty.

    python recipes/article/continual.py

Source: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017. There, ten Atari games
share a network in which each game has scales and biases of its own, which is FiLM with a row for each game. Here a
game is a permutation of the pixels of scikit-learn's digits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import torch
from claim import Claim, Figures, Kept, Story, all_of, beats
from jsonargparse import auto_cli
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from tqdm import tqdm

from condgen.conditioning import ClassEmbedding, FiLM, FiLMGenerator, film_layers

TASKS, HIDDEN, STEPS, BATCH = 6, 128, 300, 64
PENALTIES = (0.0, 1.0, 10.0, 100.0, 1000.0, math.inf)  # at infinity, the weights stand still after the first task
WEIGHTS = {"shared": "shared weights alone", "film": "FiLM rows"}
Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Task:
    """A task: digits whose pixels lie in an order of their own. Each split holds inputs and labels."""

    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def tasks(seed: int, count: int = TASKS) -> list[Task]:
    """Make tasks; they split the digits alike."""
    chance = torch.Generator().manual_seed(seed)
    digits, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
    rows = torch.randperm(len(labels), generator=chance)
    made = []
    for _ in range(count):
        x = digits.float()[:, torch.randperm(64, generator=chance)] / 8 - 1
        made.append(Task(*((x[part], labels[part]) for part in (rows[:1000], rows[1000:1300], rows[1300:]))))
    return made


class Network(nn.Module):
    """A perceptron of two hidden layers with FiLM in each: a row of (γ, β) for each task, or none.

    Args:
        film: rows of the tasks, used if true.
        count: number of tasks.
    """

    def __init__(self, film: bool, count: int = TASKS) -> None:
        super().__init__()
        self.linear = nn.ModuleList([nn.Linear(64, HIDDEN), nn.Linear(HIDDEN, HIDDEN)])
        self.film = nn.ModuleList(FiLM(HIDDEN, dims=1) for _ in self.linear)
        self.head = nn.Linear(HIDDEN, 10)
        # With one-hot features, the generator's linear heads are a lookup: no task touches the row of another.
        one_hot = ClassEmbedding(count, num_classes=count)
        one_hot.embedding.weight = nn.Parameter(torch.eye(count), requires_grad=False)
        layers = film_layers(self)
        self.generator = FiLMGenerator({"task": one_hot}, layers, "film") if film else FiLMGenerator({}, layers, "none")

    def forward(self, x: Tensor, task: int) -> Tensor:
        """Map pixels, (batch, 64), to logits, (batch, 10)."""
        rows = self.generator({"task": torch.tensor([task])} if self.generator.encoders else {})
        for linear, layer, pair in zip(self.linear, self.film, rows.values(), strict=True):
            x = torch.relu(layer(linear(x), pair))
        return self.head(x)

    @property
    def shared(self) -> Parameters:
        """The weights that all tasks share, by name."""
        return {name: weight for name, weight in self.named_parameters() if not name.startswith("generator")}


def fisher(network: Network, task: int, x: Tensor, chance: torch.Generator) -> Parameters:
    """Estimate the diagonal of the Fisher information of the shared weights, with labels that the network draws."""
    drawn = torch.multinomial(network(x, task).softmax(1), 1, generator=chance)[:, 0]

    def loss(weights: Parameters, one: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(network, weights, (one[None], task)), label[None])

    weights = {name: weight.detach() for name, weight in network.shared.items()}
    each = vmap(grad(loss), in_dims=(None, 0, 0))(weights, x, drawn)
    return {name: found.detach().square().mean(0) for name, found in each.items()}


def pull(network: Network, importance: Mapping[str, Tensor], anchors: Mapping[str, Tensor]) -> Tensor:
    """Return the elastic penalty, Σ F θ² − 2 Σ F θ* θ, whose parts are sums over the tasks so far, up to a constant."""
    weights = network.shared.items()
    return torch.stack([(importance[n] * w.square() - 2 * anchors[n] * w).sum() for n, w in weights]).sum()


@torch.no_grad()
def accuracy(network: Network, row: int, data: tuple[Tensor, Tensor]) -> float:
    """Return the percentage of digits read right with the row of a task."""
    return 100 * float((network(data[0], row).argmax(1) == data[1]).double().mean())


def learn(network: Network, row: int, task: Task, penalty: float, steps: int, first: bool, chance: torch.Generator,
          importance: Parameters, anchors: Parameters) -> None:  # fmt: skip
    """Learn a task: its row, and the shared weights as far as the penalty lets them."""
    frozen = math.isinf(penalty) and not first
    trained = [w for n, w in network.named_parameters() if w.requires_grad and not (frozen and n in network.shared)]
    # An optimizer of its own for each task, so that no momentum moves the rows of the tasks before.
    if not trained:
        return
    optimizer = torch.optim.Adam(trained, lr=3e-3)
    for _ in range(steps):
        rows = torch.randint(len(task.train[1]), (BATCH,), generator=chance)
        loss = F.cross_entropy(network(task.train[0][rows], row), task.train[1][rows])
        if importance and 0 < penalty < math.inf:
            loss = loss + penalty / 2 * pull(network, importance, anchors)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def run(weights: str, penalty: float, seed: int, steps: int) -> Figures:
    """Learn all tasks in order; return the accuracies after each, and what is left of them at the end."""
    torch.manual_seed(seed)
    chance, given, network = torch.Generator().manual_seed(seed), tasks(seed), Network(weights == "film")
    importance: Parameters = {}
    anchors: Parameters = {}
    figures: Figures = {}
    for i, task in enumerate(given):
        learn(network, i, task, penalty, steps, i == 0, chance, importance, anchors)
        found = fisher(network, i, task.train[0][:500], chance)
        importance = {n: importance.get(n, 0) + f for n, f in found.items()}
        anchors = {n: anchors.get(n, 0) + found[n] * w.detach() for n, w in network.shared.items()}
        figures |= {f"{i} {j}": accuracy(network, j, given[j].test) for j in range(TASKS)}
    last = TASKS - 1
    figures["average"] = mean(figures[f"{last} {j}"] for j in range(TASKS))
    figures["forgotten"] = mean(figures[f"{j} {j}"] - figures[f"{last} {j}"] for j in range(last))
    figures["val"] = mean(accuracy(network, j, task.val) for j, task in enumerate(given))
    figures["wrong row"] = mean(accuracy(network, (j + 1) % TASKS, task.test) for j, task in enumerate(given))
    return figures


def strength(found: dict[tuple[str, float, int], Figures], weights: str, seed: int) -> float:
    """Choose λ by digits that are neither trained nor tested on."""
    return max(PENALTIES[1:], key=lambda penalty: found[weights, penalty, seed]["val"])


def draw(found: dict[tuple[str, float, int], Figures], chosen: dict[tuple[str, int], float], path: Path) -> None:
    """Draw every task's accuracy as the others follow, and the average against the strength of the penalty."""
    seeds = sorted({seed for _, _, seed in found})
    figure, axes = plt.subplots(1, 5, figsize=(17, 3.5), layout="constrained", width_ratios=[1, 1, 1, 1, 1.4])
    shades = plt.get_cmap("viridis")([j / TASKS for j in range(TASKS)])
    for axis, (weights, elastic) in zip(axes, itertools.product(WEIGHTS, (False, True)), strict=False):
        runs = [found[weights, chosen[weights, seed] if elastic else 0.0, seed] for seed in seeds]
        for j in range(TASKS):
            curve = [mean(run[f"{i} {j}"] for run in runs) for i in range(j, TASKS)]
            axis.plot(range(j + 1, TASKS + 1), curve, "o-", color=shades[j], markersize=3)
        average = mean(run["average"] for run in runs)
        axis.axhline(10, color="grey", linestyle=":", linewidth=1)
        axis.set(title=f"{WEIGHTS[weights]}{', elastic' if elastic else ''}\naverage at the end {average:.1f} %",
                 xlabel="tasks learnt", ylim=(0, 102))  # fmt: skip
    axes[0].set_ylabel("digits read right, %; a line per task")
    places = range(len(PENALTIES))
    for weights, words in WEIGHTS.items():
        each = [[found[weights, penalty, seed]["average"] for penalty in PENALTIES] for seed in seeds]
        line = axes[-1].plot(places, [mean(column) for column in zip(*each, strict=True)], "o-", label=words)[0]
        for values in each:
            axes[-1].plot(places, values, color=line.get_color(), linewidth=0.6, alpha=0.6)
    axes[-1].set_xticks(places, ["0", *(f"{p:g}" for p in PENALTIES[1:-1]), "∞"])
    axes[-1].set(title="what the penalty's strength does", xlabel="strength λ", ylabel="average at the end, %")
    axes[-1].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def claims(found: dict[tuple[str, float, int], Figures], chosen: dict[tuple[str, int], float]) -> list[Claim]:
    """Say what came out, with the λ that was chosen for each network."""
    seeds = sorted({seed for _, _, seed in found})

    def here(figure: str, weights: str, elastic: bool) -> list[float]:
        return [found[weights, chosen[weights, seed] if elastic else 0.0, seed][figure] for seed in seeds]

    names = {(w, e): f"{words}{', elastic' if e else ''}" for w, words in WEIGHTS.items() for e in (False, True)}
    average = {name: here("average", *key) for key, name in names.items()}
    forgotten = {name: here("forgotten", *key) for key, name in names.items()}
    film, plain = names["film", True], names["shared", True]
    wrong = {"own row": average[film], "next task's row": here("wrong row", "film", True)}
    system, published = "Kirkpatrick et al. 2017, elastic weight consolidation", "no figure checked"
    return [
        Claim(system, "The elastic penalty lets shared weights learn tasks one after another: without it, the earlier "
              "ones are lost, with rows of their own or not", published, f"% right, mean of {TASKS} tasks at the end",
              average, all_of(beats(average[film], average[names["film", False]]),
                              beats(average[plain], average[names["shared", False]]))),
        Claim(system, "Scales and biases of each task's own add to what the penalty keeps", published,
              "points lost on earlier tasks", forgotten,
              all_of(beats(forgotten[plain], forgotten[film]), beats(average[film], average[plain]))),
        Claim(system, "The network must know which task it plays", published, "% right", wrong,
              beats(wrong["own row"], wrong["next task's row"])),
    ]  # fmt: skip


def main(out: str = "runs/article", seeds: int = 5, effort: float = 1.0) -> None:
    """Learn permuted digits task after task; write the story and its picture.

    Args:
        out: folder for figures, story and picture.
        seeds: number of seeds.
        effort: share of the full training budget.
    """
    torch.set_num_threads(1)
    kept, steps = Kept(Path(out), "continual", effort), max(1, round(STEPS * effort))
    cells = list(itertools.product(WEIGHTS, PENALTIES, range(seeds)))
    found = {
        (w, p, s): kept(f"{w} {p:g} seed {s}", partial(run, w, p, s, steps)) for w, p, s in tqdm(cells, desc="runs")
    }
    chosen = {(w, s): strength(found, w, s) for w in WEIGHTS for s in range(seeds)}
    draw(found, chosen, Path(out) / "continual.png")
    rows = Network(True)
    own = sum(w.numel() for w in rows.generator.parameters() if w.requires_grad) / TASKS
    shared = sum(w.numel() for w in rows.shared.values())
    Story(
        "continual",
        "Section “Reinforcement learning”: against forgetting, Kirkpatrick et al. give each "
        "Atari game scales and biases of its own in a network whose weights all games share.",
        f"Each line is a task of permuted digits, from when it was learnt on; a task's row has {own:.0f} numbers, "
        f"{100 * own / shared:.0f} % of the shared weights. Right: the average against the penalty's strength λ.",
        claims(found, chosen), effort, kept.seconds,
    ).write(Path(out))  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
