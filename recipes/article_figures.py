"""The figures of the article "Feature-wise transformations" (Dumoulin et al., Distill 2018), drawn anew from the
numbers that its authors published, and what `condgen.analysis` measures in them.

    python recipes/article_figures.py DIR --out runs/article_figures

`DIR` is `public/data` of https://github.com/distillpub/post--feature-wise-transformations (CC BY 4.0).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jsonargparse import auto_cli

from condgen.analysis import (
    Clusters,
    FeatureMaps,
    Neighbours,
    Statistics,
    clusters,
    feature_maps,
    neighbours,
    save_clusters,
    save_maps,
    save_scatter,
    statistics,
    turning_points,
)
from condgen.conditioning import FiLMParameters, GammaBeta
from condgen.evaluation.pictures import figure

MODELS = {"clevr": "visual reasoning", "style": "style transfer"}
# The types of CLEVR's questions by their number, which is another one in each kind of file; the questions tell.
TYPES_OF_MAP = (
    "less than", "query size", "equal size", "query colour", "equal colour", "exist", "equal integer", "query shape",
    "equal material", "count", "equal shape", "greater than", "query material",
)  # fmt: skip
TYPES_OF_CLUSTERS = (
    "exist", "greater than", "query size", "equal colour", "less than", "query material", "equal integer",
    "equal shape", "count", "query colour", "equal material", "query shape", "equal size",
)  # fmt: skip


class Landscape(NamedTuple):
    """A t-SNE map that the authors published.

    Attributes:
        points: points of the map, (rows, 2).
        condition: condition that gives the points their colours.
        words: class of each point.
        ids: number of this class in the file, by whose order ties between neighbours are decided.
    """

    points: np.ndarray
    condition: str
    words: list[str]
    ids: list[str]


def scatter(folder: Path, model: str) -> FeatureMaps:
    """Read (γ, β) of 16 feature maps under 256 conditions."""
    rows = json.loads((folder / f"{model}_gamma_beta_subsampled.json").read_text())
    numbers = sorted({row["feature_map"] for row in rows})
    gamma, beta = (torch.tensor([[row[part] for row in rows if row["feature_map"] == n] for n in numbers]).T
                   for part in ("gamma", "beta"))  # fmt: skip
    return feature_maps(FiLMParameters({MODELS[model]: GammaBeta(gamma, beta)}))


def landscape(folder: Path, model: str) -> Landscape:
    """Read a t-SNE map of whole representations."""
    found: Any = json.loads((folder / f"{model}_tsne.json").read_text())
    if model == "clevr":
        places = [row["layer_all"] for row in found]
        ids, names, condition = [row["question_type"] for row in found], TYPES_OF_MAP, "type of question"
    else:
        places = found["points"]
        ids, names, condition = [row["artist_index"] for row in places], tuple(found["artists"].values()), "artist"
    points = np.array([[place["x"], place["y"]] for place in places])
    return Landscape(points, condition, [names[i] for i in ids], [f"{i:02}" for i in ids])


def sub_clusters(folder: Path, number: int) -> FeatureMaps:
    """Read (γ, β) of one feature map of the model of visual reasoning, by type of question."""
    rows = json.loads((folder / f"clevr_gamma_beta_subcluster_fm_{number}.json").read_text())
    gamma, beta = (torch.tensor([[row[part]] for row in rows]) for part in ("gamma", "beta"))
    labels = {"type": [TYPES_OF_CLUSTERS[row["question_type"]] for row in rows]}
    return replace(feature_maps(FiLMParameters({"feature map": GammaBeta(gamma, beta)}, labels)), numbers=[number])


def by_word(folder: Path, number: int, first: str, second: str) -> FeatureMaps:
    """Read (γ, β) of one feature map for questions that hold one of two words."""
    rows = json.loads((folder / f"clevr_gamma_beta_words_subcluster_fm_{number}.json").read_text())
    rows = [row for row in rows if (first in row["question"]) != (second in row["question"])]
    gamma, beta = (torch.tensor([[row[part]] for row in rows]) for part in ("gamma", "beta"))
    labels = {"word": [first if first in row["question"] else second for row in rows]}
    return replace(feature_maps(FiLMParameters({"feature map": GammaBeta(gamma, beta)}, labels)), numbers=[number])


def answers(folder: Path) -> tuple[list[float], dict[str, list[float]]]:
    """Read the probability of each answer on the way from one question to another, by answer."""
    rows = json.loads((folder / "clevr_interpolation_1.json").read_text())
    return np.linspace(0, 1, len(rows)).tolist(), {word: [row[word] for row in rows] for word in rows[0]}


def changes_of(weights: list[float], told: dict[str, list[float]]) -> list[tuple[float, str]]:
    """List where the most probable answer changes."""
    return turning_points(weights, [max(told, key=lambda word: told[word][i]) for i in range(len(weights))])


def main(folder: str, out: str = "runs/article_figures") -> None:
    """Draw the figures and print a table.

    Args:
        folder: folder of the authors' files.
        out: folder for the pictures.
    """
    source, target = Path(folder), Path(out)
    target.mkdir(parents=True, exist_ok=True)
    measured, maps = dict[str, Statistics](), dict[str, tuple[Landscape, Neighbours | None]]()
    for model in MODELS:
        points, drawn = scatter(source, model), landscape(source, model)
        save_scatter(target / f"{model}_scatter.png", points)
        measured[model], told = statistics(points), neighbours(drawn.points, drawn.ids)
        maps[model] = drawn, told
        save_maps(target / f"{model}_tsne.png", {"t-SNE": drawn.points}, {drawn.condition: drawn.words})
    split = {number: clusters(sub_clusters(source, number))[0] for number in (26, 76)}
    for number, found in split.items():
        save_clusters(target / f"clevr_subclusters_{number}.png", sub_clusters(source, number), [found])
    words = clusters(by_word(source, 26, "front", "behind"))[0]
    save_clusters(target / "clevr_words_26.png", by_word(source, 26, "front", "behind"), [words])
    weights, told_answers = answers(source)
    draw_answers(target / "clevr_interpolation.png", weights, told_answers)
    print(table(measured, maps, split, words, changes_of(weights, told_answers)))


def draw_answers(path: Path, weights: list[float], told: dict[str, list[float]]) -> None:
    """Draw the probability of each answer that is ever the most probable one."""
    shown = list(dict.fromkeys(word for _, word in changes_of(weights, told)))
    with figure(path, 7, 3) as canvas:
        axes = canvas.add_subplot()
        for word in shown:
            axes.plot(weights, told[word], label=f"“{word}”")
        axes.set_xlabel("a in (1 − a)·f(one question) + a·f(another)")
        axes.set_ylabel("probability of the answer")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)


def table(
    measured: dict[str, Statistics], maps: dict[str, tuple[Landscape, Neighbours | None]],
    split: dict[int, Clusters], words: Clusters, changes: list[tuple[float, str]],
) -> str:  # fmt: skip
    """Write what was measured, with the controls."""
    lines = ["| | visual reasoning | shuffled | style transfer | shuffled |", "| --- | --- | --- | --- | --- |"]
    for part, name in (("both", "γ and β"), ("gamma", "γ"), ("beta", "β")):
        cells = [f"{share[part]:.3f}" for s in measured.values() for share in (s.between, s.shuffled)]
        lines.append(f"| variance between maps (η²), {name} | {' | '.join(cells)} |")
    for part, name in (("gamma", "γ"), ("beta", "β")):
        lines.append(f"| {name} below 0 | {' | | '.join(f'{s.negative[part]:.1%}' for s in measured.values())} | |")
    anisotropy = [(np.median([a.anisotropy for a in s.axes]), np.median([a.shuffled for a in s.axes]))
                  for s in measured.values()]  # fmt: skip
    cells = [f"{value:.2f}" for pair in anisotropy for value in pair]
    lines.append(f"| anisotropy of a map's points, median | {' | '.join(cells)} |")
    told = [n for _, n in maps.values() if n is not None]
    cells = [f"{share:.3f}" for n in told for share in (n.accuracy, n.shuffled)]
    lines.append(f"| t-SNE: type of question or artist told by {told[0].k} neighbours | {' | '.join(cells)} |")
    for number, found in split.items():
        condition = found.explained.get("type")
        said = "" if condition is None else (f"; information of the type of question {condition.information:.2f} "
                                             f"(shuffled {condition.shuffled:.2f})")  # fmt: skip
        lines.append(f"| sub-clusters of feature map {number} | {found.count}{said} | | | |")
    if "word" in words.explained:
        e = words.explained["word"]
        lines.append(f"| feature map 26, in the cluster of “{e.value}” | {e.within:.0%} of these questions, "
                     f"{e.elsewhere:.0%} of the others | | | |")  # fmt: skip
    turns = ", then ".join(f"“{word}” from {a:.2f}" for a, word in changes)
    lines.append(f"| interpolated answer | {turns} | | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    auto_cli(main)
