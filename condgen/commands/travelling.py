"""Paths of `condgen analyze`: samples between two classes with the same noise, what is read in them, and how probable
held-out examples of either class are along the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from condgen.analysis import magma, path, save_path, save_strips, smoothness, turning_points, whole
from condgen.commands.held_out import bits, film_of, held_out, unit_of
from condgen.commands.subject import LeftOut, Subject, Wanted
from condgen.conditioning import FiLMParameters
from condgen.conditioning.names import find_class, split_words
from condgen.evaluation.pictures import decibels, pixels
from condgen.evaluation.sound import write_wav
from condgen.models.conditional import as_likelihood

STEPS = {True: 8, False: 10}  # of a path, by whether it is heard
STRIPS = {True: 2, False: 5}  # samples that are drawn along the way


class Ends(NamedTuple):
    """Two classes of a condition to go between."""

    condition: str
    start: str
    end: str


def ends(of: Subject, between: str | None) -> list[Ends]:
    """Return the classes to go between: those asked for, or the two nearest to each other of every condition.

    Raises:
        ValueError: what is asked for is unknown; the message says what there is.
    """
    several = {name: words for name, words in of.classes.items() if len(words) > 1}
    if between is None:
        return [Ends(name, *_nearest(of.film, name)) for name in several] if of.by_class else []
    name, _, text = between.partition("=")
    if name not in several:
        raise ValueError(f"--between {between}: the model has no condition '{name}' with classes to go between; give "
                         f"one of {', '.join(several) or 'none'}, such as --between digit=3,8")  # fmt: skip
    names = several[name]
    words = split_words(names, text)
    try:
        found = [names[find_class(names, word)] for word in words]
    except ValueError as error:
        raise ValueError(f"--between {between}: condition '{name}' {error}") from None
    if len(set(found)) != 2 or len(found) != 2:
        raise ValueError(f"--between {between}: give two different classes of '{name}', such as {name}={names[0]},"
                         f"{names[-1]}")  # fmt: skip
    return [Ends(name, *found)]


def _nearest(film: FiLMParameters, condition: str) -> tuple[str, str]:
    """Return the two classes whose mean representations are nearest to each other."""
    points, words = whole(film), np.array(film.labels[condition])
    classes = list(dict.fromkeys(film.labels[condition]))
    means = np.stack([points[words == word].mean(axis=0) for word in classes])
    distances = ((means[:, None] - means[None]) ** 2).sum(axis=2) + np.diag(np.full(len(classes), np.inf))
    one, other = np.unravel_index(distances.argmin(), distances.shape)
    return classes[one], classes[other]


def travels(folder: Path, of: Subject, wanted: Wanted) -> dict[str, Any]:
    """Go along each path."""
    found = ends(of, wanted.between)
    if not found:
        raise LeftOut("no condition is made of classes to go between")
    return {way.condition: _travel(folder, of, wanted, way) for way in found}


def _travel(folder: Path, of: Subject, wanted: Wanted, way: Ends) -> dict[str, Any]:
    """Sample, read, score and draw one path."""
    weights = np.linspace(0, 1, STEPS[of.length is not None] + 1).round(4).tolist()
    start, end = (of.combinations({way.condition: word}) for word in way[1:])
    rows = list(range(0, start.batch_size, max(1, start.batch_size // wanted.drawn(of))))[: wanted.drawn(of)]
    start, end, each = start.select(rows), end.select(rows), max(1, wanted.drawn(of) // len(rows))
    film = path(start.labelled({}), end.labelled({}), weights, wanted.layers)
    seeds = [wanted.seed + row for _ in weights for row in range(len(rows))]
    x = of.draw(film, each, seeds).unflatten(0, (len(weights), -1))
    report: dict[str, Any] = {"from": way.start, "to": way.end, "weights": weights, "samples": x.shape[1],
                              "sounds": of.audio is not None, "strips": False}  # fmt: skip
    curves: dict[str, dict[str, list[float]]] = {}
    if way.condition in of.classifiers:
        report |= _readings(of, x, way, weights, wanted.seed)
        curves["share read by a classifier"] = report["read"]
    if as_likelihood(of.model) is not None and of.data is not None:
        report |= _likelihoods(of, wanted, way, weights)
        curves[f"{unit_of(of)}, held-out"] = report["bits"]
    strips = [
        [_cell(of, sample) for sample in x[:, i].unbind()] for i in range(min(STRIPS[of.audio is not None], x.shape[1]))
    ]
    save_path(folder / f"path_{way.condition}.png", weights, strips, curves, (way.start, way.end))
    _sounds(folder, of, way, weights, x)
    _by_layer(folder, of, wanted, way, (start.select([0]), end.select([0])), weights, report)
    return report


def _readings(of: Subject, x: Tensor, way: Ends, weights: Sequence[float], seed: int) -> dict[str, Any]:
    """Have the samples of every step, (steps, samples, …), read."""
    names = of.classes[way.condition]
    read = of.read(x.flatten(0, 1), way.condition).unflatten(0, x.shape[:2]).mean(1)
    shares = {name: read[:, names.index(name)].tolist() for name in way[1:]}
    others = (1 - read[:, [names.index(name) for name in way[1:]]].sum(1)).tolist()
    answers = [names[i] for i in read.argmax(1).tolist()]
    return {"read": {**shares, "others": others}, "turns": turning_points(weights, answers),
            "smoothness_of_reading": asdict(smoothness(read.double().numpy(), seed))}  # fmt: skip


def _likelihoods(of: Subject, wanted: Wanted, way: Ends, weights: Sequence[float]) -> dict[str, Any]:
    """Score held-out examples of both classes along the way, each with all its other conditions."""
    found = {}
    for word in way[1:]:
        score, count = _scorer(of, wanted, way, word)
        found[word] = [score(lambda start, end, a=a: path(start, end, [a], wanted.layers)) for a in weights]  # type: ignore[misc]
    told = np.stack(list(found.values()), axis=1)
    return {"bits": found, "unit": unit_of(of), "held_out": count,
            "smoothness_of_bits": asdict(smoothness(told, wanted.seed))}  # fmt: skip


Making = Callable[[FiLMParameters, FiLMParameters], FiLMParameters]


def _scorer(of: Subject, wanted: Wanted, way: Ends, word: str) -> tuple[Callable[[Making], float], int]:
    """Return what scores held-out examples of a class, with parameters made of those for either end; and their
    number."""
    names = of.classes[way.condition]
    examples = held_out(of, max(1, wanted.count(of) // 2), {way.condition: names.index(word)})
    start, end = (film_of(of, examples.conditions({way.condition: torch.tensor([names.index(label)])}))
                  for label in way[1:])  # fmt: skip
    return lambda make: bits(of, examples, make(start, end)), len(examples.batch.x)


def _by_layer(
    folder: Path, of: Subject, wanted: Wanted, way: Ends, one: tuple[FiLMParameters, FiLMParameters],
    weights: Sequence[float], report: dict[str, Any],
) -> None:  # fmt: skip
    """Move one group of layers at a time, and the first so many of them."""
    groups = wanted.groups(of)
    if len(groups) < 2:
        return
    if "bits" in report:
        score, _ = _scorer(of, wanted, way, way.end)
        names = list(groups)
        report["alone"] = {name: score(_moving(layers)) for name, layers in groups.items()}
        report["first"] = {name: score(_moving([layer for other in names[: i + 1] for layer in groups[other]]))
                           for i, name in enumerate(names)}  # fmt: skip
    if of.audio is not None:
        return
    start, end = (film.labelled({}) for film in one)
    strips = {}
    for name, layers in {"all layers": (), **groups}.items():
        film = path(start, end, weights, layers)
        strips[name] = [_cell(of, x) for x in of.draw(film, 1, [wanted.seed] * len(weights))]
    save_strips(folder / f"layers_{way.condition}.png", weights, strips, (way.start, way.end))
    report["strips"] = True


def _moving(layers: Sequence[str]) -> Making:
    return lambda start, end: path(start, end, [1.0], layers)


def _cell(of: Subject, x: Tensor) -> np.ndarray:
    """Return a picture of a sample, (height, width, 3) of 8 bits: of sound, its spectrogram."""
    if of.audio is None:
        return pixels(x[None], of.model.network.levels)[0]
    waveform = of.audio.quantization.decode(x[0]).numpy()
    hop = max(1, of.audio.sample_rate // 200)
    return magma(decibels(waveform, 8 * hop, hop)[::-1] / 70 + 1)


def _sounds(folder: Path, of: Subject, way: Ends, weights: Sequence[float], x: Tensor) -> None:
    """Write the first sample of every step as a WAV file."""
    if of.audio is None:
        return
    for a, samples in zip(weights, x, strict=True):
        waveform = of.audio.quantization.decode(samples[0, 0]).numpy()
        write_wav(folder / f"path_{way.condition}_{a:.3f}.wav", waveform, of.audio.sample_rate)
