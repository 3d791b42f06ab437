"""Crops and order of clips: no part of a clip is left out, and what stands beside a crop is on its side."""

import numpy as np
import pytest
import torch

from condgen.data import Speech
from condgen.data.store import ClipStore


def make_speech(samples, **options):
    """A data module whose only clip is 0, 1, 2, …, so that a level tells where it stood."""
    data = Speech(Source(), 1000, levels=4096, companding="linear", **options)
    levels = np.arange(samples, dtype=np.int32)
    data.stores = {"train": ClipStore(levels, np.array([0, samples]), {}, {}, ["a.wav"], 0.0)}
    return data


class Source:
    """Of nothing: the stores are filled by hand."""

    names, phonemes = {}, []


def test_the_ends_of_a_clip_are_scored_too():
    """A sample lies in at least 100 of the 381 places from which a crop of 100 is drawn, beyond the ends of a clip of
    280 too. Drawn from inside alone, its first sample would be in one of 181."""
    torch.manual_seed(0)
    x, _, scored = make_speech(280, crop=100).dataset("train").__getitems__([0] * 3000)
    counts = np.bincount(x[:, 0][scored].numpy(), minlength=280)
    assert counts.min() > 0.85 * 3000 * 100 / 381


@pytest.mark.parametrize(("context", "lookahead"), [(30, 0), (0, 30), (20, 40)])
def test_context_stands_before_what_is_scored_and_lookahead_behind_it(context, lookahead):
    torch.manual_seed(0)
    data = make_speech(1000, crop=50, context=context, lookahead=lookahead).dataset("train")
    for x, mask in zip(*data.__getitems__([0] * 50)[::2], strict=True):
        held, scored = x[0][x[0] < 1000], x[0][mask]
        assert held.min() == max(0, scored.min() - context)
        assert held.max() == min(999, scored.max() + lookahead)


def order(data, seed):
    torch.manual_seed(seed)
    return torch.cat([batch.conditions["speaker"] for batch in data.train_dataloader()]).tolist()


def make_clips():
    """A data module of 40 clips of one length, each with an id of its own."""
    data = make_speech(10, length=10)
    ids = {"speaker": np.arange(40)}
    data.stores = {"train": ClipStore(np.zeros(400, np.int32), np.arange(0, 401, 10), {}, ids, ["a.wav"] * 40, 0.0)}
    return data


def test_a_resumed_module_goes_on_in_the_order_that_was_saved():
    first, resumed, other = make_clips(), make_clips(), make_clips()
    expected = order(first, seed=1)
    assert sorted(expected) == list(range(40))
    resumed.load_state_dict(first.state_dict())
    assert order(resumed, seed=2) == expected
    assert order(other, seed=2) != expected
