"""Distances between sets of feature vectors that no library offers in the form needed."""

from __future__ import annotations

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """Return the Fréchet distance of two Gaussians fitted to features, each (examples, features).

    Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017. Its size depends on the features and
    grows as examples get fewer: compare only values from the same classifier and the same numbers of examples.
    """
    identity = nn.Identity()
    identity.num_features = real.shape[1]  # type: ignore[assignment]
    metric = FrechetInceptionDistance(feature=identity).set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(generated.double(), real=False)
    return float(metric.compute())


def coverage(real: Tensor, generated: Tensor, k: int = 5) -> float:
    """Return the share of real examples with a generated one no farther away than their k-th nearest real neighbour.

    A generator that repeats a few prototypes covers little, however good they are.

    Source: Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020, equation 10.

    Args:
        real: features of real examples, (examples, features), more than k examples.
        generated: features of generated examples, (examples, features).
        k: rank of the neighbour.
    """
    if len(real) <= k:
        raise ValueError(f"coverage with k {k} needs more than {k} real examples; got {len(real)}")
    radius = NearestNeighbors(n_neighbors=k).fit(real.numpy()).kneighbors()[0][:, -1]
    nearest = NearestNeighbors(n_neighbors=1).fit(generated.numpy()).kneighbors(real.numpy())[0][:, 0]
    return float((nearest <= radius).mean())
