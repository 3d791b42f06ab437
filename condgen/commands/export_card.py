"""The card of an exported model, README.md: what it is, what it takes, what it learnt from, and how good it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from condgen.checkpoint import Checkpoint
from condgen.commands.model_card import card
from condgen.paths import require_file

UNSAID = "Not said."
NO_REPORT = "Not measured: `condgen export --report FILE` takes what `condgen evaluate` wrote."
SECTIONS = ("Use", "Conditions", "Data", "Training", "Figures", "Licence")


class Said(NamedTuple):
    """What the card says in the words of whoever exports the model; see `condgen export`.

    Attributes:
        trained_by: command that trained it.
        trained_on: machine that trained it, and its time.
        licence: licence of the weights.
        data_licence: licence of the training data.
    """

    trained_by: str | None
    trained_on: str | None
    licence: str | None
    data_licence: str | None


def read_report(path: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Read the report of `condgen evaluate` on a checkpoint.

    Raises:
        ValueError: it is none, or of another checkpoint, or of other weights.
    """
    require_file(path, "report.json, which `condgen evaluate` writes")
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        list(figures(report))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no report.json of `condgen evaluate`") from None
    if report["checkpoint"] != checkpoint.sha256:
        raise ValueError(f"{path} is of another checkpoint than {checkpoint.path}: measure this one")
    if report["weights"] != "ema":
        raise ValueError(f"{path} measured the last weights, and what is exported is their average: measure it without "
                         "--weights")  # fmt: skip
    return dict(report)


def card_of(name: str, checkpoint: Checkpoint, bits: str, report: Mapping[str, Any] | None, said: Said) -> str:
    """Write the card.

    Args:
        name: name of the model.
        checkpoint: checkpoint that was exported.
        bits: precision of the weights.
        report: report of `condgen evaluate`.
        said: words of whoever exports it.
    """
    known: dict[str, list[str]] = {}
    for word, text in card(checkpoint, name):
        known.setdefault(word, []).append(text)
    as_measured = "".join(f" --{n} {value:g}" for n, value in tempering(report or {}).items() if value != 1)
    use = fenced("bash", *(command + as_measured for command in known["draw from it"]))
    sections = {
        "Use": [*use, "", *fenced("python", "import condgen", "", f'model = condgen.load("{name}")')],
        "Conditions": [*(f"- {text}" for text in known["condition"]),
                       *(f"- mechanism: {text}" for text in known.get("mechanism", []))],
        "Data": [*known["data"], "", f"Licence of the data: {said.data_licence or UNSAID}"],
        "Training": [*(fenced("bash", said.trained_by) if said.trained_by else [UNSAID]), "",
                     "; ".join([*known["training"], *known.get("score", []), *filter(None, [said.trained_on])]) + "."],
        "Figures": [NO_REPORT] if report is None else [*figures(report)],
        "Licence": [said.licence or UNSAID],
    }  # fmt: skip
    lines = [f"# {name}", "", f"{known['network'][0]}; {bits} weights."]
    for title in SECTIONS:
        lines += ["", f"## {title}", "", *sections[title]]
    return "\n".join(lines) + "\n"


def tempering(report: Mapping[str, Any]) -> dict[str, float]:
    """Return how the samples of a report were drawn, as far as that was said."""
    options = ("temperature", "guidance", "film_guidance", "truncation")
    guided = ("guidance", "film_guidance")
    return {name: report[name] for name in options
            if report.get(name) is not None and (report[name] or name not in guided)}  # fmt: skip


def fenced(language: str, *lines: str) -> list[str]:
    """Write lines of code."""
    return [f"```{language}", *lines, "```"]


def figures(report: Mapping[str, Any]) -> Iterator[str]:
    """Write the figures of a report in a table, beside those that real data get."""
    found, samples = report.get("likelihood"), report["samples"]
    yield from ("| | model | real data |", "| --- | --- | --- |")
    if found is not None:
        unit = "bits/dim" if found["dim"] == "dim" else f"bits per {found['dim']}"
        yield f"| {unit}, {found['examples']:,} held-out examples | {found['bits_per_dim']:.3f} | |"
    for name, read in samples.items():
        floor = read["floor"]
        asked, real = read["accuracy"], read["held_out_accuracy"]
        yield f"| {name} read as asked, {read['count']:,} samples | {asked:.1%} | {real:.1%} |"
        yield f"| held-out examples covered, features of {name} | {read['coverage']:.1%} | {floor['coverage']:.1%} |"
        yield f"| Fréchet distance, features of {name} | {read['frechet']:.2f} | {floor['frechet']:.2f} |"
    tempered = [f"{name} {value:g}" for name, value in tempering(report).items()]
    yield ""
    times = report.get("samplings", 1)
    drawn = [f"means of samples drawn {times} times"] if times > 1 else []
    yield f"By `condgen evaluate`, seed {report['seed']}" + "".join(f", {text}" for text in drawn + tempered) + "."
