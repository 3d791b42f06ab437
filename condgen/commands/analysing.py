"""What `condgen analyze` does, section by section."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from condgen.analysis import (
    FeatureMaps,
    clusters,
    feature_maps,
    feature_spread,
    neighbours,
    project,
    save_clusters,
    save_maps,
    save_scatter,
    standardised,
    statistics,
    whole,
    without,
)
from condgen.analysis.clusters import FEWEST, Clusters
from condgen.analysis.maps import choose_layers
from condgen.analysis.projection import Method
from condgen.analysis.scales import before_film
from condgen.checkpoint import Checkpoint
from condgen.commands.ablating import ablation, adding_up, working
from condgen.commands.subject import LeftOut, Subject, Wanted, subject, taught
from condgen.commands.travelling import ends, travels
from condgen.conditioning.mechanism import in_words
from condgen.models.conditional import Model

CLUSTERED = 32  # maps whose sub-clusters are looked for
PROJECTIONS: dict[str, Method] = {"PCA": "pca", "t-SNE": "tsne"}

Section = Callable[[Path, Subject, Wanted], dict[str, Any]]


def analysed(folder: Path, checkpoint: Checkpoint, model: Model, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Analyse a model section by section; yield all figures so far whenever one is finished.

    Args:
        folder: folder for pictures and samples.
        checkpoint: checkpoint of the model.
        model: model in evaluation mode.
        wanted: arguments of `condgen analyze`.
    """
    of = subject(checkpoint, model, wanted.data, wanted.seconds)
    feature_maps(of.film, wanted.layers, wanted.maps)  # fails before any long work
    ends(of, wanted.between)
    of = taught(of, wanted.seed, wanted.classifier_steps)
    report: dict[str, Any] = {"subject": facts(of), "readers": of.readers(), "left_out": {}}
    for name, (words, section) in SECTIONS.items():
        print(f"condgen: {words}", file=sys.stderr)
        try:
            report[name] = section(folder, of, wanted)
        except LeftOut as reason:
            report["left_out"][name] = str(reason)
        yield report


def facts(of: Subject) -> dict[str, Any]:
    """Say what is analysed."""
    local = {name: encoder.scope for name, encoder in of.model.encoders.items() if encoder.scope != "global"}
    return {
        "network": type(of.model.network).__name__, "conditioning": in_words(of.model.film_generator.conditioning),
        "layers": {name: sum(p.shape[1] for p in list(pair.parts.values())[:1]) for name, pair in of.film.items()},
        "rows": of.rows, "classes": of.classes, "labels": list(of.film.labels), "averaged": local,
        "data": "" if of.data is None else type(of.data).__name__,
    }  # fmt: skip


def figures(folder: Path, of: Subject, wanted: Wanted) -> dict[str, Any]:
    """Measure and draw (γ, β) by feature map: as they are, and in units of the features before FiLM."""
    maps = feature_maps(of.film, wanted.layers, wanted.maps)
    spread = feature_spread(before_film(of.model.network.film_layers), lambda: working(of, wanted))
    scaled = standardised(of.film, {name: s.to(of.device) for name, s in spread.items()})
    sides = {"as_is": maps, "standardised": feature_maps(scaled, wanted.layers, wanted.maps)}
    report: dict[str, Any] = {"spread": {n: [float(s.min()), float(s.median()), float(s.max())]
                                         for n, s in spread.items() if n in set(maps.layers)}}  # fmt: skip
    for kind, side in sides.items():
        colour = next((name for name, words in side.labels.items() if len(set(words)) > 1), None)
        save_scatter(folder / f"scatter_{kind}.png", side, colour, unit=_unit(side, kind))
        report[kind] = asdict(statistics(side, wanted.seed))
    each = {name: statistics(feature_maps(of.film, [name], wanted.maps)) for name in dict.fromkeys(maps.layers)}
    report["by_layer"] = {name: {"between": s.between, "negative": s.negative} for name, s in each.items()}
    return report


def _unit(maps: FeatureMaps, kind: str) -> str:
    """Say in which unit numbers are."""
    if kind == "as_is":
        return ""
    return ", in standard deviations s of the features" if maps.gamma is None else " (γ·s, β: for features of spread 1)"


def sub_clusters(folder: Path, of: Subject, wanted: Wanted) -> dict[str, Any]:
    """Look for sub-clusters of the maps that differ most."""
    maps = feature_maps(of.film, wanted.layers, wanted.maps)
    if maps.rows < FEWEST:
        raise LeftOut(f"{maps.rows} rows are too few to fall into clusters: {FEWEST} are needed")
    shown = maps.most_varied(CLUSTERED)
    found = clusters(shown, seed=wanted.seed)
    best = sorted((i for i in range(len(found)) if found[i].explained), key=lambda i: -_told(found[i]))[:4]
    if best:
        save_clusters(folder / "clusters.png", shown.take(best), [found[i] for i in best])
    maps_of = [{**asdict(each), "members": None} for each in found]
    return {"looked_at": len(found), "of": len(maps), "several": sum(c.count > 1 for c in found), "maps": maps_of}


def _told(found: Clusters) -> float:
    return max(explained.information for explained in found.explained.values())


def landscape(folder: Path, of: Subject, wanted: Wanted) -> dict[str, Any]:
    """Draw whole representations on maps and ask their neighbours."""
    points = whole(choose_layers(of.film, wanted.layers))
    if len(points) < 3:
        raise LeftOut(f"{len(points)} rows make no map")
    drawn = {name: project(points, method, wanted.seed) for name, method in PROJECTIONS.items()}
    labels = {name: words for name, words in of.film.labels.items() if len(set(words)) > 1} or {
        "row": [""] * len(points)
    }
    places = {"full": points, **drawn}
    told = {}
    for name, words in labels.items():
        others = [other for condition, other in labels.items() if condition != name]
        left = {"without": without(points, *others)} if others else {}
        told[name] = {place: neighbours(where, words, seed=wanted.seed) for place, where in {**places, **left}.items()}
    titles = {
        (name, place): f"{place}, coloured by {name}; neighbours tell {found.accuracy:.0%}"
        for name, each in told.items()
        for place, found in each.items()
        if found is not None
    }
    save_maps(folder / "maps.png", drawn, labels, titles)
    asked = {name: {place: found and asdict(found) for place, found in each.items()} for name, each in told.items()}
    return {"rows": len(points), "numbers": points.shape[1], "neighbours": asked}


SECTIONS: dict[str, tuple[str, Section]] = {
    "figures": ("measuring γ and β by feature map", figures),
    "clusters": ("looking for sub-clusters", sub_clusters),
    "map": ("drawing maps of whole representations", landscape),
    "arithmetic": ("adding conditions up", adding_up),
    "paths": ("going from one class to another", travels),
    "ablation": ("taking parts away", ablation),
}
