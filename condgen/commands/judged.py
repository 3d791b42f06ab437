"""What judges from outside say, for people."""

from __future__ import annotations

from collections.abc import Mapping

KINDS = ("samples", "training", "held_out")
Figures = Mapping[str, Mapping[str, float]]


def table_of_judges(judges: Mapping[str, Figures]) -> list[str]:
    """Write the table of what each judge says of samples and of real examples; none if none was asked."""
    rows = [row for judge, figures in judges.items() for row in ROWS[judge](figures)]
    if not rows:
        return []
    lines = ["", "| judges from outside | samples | real training examples of the same classes | "
             "real held-out examples |",
             "| --- | --- | --- | --- |", *rows]  # fmt: skip
    if set(judges) - {"prdc"}:
        lines += ["", "These judges of speech learnt from sound of 16 kHz. What they say of real clips is what they "
                      "can hear here: compare with that only, above all where clips have a lower rate."]  # fmt: skip
    return lines


def _row(label: str, cells: Mapping[str, str]) -> str:
    return f"| {label} | {' | '.join(cells.get(kind, '') for kind in KINDS)} |"


def _shown(label: str, found: Mapping[str, float], form: str) -> str:
    return _row(label, {kind: format(value, form) for kind, value in found.items()})


def _speaker(figures: Figures) -> list[str]:
    return [
        _shown("similarity to the voice asked for, mean cosine (Resemblyzer)", figures["similarity"], ".3f"),
        _shown("similarity to the other voices", figures["to_others"], ".3f"),
        _shown("nearest to the voice asked for", figures["nearest"], ".1%"),
    ]


def _words(figures: Figures) -> list[str]:
    return [_shown(f"{name} recognised as the word asked for (PocketSphinx)", found, ".1%")
            for name, found in figures.items()]  # fmt: skip


def _naturalness(figures: Figures) -> list[str]:
    most = max(figures["clips"].values())
    both = {kind: f"{figures['overall'][kind]:.2f} ± {figures['overall_spread'][kind]:.2f}" for kind in KINDS}
    return [
        _row(f"naturalness from 1 to 5, mean and spread of {most:g} clips (DNSMOS)", both),
        _shown("the same of the speech alone", figures["speech"], ".2f"),
    ]


def _prdc(figures: Figures) -> list[str]:
    return [_shown(f"{name}, to held-out examples", found, ".3f") for name, found in figures.items()]


ROWS = {"speaker": _speaker, "words": _words, "naturalness": _naturalness, "prdc": _prdc}
