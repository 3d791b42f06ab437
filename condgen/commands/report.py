"""The report of `condgen evaluate`, for people."""

from __future__ import annotations

from functools import partial
from statistics import stdev
from typing import Any

from condgen.commands.judged import table_of_judges

MANY, WORST = 40, 20  # classes from which on a table shows the worst alone, and how many of these


def markdown(report: dict[str, Any]) -> str:
    """Write the report."""
    options = ("temperature", "guidance", "film_guidance", "truncation")
    tempered = "".join(f", {name} {report[name]:g}" for name in options if report.get(name))
    times = f", samples drawn {report['samplings']} times (± standard deviation)" if report["samplings"] > 1 else ""
    lines = [
        "# Evaluation",
        "",
        f"Checkpoint {report['checkpoint'][:12]}, {report['weights']} weights, seed {report['seed']}{times}{tempered}; "
        f"the test split of {describe(report['data'])}.",
        *_likelihood(report.get("likelihood")),
    ]
    for name, samples in report["samples"].items():
        lines += _samples(name, samples)
    lines += table_of_judges(report.get("judges", {}))
    lines += _copies(report.get("copy_synthesis"))
    if "stopped" in report:
        lines += ["", f"Stopped before the end ({report['stopped']}): the figures above are whole, others are missing."]
    return "\n".join(lines) + "\n"


def _likelihood(found: dict[str, Any] | None) -> list[str]:
    """Write the table of likelihoods."""
    if found is None:
        return []
    unit = "bits/dim" if found["dim"] == "dim" else f"bits per {found['dim']}"
    lines = [
        "",
        f"| likelihood of {found['examples']} held-out examples | |",
        "| --- | --- |",
        f"| {unit} | {found['bits_per_dim']:.3f} |",
        f"| nats per example | {found['nats']:.2f} |",
    ]
    for name, gap in found["swap_gap"].items():
        count, of = found["others"][name]
        labels = "mean of all others" if count == of else f"{count} of {of:,} others drawn for each example"
        lines.append(f"| {unit} more with another {name} (label-swap gap, {labels}) | {gap:.3f} |")
    if found["marginal_nats"] is not None:
        lines.append(f"| nats per example, class summed out (compares with unconditional models) | "
                     f"{found['marginal_nats']:.2f} |")  # fmt: skip
        lines.append(f"| true class makes it most probable | {found['bayes_accuracy']:.1%} |")
    return lines


def _samples(name: str, samples: dict[str, Any]) -> list[str]:
    """Write the table of one kind of class."""
    floor, lesson = samples["floor"], samples.get("lesson")
    drawn = partial(_over_samplings, samples)
    lines = [
        "",
        f"| {samples['count']} samples, read by a classifier of {name} trained on real training data | samples | "
        "real training examples of the same classes | real held-out examples |",
        "| --- | --- | --- | --- |",
        f"| read as asked | {drawn('accuracy', '.1%')} | {floor['accuracy']:.1%} | "
        f"{samples['held_out_accuracy']:.1%} |",
        f"| read as the class asked of another sample (at chance, if classes are heeded) | "
        f"{drawn('shuffled', '.1%')} | {floor['shuffled']:.1%} | |",
        f"| held-out examples covered | {drawn('coverage', '.1%')} | {floor['coverage']:.1%} | |",
        f"| Fréchet distance to held-out examples | {drawn('frechet', '.2f')} | {floor['frechet']:.2f} | 0 |",
        f"| the same within each class, mean | {drawn('within', '.2f')} | {floor['within']:.2f} | 0 |",
    ]
    if lesson is not None:
        lines.append(f"| held-out examples read right by a classifier trained on {lesson['count']} of these alone | "
                     f"{lesson['accuracy']:.1%} | {lesson['real_accuracy']:.1%} | |")  # fmt: skip
    lines += ["", f"| {name} asked | samples | read as it | real ones read as it | no near copies of each other |",
              "| --- | --- | --- | --- | --- |"]  # fmt: skip
    worst = sorted(samples["by_class"].items(), key=lambda item: item[1]["read"] - item[1]["real_read"])[:WORST]
    shown = samples["by_class"].items() if len(samples["by_class"]) <= MANY else worst
    lines += [f"| {label} | {found['count']} | {found['read']:.1%} | {found['real_read']:.1%} | "
              f"{found['diversity']:.1%} |" for label, found in shown]  # fmt: skip
    if len(samples["by_class"]) > MANY:
        lines += ["", f"The {WORST} of {len(samples['by_class']):,} that lack most of what real ones have; all are in "
                      "report.json."]  # fmt: skip
    return lines + [line for alarm in samples["alarms"] for line in ("", f"**Alarm:** {alarm}.")]


def _over_samplings(samples: dict[str, Any], name: str, form: str) -> str:
    """Write a figure of samples: where they were drawn more than once, the mean, and the standard deviation of it."""
    figures = [sampling[name] for sampling in samples["samplings"]]
    if len(figures) == 1:
        return format(figures[0], form)
    return f"{samples[name]:{form}} ± {stdev(figures):{form}}"


def _copies(found: dict[str, Any] | None) -> list[str]:
    """Write the table of copy-synthesis."""
    if found is None:
        return []
    lines = ["", "| copies of held-out clips from their mel spectrograms | model | Griffin-Lim | original, quantized |",
             "| --- | --- | --- | --- |",
             f"| log-mel distance, dB | {found['distance']:.2f} | {found['griffin_lim']:.2f} | "
             f"{found['quantized']:.2f} |"]  # fmt: skip
    for name, accuracy in found["accuracy"].items():
        others = [found[f"{kind}_accuracy"][name] for kind in ("griffin_lim", "original")]
        lines.append(f"| {name} read as in the original | {accuracy:.1%} | {others[0]:.1%} | {others[1]:.1%} |")
    return lines


def describe(settings: dict[str, Any]) -> str:
    """Name the data with its options, such as `MNIST (binarize fixed)`."""
    source = settings["source"]
    options = {**source.get("init_args", {}), **{k: v for k, v in settings["changed"].items() if k != "source"}}
    options |= settings["changed"].get("source", {})
    words = ", ".join(f"{name} {value}" for name, value in options.items() if name not in ("download", "source.root"))
    return source["class_path"].split(".")[-1] + (f" ({words})" if words else "")
