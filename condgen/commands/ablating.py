"""Arithmetic and ablations of `condgen analyze`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from condgen.analysis import (
    Change,
    Representation,
    ablate,
    arithmetic,
    over_rows,
    save_ablation,
)
from condgen.commands.held_out import Examples, bits, film_of, held_out, misread, over_classes, unit_of
from condgen.commands.subject import LeftOut, Subject, Wanted
from condgen.conditioning import FiLMParameters
from condgen.models.conditional import as_generator, as_likelihood

EXACT = 1e-4  # relative error below which samples would be the same, bit by bit or nearly


def working(of: Subject, wanted: Wanted) -> None:
    """Let the network work: on held-out examples, or on samples where there are none."""
    model = as_likelihood(of.model)
    if model is None:
        of.draw(of.film, -(-wanted.count(of) // of.film.batch_size), [wanted.seed] * of.film.batch_size)
        return
    if of.data is not None:
        examples = held_out(of, wanted.count(of))
        bits(of, examples, film_of(of, examples.conditions()))
        return
    some = of.film.select(list(range(min(8, of.film.batch_size))))
    x = of.draw(some, 1, [wanted.seed] * some.batch_size)
    with torch.inference_mode():
        model.log_prob(x.to(of.device), some)


def adding_up(folder: Path, of: Subject, wanted: Wanted) -> dict[str, Any]:
    """Measure how each pair of class conditions adds up, and have samples of sums read where these are not exact."""
    several = [name for name, words in of.classes.items() if len(words) > 1]
    if not of.by_class or len(several) < 2:
        raise LeftOut("it takes two conditions made of classes")
    found = {}
    for first, second in itertools.combinations(several, 2):
        try:
            told = asdict(arithmetic(of.film, first, second, seed=wanted.seed))
        except ValueError as error:  # of more combinations than are looked at, a pair may be missing
            raise LeftOut(str(error)) from None
        if told["error"] > EXACT and of.data is not None:
            told["read"] = _read_sums(of, wanted, first, second)
        found[f"{first} + {second}"] = told
    return found


def _read_sums(of: Subject, wanted: Wanted, first: str, second: str) -> dict[str, float]:
    """Have samples of f(a, x) + f(b, y) − f(a, y) read, beside samples of f(b, x) with the same noise."""
    ones, others = of.classes[first], of.classes[second]
    rng = torch.Generator().manual_seed(wanted.seed)
    made, direct, labels = list[FiLMParameters](), list[FiLMParameters](), list[dict[str, str]]()
    for _ in range(wanted.drawn(of)):
        (a, b), (x, y) = (torch.randperm(len(words), generator=rng)[:2].tolist() for words in (ones, others))

        def row(i: int, j: int) -> FiLMParameters:
            return of.film.select(**{first: ones[i], second: others[j]}).select([0])

        made.append(row(a, x) + row(b, y) - row(a, y))
        direct.append(row(b, x))
        labels.append({first: ones[b], second: others[x]})
    asked = {name: [each[name] for each in labels] for name in (first, second)}
    return {
        kind: 1 - misread(of, FiLMParameters.stack([f.labelled({}) for f in films]), asked, 1, wanted.seed)
        for kind, films in (("sums", made), ("direct", direct))
    }  # fmt: skip


def ablation(folder: Path, of: Subject, wanted: Wanted) -> dict[str, Any]:
    """Measure and draw what is lost with each part of the representation."""
    groups = wanted.groups(of)
    if as_generator(of.model) is not None:
        loss, count = _loss_of_samples(of, wanted), -(-wanted.count(of) // of.film.batch_size) * of.film.batch_size
    else:
        examples = held_out(of, wanted.count(of))
        loss, count = _loss_of_examples(of, examples, wanted.seed), len(examples.batch.x)
    found = ablate(loss, of.film, groups, seed=wanted.seed)
    save_ablation(folder / "ablation.png", found, unit_of(of))
    return {"unit": unit_of(of), "examples": count, "groups": groups, **asdict(found)}


def _loss_of_examples(of: Subject, examples: Examples, seed: int) -> Callable[[Change], float]:
    order = torch.randperm(len(examples.batch.x), generator=torch.Generator().manual_seed(seed))
    own = examples.conditions()
    dealt = {name: part[order.to(part.device)] for name, part in own.items() if name in of.classes} or {
        name: part[order.to(part.device)] for name, part in own.items()
    }
    film, shuffled = film_of(of, own), film_of(of, examples.conditions() | dealt)
    representation = Representation(film, *over_classes(of, examples), shuffled)
    return lambda change: bits(of, examples, change(representation))


def _loss_of_samples(of: Subject, wanted: Wanted) -> Callable[[Change], float]:
    of.require_data()
    film, rows = of.film.labelled({}), of.film.batch_size
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(wanted.seed))
    representation = Representation(film, *over_rows(film), film.select(order))
    each = -(-wanted.count(of) // rows)
    return lambda change: misread(of, change(representation), of.film.labels, each, wanted.seed)
