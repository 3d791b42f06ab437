"""The letters and textures of recipes/article/style_transfer.py, and what judges them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "recipes" / "article"))
textures = pytest.importorskip("textures")


def test_no_style_of_a_lesson_is_among_the_unseen() -> None:
    known, unseen = textures.styles(64, 10), textures.styles(64, 20)
    colours = known["colours"].flatten(1), unseen["colours"].flatten(1)
    assert torch.cdist(*colours).min() > 0.01


def test_a_texture_is_told_from_others_wherever_it_begins() -> None:
    touch, some = textures.Texture(0), textures.styles(16, 3)
    rows = torch.arange(64) % 16
    pictures = textures.texture(some, rows, torch.Generator().manual_seed(8))
    assert (touch.told(pictures, some, range(16)) == rows).float().mean() > 0.95
    dealt = pictures[torch.randperm(64, generator=torch.Generator().manual_seed(1))]
    assert (touch.told(dealt, some, range(16)) == rows).float().mean() < 0.3


def test_the_distance_of_a_texture_to_itself_is_0_and_to_others_2() -> None:
    touch, some = textures.Texture(1), textures.styles(256, 4)
    pictures = textures.texture(some, torch.arange(256), torch.Generator().manual_seed(2))
    assert touch.distance(pictures, pictures).max() == 0
    assert touch.distance(pictures, pictures.roll(1, 0)).mean() == pytest.approx(2, abs=0.4)


def test_letters_have_ink_and_are_named_by_their_number() -> None:
    masks, which = textures.letters(32, torch.Generator().manual_seed(0))
    assert masks.shape == (32, 1, 24, 24)
    assert masks.amax((1, 2, 3)).min() > 0.8
    assert set(which.tolist()) <= set(range(len(textures.LETTERS)))
