"""Batches of one example, in which batch norm finds a single value of each channel where a map has one position."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import nn

from condgen.models.contract import DiscriminatorNetwork, GeneratorNetwork


def takes_one(generator: GeneratorNetwork, discriminator: DiscriminatorNetwork) -> bool:
    """Tell whether networks train on a batch of one example: batch norm needs two values or more of a channel."""
    ours, theirs = (cast(nn.Module, copy.deepcopy(network)).train() for network in (generator, discriminator))
    like = next(ours.parameters())
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            theirs(ours(like.new_zeros(1, generator.noise)))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            return False
    return True


def refuse_ones(examples: int) -> None:
    """Refuse batches of one example where they are all.

    Raises:
        ValueError: a full batch has one example.
    """
    if examples < 2:
        raise ValueError("batches of one example cannot go through batch norm on a map of one position: set "
                         "data.batch_size to at least 2, a larger start of both networks, or norm none")  # fmt: skip
