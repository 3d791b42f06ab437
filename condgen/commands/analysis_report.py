"""The report of `condgen analyze`, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from condgen.commands.tables import figure, table

GREEK = {"gamma": "γ", "beta": "β", "both": "both"}
TITLES = {"figures": "γ and β by feature map", "clusters": "Sub-clusters", "map": "Maps of whole representations",
          "arithmetic": "Arithmetic", "paths": "Between two classes",
          "ablation": "What carries the condition"}  # fmt: skip
PLACES = {"full": "all numbers", "without": "all numbers, less the means of the other conditions"}
SIDES = {"as_is": "as they are", "standardised": "standardised"}


def markdown(report: dict[str, Any]) -> str:
    """Write the report."""
    of = report["subject"]
    layers, maps = len(of["layers"]), sum(of["layers"].values())
    classes = [f"{name} ({len(words)} classes)" for name, words in of["classes"].items()]
    lines = [f"# Task representations of {report['model']}", "",
             f"Checkpoint {report['checkpoint'][:12]}, {report['weights']} weights, seed {report['seed']}: "
             f"{of['network']}, conditioning `{of['conditioning']}`, {layers} FiLM layers with {maps:,} feature maps; "
             f"conditions: {', '.join([*classes, *of['averaged']])}. A row is one of the {of['rows']}.",
             *_averaged(of["averaged"])]  # fmt: skip
    if report["readers"]:
        right = ", ".join(f"{name} {share:.1%}" for name, share in report["readers"].items())
        lines += ["", f"Of real held-out examples, the classifiers that read samples read right: {right}."]
    for name, title in TITLES.items():
        if name in report:
            lines += ["", f"## {title}", "", *WRITERS[name](report[name])]
        elif name in report["left_out"]:
            lines += ["", f"## {title}", "", f"Left out: {report['left_out'][name]}."]
    if "stopped" in report:
        lines += [
            "",
            f"Stopped before the end ({report['stopped']}): the sections above are whole, others are missing.",
        ]
    return "\n".join(lines) + "\n"


def _averaged(local: dict[str, str]) -> list[str]:
    if not local:
        return []
    return ["", f"What {', '.join(local)} ({', '.join(sorted(set(local.values())))}) adds is averaged over frames or "
            "positions in all figures of γ and β, and in no sample: so these show the global conditions, where "
            "conditions add up."]  # fmt: skip


def _figures(found: dict[str, Any]) -> list[str]:
    """Write the section of statistics."""
    sides = {SIDES[kind]: found[kind] for kind in SIDES}
    parts = list(found["as_is"]["between"])
    lines = table(
        ["", *(f"{GREEK[part]}, {name}" for name in sides for part in parts)],
        [["variance between maps (η²)", *(figure(s["between"][p]) for s in sides.values() for p in parts)],
         ["the same, shuffled", *(figure(s["shuffled"][p]) for s in sides.values() for p in parts)],
         ["below 0", *(_share(s["negative"].get(p)) for s in sides.values() for p in parts)]],
    )  # fmt: skip
    axes = found["as_is"]["axes"]
    if axes:
        steep = sum(abs(axis["angle"]) > 45 for axis in axes) / len(axes)
        anisotropy, shuffled = (_median(axis[kind] for axis in axes) for kind in ("anisotropy", "shuffled"))
        lines += ["", f"Main axis of a map's points (γ, β), median over {len(axes):,} maps: anisotropy "
                  f"{anisotropy:.2f} (shuffled {shuffled:.2f}); {steep:.0%} of the axes are nearer to β than to "
                  "γ."]  # fmt: skip
    if len(found["by_layer"]) > 1:
        free = [part for part in parts if part != "both"]
        lines += ["", *table(
            ["layer", *(f"η², {GREEK[part]}" for part in parts), *(f"{GREEK[part]} below 0" for part in free)],
            [[name, *(figure(layer["between"].get(part)) for part in parts),
              *(_share(layer["negative"].get(part)) for part in free)]
             for name, layer in found["by_layer"].items()],
        )]  # fmt: skip
    spread = [value for _, value, _ in found["spread"].values()]
    lines += ["", "Numbers of different maps compare only up to the scale of what they modulate. Standardised, they "
              "are those of features with a spread of 1: " + _how(parts) + " The median spread s of a layer's maps "
              f"goes from {min(spread):.3g} to {max(spread):.3g}.", "",
              "![γ and β as they are](scatter_as_is.png)", "", "![standardised](scatter_standardised.png)"]  # fmt: skip
    return lines


def _how(parts: list[str]) -> str:
    if "gamma" not in parts:
        return "β/s, since γ is fixed at 1, and a layer's result is then measured in units of s as well."
    return "γ·s and β, since γx + β = (γs)(x/s) + β."


def _clusters(found: dict[str, Any]) -> list[str]:
    """Write the section of sub-clusters."""
    several = [m for m in found["maps"] if m["explained"]]
    told = sorted(((e["information"], m, name, e) for m in several for name, e in m["explained"].items()),
                  key=lambda item: -item[0])[:8]  # fmt: skip
    lines = [f"Of the {found['looked_at']} maps of {found['of']:,} that differ most between rows, {found['several']} "
             "fall into several clusters, by the Bayesian information criterion of Gaussian mixtures. Information: "
             "adjusted mutual information of cluster and condition, 1 at most, 0 at chance."]  # fmt: skip
    if told:
        lines += ["", *table(
            ["map", "clusters", "silhouette", "condition", "information", "shuffled", "class that lies apart",
             "of it, in one cluster", "of the others"],
            [[f"{m['layer']} {m['map']}", str(m["count"]), figure(m["silhouette"], ".2f"), name, figure(i, ".2f"),
              figure(e["shuffled"], ".2f"), e["value"], _share(e["within"]), _share(e["elsewhere"])]
             for i, m, name, e in told],
        ), "", "![sub-clusters](clusters.png)"]  # fmt: skip
    return lines


def _map(found: dict[str, Any]) -> list[str]:
    """Write the section of maps."""
    rows = [[name, PLACES.get(place, place), str(n["k"]),
             *(_share(n[kind]) for kind in ("accuracy", "shuffled", "majority"))]
            for name, places in found["neighbours"].items() for place, n in places.items() if n]  # fmt: skip
    lines = [f"{found['rows']} representations of {found['numbers']:,} numbers each."]
    if rows:
        lines += ["", *table(["condition", "where", "k", "told by the k nearest neighbours", "shuffled",
                              "commonest class"], rows)]  # fmt: skip
    else:
        lines[0] += " Each class has one, so there are no neighbours of its own class to ask."
    return [*lines, "", "![maps](maps.png)"]


def _arithmetic(found: dict[str, Any]) -> list[str]:
    """Write the section of arithmetic."""
    lines = []
    for told in found.values():
        first, second = told["first"], told["second"]
        lines += ["", f"f(b, x) against f(a, x) + f(b, y) − f(a, y), for {first} a, b and {second} x, y "
                  f"({told['analogies']:,} of them): relative error {told['error']:.2g}; against a random pair "
                  f"instead, {told['shuffled']:.2f}."]  # fmt: skip
        if "read" in told:
            lines[-1] += (f" Samples of the sums are read as asked in {told['read']['sums']:.1%}, and of f(b, x) "
                          f"itself, with the same noise, in {told['read']['direct']:.1%}.")  # fmt: skip
        elif told["error"] < 1e-4:
            lines[-1] += " Up to rounding they are the same, and so would be the samples: conditions add up."
        lines += ["", *table(
            ["condition", "variance that it explains", "cosine of a change under other classes of the other condition",
             "cosine of unrelated changes"],
            [[n, _share(told["variance"][n]), figure(told["directions"][n]), figure(told["unrelated"][n])]
             for n in (first, second)] + [["only both together", _share(told["variance"]["together"]), "", ""]],
        )]  # fmt: skip
    return lines[1:]


def _paths(found: dict[str, Any]) -> list[str]:
    """Write the section of paths."""
    lines = []
    for name, way in found.items():
        unit = way.get("unit", " ")
        lines += ["", f"### {name}: {way['from']} → {way['to']}", "",
                  f"(1 − a)·f({way['from']}) + a·f({way['to']}), {way['samples']} samples at each of "
                  f"{len(way['weights'])} steps, with the same noise."]  # fmt: skip
        if "turns" in way:
            turns = ", then ".join(f"{answer} from a = {a:g}" for a, answer in way["turns"])
            lines[-1] += f" Most read: {turns}."
        lines += ["", *_smooth(way), f"![from {way['from']} to {way['to']}](path_{name}.png)"]
        if "alone" in way:
            moved = [[n, figure(loss), figure(way["first"][n])] for n, loss in way["alone"].items()]
            lines += ["", f"{unit[0].upper()}{unit[1:]} of held-out {way['to']} when some layers have its "
                      f"parameters and all others those of {way['from']} "
                      f"(none: {way['bits'][way['to']][0]:.3f}, all: {way['bits'][way['to']][-1]:.3f}):", "",
                      *table(["layers", "these alone", "these and all before"], moved)]  # fmt: skip
        if way["strips"]:
            lines += ["", f"![layer by layer](layers_{name}.png)"]
        if way["sounds"]:
            lines += ["", f"To be heard: {', '.join(f'[{a:g}](path_{name}_{a:.3f}.wav)' for a in way['weights'])}."]
    return lines[1:]


def _smooth(way: dict[str, Any]) -> list[str]:
    kinds = {"smoothness_of_reading": "classifier's reading", "smoothness_of_bits": f"{way.get('unit', '')}, held-out"}
    rows = [[words, figure(way[kind]["straightness"], ".2f"), figure(way[kind]["shuffled"], ".2f"),
             figure(way[kind]["evenness"], ".2f")] for kind, words in kinds.items() if kind in way]  # fmt: skip
    heads = [
        "smoothness",
        "straightness (1: nothing goes back)",
        "the same, steps shuffled",
        "evenness (1: equal steps)",
    ]
    return [*table(heads, rows), ""] if rows else []


def _ablation(found: dict[str, Any]) -> list[str]:
    """Write the section of ablations."""
    gap = found["mean"] - found["own"]

    def kept(loss: float) -> str:
        return f"{(found['mean'] - loss) / gap:.0%}" if gap > 0 else "–"

    unit = found["unit"]
    what = "samples" if "read" in unit else "held-out examples"
    whole = [["its own parameters", found["own"]],
             *([f"{GREEK[part]} at its mean", loss] for part, loss in found["parts"].items()),
             ["all at the mean over conditions", found["mean"]],
             ["those of another example (shuffled)", found["shuffled"]],
             *([f"noise of {float(size):g} standard deviations", v] for size, v in found["noise"].items())]  # fmt: skip
    lines = [f"{unit[0].upper()}{unit[1:]} of {found['examples']} {what}; kept: share of what knowing the "
             "condition is worth.", ""]  # fmt: skip
    lines += table(["parameters", unit, "kept"], [[name, figure(loss), kept(loss)] for name, loss in whole])
    if found["only"]:
        lines += ["", *table(["layers", "only these know the condition", "kept", "all but these know it", "kept"],
                             [[n, figure(v), kept(v), figure(found["without"][n]), kept(found["without"][n])]
                              for n, v in found["only"].items()])]  # fmt: skip
    return [*lines, "", "![what carries the condition](ablation.png)"]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _median(values: Iterable[float]) -> float:
    found = sorted(values)
    return found[len(found) // 2]


WRITERS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "figures": _figures, "clusters": _clusters, "map": _map, "arithmetic": _arithmetic, "paths": _paths,
    "ablation": _ablation,
}  # fmt: skip
