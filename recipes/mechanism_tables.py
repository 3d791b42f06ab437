"""Tables and plots of the mechanism study, from the results of its cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mechanism_cells import FAMILIES, POSITION_WISE
from scipy import stats

Result = Mapping[str, Any]
Runs = dict[int, Result]  # results by seed
Value = Callable[[Result], float | None]
Panel = tuple[str, Mapping[str, Runs], Value]
MECHANISMS = ["none", "bias", "scale", "gate", "film", "concat", POSITION_WISE]


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean, and half the width of its 95 % t-interval, which takes two values at least."""
    mean, count = statistics.mean(values), len(values)
    if count < 2:
        return mean, math.nan
    return mean, float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(values) / math.sqrt(count)


def write(values: Iterable[float | None], form: str, factor: float = 1) -> str:
    """Write a mean with its interval; a dash where nothing was measured."""
    known = [factor * value for value in values if value is not None]
    if not known:
        return "–"
    mean, half = interval(known)
    return f"{mean:{form}}" + ("" if math.isnan(half) else f" ± {half:{form.lstrip('+')}}")


def runs(results: Iterable[Result], study: str, family: str, **wanted: object) -> Runs:
    """Pick the results of one kind of cell by seed. What is not asked for is as it is by default."""
    wanted = {"study": study, "family": family, "depth": 0, "start": "zero", "joint": False, **wanted}
    return {r["cell"]["seed"]: r for r in results if all(r["cell"][key] == value for key, value in wanted.items())}


def figure(*path: str) -> Value:
    """Return what picks one figure of a result; `None` where it was not measured."""

    def pick(result: Result) -> float | None:
        found: Any = result["figures"]
        for key in path:
            found = None if found is None else found.get(key)
        return found

    return pick


def of_each(*path: str) -> Callable[[Runs], str]:
    """Return what writes the shares of each condition, in %."""

    def cell(found: Runs) -> str:
        each: list[Any] = [figure(*path)(result) or {} for result in found.values()]
        return " / ".join(write([e.get(name) for e in each], ".0f", 100) for name in each[0]) or "–"

    return cell


def column(value: Value, form: str, factor: float = 1) -> Callable[[Runs], str]:
    """Return what writes one figure of some runs."""
    return lambda found: write([value(result) for result in found.values()], form, factor)


def gap(result: Result) -> float | None:
    """Return the bits lost where all conditions are swapped; `None` without conditions."""
    gaps: Any = figure("swap gap")(result) or {}
    return next(reversed(gaps.values()), None)


def beside(value: Value, others: Runs) -> Callable[[Runs], str]:
    """Return what writes by how much a figure differs from that of other runs of the same seeds."""

    def cell(found: Runs) -> str:
        pairs = [(value(found[seed]), value(others[seed])) for seed in found if seed in others]
        known = [a - b for a, b in pairs if a is not None and b is not None]
        return write(known, "+.3f") if known and found is not others else "–"

    return cell


def generator_size(found: Runs) -> str:
    """Write the parameters of the FiLM generator."""
    return f"{next(iter(found.values()))['parameters']['generator']:,}"


def table(first: str, columns: Mapping[str, Callable[[Runs], str]], rows: Mapping[str, Runs]) -> list[str]:
    """Write a table; rows without results are left out."""
    lines = [f"| {first} | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    return [*lines, *(f"| {name} | {' | '.join(cell(found) for cell in columns.values())} |"
                      for name, found in rows.items() if found)]  # fmt: skip


def of_mechanisms(results: list[Result], family: str) -> list[str]:
    """Write the table of all mechanisms of a family."""
    rows = {f"`{c}`" if c != POSITION_WISE else c: runs(results, "mechanisms", family, conditioning=c)
            for c in MECHANISMS}  # fmt: skip
    columns = quality(family) | {"η²": column(figure("between maps"), ".2f")}
    columns |= {"largest step": column(figure("largest step"), ".2f")}
    if figure("bits")(next(iter(rows["`film`"].values()), {"figures": {}})) is not None:
        beside_film = beside(figure("bits"), rows["`film`"])
        columns = {"generator's parameters": generator_size, "bits": columns.pop("bits"), "less `film`": beside_film,
                   **columns}  # fmt: skip
    else:
        columns = {"generator's parameters": generator_size, **columns}
    return [*table("conditioning", columns, rows), real_line(family, next(iter(rows.values())), len(columns))]


