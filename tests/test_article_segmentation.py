"""The clips of recipes/article/segmentation.py, and what its conditions write."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "recipes" / "article"))
told = pytest.importorskip("segmentation")


def test_the_object_alone_is_all_that_the_first_frame_shows() -> None:
    clips = told.clips(8, torch.Generator().manual_seed(0))
    assert clips.frames.shape == (8, told.FRAMES, 3, told.SIZE, told.SIZE)
    assert set(clips.masks.unique().tolist()) == {0.0, 1.0}
    assert clips.target()[(clips.masks[:, 0] == 0).expand(-1, 3, -1, -1)].abs().max() == 0


def test_the_object_has_one_colour_and_its_twin_has_it_too() -> None:
    clips, twins = told.clips(40, torch.Generator().manual_seed(1)), 0
    for frame, mask in zip(clips.frames[:, 0], clips.masks[:, 0, 0], strict=True):
        if mask.any():
            inside = frame[:, mask > 0]
            assert (inside == inside[:, :1]).all()
            twins += int((frame == inside[:, :1, None]).all(0).sum() > mask.sum())
    assert twins > 20


def test_scales_are_of_a_channel_and_biases_of_a_place() -> None:
    follower = told.Follower("both")
    film = follower.generator({"first_frame": torch.rand(2, 3, 24, 24), "mask": torch.rand(2, 1, 24, 24)})
    for gamma, beta in film.values():
        assert gamma.shape == (2, 16)
        assert beta.shape == (2, 16, 24, 24)
        assert (gamma == 1).all()
    for variant, part in (("first frame", "gamma"), ("last mask", "beta")):
        alone = told.Follower(variant).generator.free
        assert all(parts == [part] for parts in alone.values())


def test_overlap_of_a_mask_with_itself_is_whole_and_with_another_place_none() -> None:
    mask = torch.zeros(1, 1, 1, 4, 4)
    mask[..., :2] = 1
    assert told.overlap(mask, mask).item() == 100
    assert told.overlap(mask, mask.flip(-1)).item() == 0
    assert told.overlap(mask, torch.ones_like(mask)).item() == 50
