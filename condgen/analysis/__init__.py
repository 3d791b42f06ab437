"""Analysis of task representations: what the FiLM parameters of conditions look like, and what each part of them does.

Everything here takes `FiLMParameters` with labels, whoever made them: of a model of condgen, `condgen.load(MODEL).film`
gives them; of a network of one's own, they are written down as they are:

    film = FiLMParameters({"block1": GammaBeta(gamma, beta)}, {"question": words})  # (rows, channels) each
    maps = feature_maps(film)
    print(statistics(maps).between, clusters(maps)[0].explained, neighbours(whole(film), words))
    save_scatter("scatter.png", maps, colour="question")

`condgen analyze MODEL` makes a report of all of it.
"""

from condgen.analysis.ablation import Ablation, Change, Representation, ablate, mixed, noisy, over_rows
from condgen.analysis.arithmetic import Arithmetic, arithmetic
from condgen.analysis.clusters import Clusters, Explained, clusters
from condgen.analysis.maps import FeatureMaps, choose_layers, feature_maps, pooled
from condgen.analysis.paths import Smoothness, groups_of, path, smoothness, turning_points
from condgen.analysis.pictures import (
    magma,
    save_ablation,
    save_clusters,
    save_maps,
    save_path,
    save_scatter,
    save_strips,
)
from condgen.analysis.projection import Neighbours, neighbours, project, whole, without
from condgen.analysis.scales import before_film, feature_spread, standardised
from condgen.analysis.statistics import Axis, Statistics, main_axis, statistics, variance_between

__all__ = [
    "Ablation",
    "Arithmetic",
    "Axis",
    "Change",
    "Clusters",
    "Explained",
    "FeatureMaps",
    "Neighbours",
    "Representation",
    "Smoothness",
    "Statistics",
    "ablate",
    "arithmetic",
    "before_film",
    "choose_layers",
    "clusters",
    "feature_maps",
    "feature_spread",
    "groups_of",
    "magma",
    "main_axis",
    "mixed",
    "neighbours",
    "noisy",
    "over_rows",
    "path",
    "pooled",
    "project",
    "save_ablation",
    "save_clusters",
    "save_maps",
    "save_path",
    "save_scatter",
    "save_strips",
    "smoothness",
    "standardised",
    "statistics",
    "turning_points",
    "variance_between",
    "whole",
    "without",
]