def quality(family: str) -> dict[str, Callable[[Runs], str]]:
    """Return the columns that say how good a family's models are."""
    names = " / ".join(FAMILIES[family].conditions)
    likelihoods = {"bits": column(figure("bits"), ".3f"), "swap gap": column(gap, ".3f")}
    return {
        **({} if family == "GAN digits" else likelihoods),
        f"read as asked, % ({names})": of_each("samples", "read as asked"),
        "covered, %": column(figure("samples", "coverage"), ".0f", 100),
    }


def real_line(family: str, found: Runs, cells: int) -> str:
    """Write what classifiers make of an equal number of real training examples."""
    known = dict(list(found.items())[:1])
    filled = [of_each("real", "read as asked")(known), column(figure("real", "coverage"), ".0f", 100)(known)]
    before = ["–"] * (1 if family == "GAN digits" else 4)
    after = ["–"] * (cells - len(before) - len(filled))
    return f"| real training examples | {' | '.join([*before, *filled, *after])} |"


def of_pairs(results: list[Result], family: str) -> list[str]:
    """Write the table of held-out pairs of conditions."""
    rows = {"`none`": runs(results, "mechanisms", family, conditioning="none")}
    for conditioning in ("film", "bias"):
        seen = runs(results, "mechanisms", family, conditioning=conditioning)
        rows |= {f"`{conditioning}`, additive, all pairs seen": seen}
        for depth in (0, 1, 2):
            deep = f", depth {depth}" if depth else ""
            found = runs(results, "pairs", family, conditioning=conditioning, depth=depth)
            rows[f"`{conditioning}`, additive{deep}"] = found
        rows[f"`{conditioning}`, joint lookup"] = runs(results, "pairs", family, conditioning=conditioning, joint=True)
    names = " / ".join(FAMILIES[family].conditions)
    columns = {
        "bits, held-out pairs": column(figure("held-out pairs", "bits"), ".3f"),
        "less `none`": beside(figure("held-out pairs", "bits"), rows["`none`"]),
        "bits, other pairs": column(figure("other pairs", "bits"), ".3f"),
        f"held-out pairs read as asked, % ({names})": of_each("held-out pairs", "read as asked"),
        "other pairs read as asked, %": of_each("other pairs", "read as asked"),
    }
    return table("model", columns, rows)


def of_generators(results: list[Result], family: str) -> list[str]:
    """Write the table of depths and starts of the FiLM generator."""
    rows = {"depth 0, zero": runs(results, "mechanisms", family, conditioning="film")}
    for depth, start in ((1, "zero"), (2, "zero"), (0, "small")):
        found = runs(results, "generators", family, conditioning="film", depth=depth, start=start)
        rows[f"depth {depth}, {start}"] = found
    columns = {**quality(family), "η²": column(figure("between maps"), ".2f"),
               "largest step": column(figure("largest step"), ".2f")}  # fmt: skip
    return table("generator of `film`", columns, rows)


def costs(results: list[Result]) -> list[str]:
    """Write what the cells took."""
    lines = ["| family | cells | seconds of a core, each | core-minutes |", "| --- | --- | --- | --- |"]
    total = 0.0
    for family in FAMILIES:
        seconds = [sum(r["seconds"].values()) for r in results if r["cell"]["family"] == family]
        total += sum(seconds)
        if seconds:
            lines += [f"| {family} | {len(seconds)} | {statistics.mean(seconds):.0f} | {sum(seconds) / 60:.0f} |"]
    machines = sorted({f"{r['processor']}, PyTorch {r['torch']}" for r in results})
    return [*lines, f"| all | {len(results)} | | {total / 60:.0f} |", "", f"Made on: {'; '.join(machines)}."]


