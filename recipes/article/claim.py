"""What a recipe of the article tells: a paper's claim, what came out here over several seeds, and the verdict.

A figure that is on disk is not computed again, and a figure of another effort is never taken for one of this.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Literal

from scipy.stats import t
from tqdm import tqdm

from condgen.atomic import whole_file

Verdict = Literal["reproduced in miniature", "not reproduced", "not decided by this evidence"]
Figures = dict[str, float]


@dataclass(frozen=True)
class Claim:
    """One claim of one paper.

    Attributes:
        system: paper, as "Perez et al. 2018, FiLM".
        claim: claim, in a sentence.
        published: figure of the paper with its place, or "no figure checked".
        unit: unit of the figures here, as "% of answers right".
        here: figure per seed, by variant.
        verdict: verdict, from `beats`, `reaches` and `all_of`.
    """

    system: str
    claim: str
    published: str
    unit: str
    here: Mapping[str, Sequence[float]]
    verdict: Verdict


@dataclass(frozen=True)
class Story:
    """Everything that a recipe tells; it stands in DIR/NAME.json, beside its picture DIR/NAME.png.

    Attributes:
        name: name of the recipe.
        article: what the article says of these systems, in a sentence of our own that names its section.
        caption: what the picture shows, in a sentence.
        claims: claims.
        effort: share of the full training budget.
        seconds: seconds of a core that all its figures took.
    """

    name: str
    article: str
    caption: str
    claims: Sequence[Claim]
    effort: float
    seconds: float

    def write(self, folder: Path) -> None:
        """Write the story, and print its table."""
        with whole_file(folder / f"{self.name}.json") as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")
        print("\n".join(table(self)))

    @classmethod
    def read(cls, file: Path) -> Story:
        """Read a story."""
        kept = json.loads(file.read_text())
        return cls(**{**kept, "claims": [Claim(**claim) for claim in kept["claims"]]})


@dataclass
class Kept:
    """Figures on disk: `kept("film seed 0", compute)` computes them unless DIR/NAME.figures.json has them.

    Attributes:
        folder: folder of the file; it is made.
        name: name of the recipe.
        effort: share of the full training budget; figures of another one do not count.
    """

    folder: Path
    name: str
    effort: float
    figures: dict[str, Figures] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.file.is_file():
            kept = json.loads(self.file.read_text())
            self.figures = kept["figures"] if kept["effort"] == self.effort else {}

    @property
    def file(self) -> Path:
        """The file."""
        return self.folder / f"{self.name}.figures.json"

    @property
    def seconds(self) -> float:
        """Seconds of a core that all the figures took."""
        return sum(figures["seconds"] for figures in self.figures.values())

    def __call__(self, key: str, compute: Callable[[], Figures]) -> Figures:
        """Return the figures of a key with the "seconds" of a core that they took."""
        if key not in self.figures:
            start = time.process_time()
            found = compute()
            self.figures[key] = {**found, "seconds": time.process_time() - start}
            with whole_file(self.file) as temporary:
                temporary.write_text(json.dumps({"effort": self.effort, "figures": self.figures}, indent=1) + "\n")
        return self.figures[key]

    def each(
        self, variants: Collection[str], seeds: int, compute: Callable[[str, int], Figures]
    ) -> dict[str, list[Figures]]:
        """Return the figures of every variant, one for each seed, seed by seed under a progress bar."""
        found: dict[str, list[Figures]] = {variant: [] for variant in variants}
        for seed, variant in tqdm(list(product(range(seeds), variants)), desc=self.name):
            found[variant].append(self(f"{variant} seed {seed}", partial(compute, variant, seed)))
        return found


def half_width(values: Sequence[float]) -> float:
    """Return half the width of Student's 95 % interval of a mean; infinite for a single value."""
    n = len(values)
    return math.inf if n < 2 else float(t.ppf(0.975, n - 1)) * stdev(values) / math.sqrt(n)


def reaches(values: Sequence[float], bound: float) -> Verdict:
    """Say whether a mean is at least a bound: decided where the 95 % interval lies on one side of it."""
    centre, half = mean(values), half_width(values)
    if centre - half >= bound:
        return "reproduced in miniature"
    return "not reproduced" if centre + half < bound else "not decided by this evidence"


def beats(better: Sequence[float], worse: Sequence[float], by: float = 0.0) -> Verdict:
    """Say whether one variant is better than another by more than `by`, from differences within each seed."""
    differences = [a - b - by for a, b in zip(better, worse, strict=True)]
    decided = reaches(differences, 0.0)
    return "not decided by this evidence" if not any(differences) else decided


def all_of(*verdicts: Verdict) -> Verdict:
    """Say whether all parts of a claim hold: one that fails decides, and then one that is open."""
    for decisive in ("not reproduced", "not decided by this evidence"):
        if decisive in verdicts:
            return decisive
    return "reproduced in miniature"


def with_interval(values: Sequence[float]) -> str:
    """Write a mean and half the width of its 95 % interval."""
    digits = 1 if abs(mean(values)) >= 10 else 3
    half = half_width(values)
    return f"{mean(values):.{digits}f}" + ("" if math.isinf(half) else f" ± {half:.{digits}f}")


def table(story: Story) -> list[str]:
    """Write a row per claim: the paper, its claim and figure, what came out here, and the verdict."""
    rows = ["| system | claim | published | here | verdict |", "| --- | --- | --- | --- | --- |"]
    for c in story.claims:
        here = "; ".join(f"{variant} {with_interval(values)}" for variant, values in c.here.items())
        seeds = max(map(len, c.here.values()))
        rows.append(f"| {c.system} | {c.claim} | {c.published} | {c.unit}, {seeds} seeds: {here} | **{c.verdict}** |")
    return rows