def tables(results: list[Result]) -> str:
    """Write every table that there are results for."""
    kinds = {
        "mechanisms": ("Mechanisms", of_mechanisms), "pairs": ("Held-out pairs", of_pairs),
        "generators": ("Depth and start of the generator", of_generators),
    }  # fmt: skip
    parts, there_are = [], {(r["cell"]["study"], r["cell"]["family"]) for r in results}
    for study, (title, write_table) in kinds.items():
        for family in FAMILIES:
            if (study, family) in there_are:
                parts += [f"### {title}: {family}", "", *write_table(results, family), ""]
    return "\n".join([*parts, "### What it took", "", *costs(results), ""])


def dots(axes: Any, rows: Mapping[str, Runs], value: Value) -> None:
    """Draw a dot per seed, and the mean with its interval, of each row."""
    for i, found in enumerate(rows.values()):
        known = [v for v in map(value, found.values()) if v is not None]
        if known:
            axes.plot(known, [i] * len(known), "o", color="tab:blue", alpha=0.35, markersize=4)
            mean, half = interval(known)
            axes.errorbar(
                mean, i, xerr=0 if math.isnan(half) else half, fmt="d", color="black", capsize=3, markersize=5
            )
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(alpha=0.3)


def draw(path: Path, panels: list[Panel], columns: int) -> None:
    """Draw panels of dots and intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = -(-len(panels) // columns)
    tallest = max(len(rows) for _, rows, _ in panels)
    picture = Figure(figsize=(4.2 * columns, lines * (0.7 + 0.27 * tallest)), dpi=90, layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.subplots(lines, columns, squeeze=False).flatten()
    for place, (title, rows, value) in zip(axes, panels, strict=False):
        dots(place, rows, value)
        place.invert_yaxis()
        place.set_title(title, fontsize=9)
    for place in axes[len(panels) :]:
        place.remove()
    picture.savefig(path, facecolor="white")


def mean_reading(*path: str) -> Value:
    """Return what picks the mean share read as asked, in %, over conditions."""

    def pick(result: Result) -> float | None:
        each: Any = figure(*path)(result)
        return 100 * statistics.mean(each.values()) if each else None

    return pick


def plots(folder: Path, results: list[Result]) -> None:
    """Draw what there are results for: mechanisms.png and pairs.png."""
    panels: list[Panel] = []
    for family in FAMILIES:
        rows = {c: found for c in MECHANISMS if (found := runs(results, "mechanisms", family, conditioning=c))}
        told = {name: found for name, found in rows.items() if name != "none"}
        if told:
            quality = ("covered", figure("samples", "coverage")) if family == "GAN digits" else ("bits", figure("bits"))
            panels += [(f"{family}: {quality[0]}", rows, quality[1])]
            panels += [(f"{family}: read as asked, %", rows, mean_reading("samples", "read as asked"))]
            panels += [(f"{family}: largest step on the way", told, figure("largest step"))]
    if panels:
        draw(folder / "mechanisms.png", panels, 3)
    panels = []
    for family in FAMILIES:
        held_out = runs(results, "pairs", family, conditioning="film")
        if held_out:
            rows = {
                "none": runs(results, "mechanisms", family, conditioning="none"),
                "film, all pairs seen": runs(results, "mechanisms", family, conditioning="film"),
                "film, additive": held_out,
                "film, joint lookup": runs(results, "pairs", family, conditioning="film", joint=True),
            }
            panels += [(f"{family}: bits of held-out pairs", rows, figure("held-out pairs", "bits"))]
            reading = mean_reading("held-out pairs", "read as asked")
            panels += [(f"{family}: held-out pairs read as asked, %", rows, reading)]
    if panels:
        draw(folder / "pairs.png", panels, 2)
