"""Condition encoders: what they compute, the sizes they give, and what they refuse."""

import re

import pytest
import torch
from torch.nn import functional as F

from condgen.conditioning import ClassEmbedding, FeatureMap, FeatureVector, FrameSequence

UPSAMPLINGS = ["repeat", "linear", "transposed"]


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_an_embedding_is_a_one_hot_vector_times_a_matrix(dtype):
    encoder = ClassEmbedding(5, num_classes=4).double()
    ids = torch.tensor([3, 0, 0, 2])
    assert torch.equal(encoder(ids.to(dtype)), F.one_hot(ids, 4).double() @ encoder.embedding.weight)


def test_class_names_give_their_number():
    assert ClassEmbedding(names=["cat", "dog"]).embedding.num_embeddings == 2
    assert ClassEmbedding(num_classes=3).names == ["0", "1", "2"]
    with pytest.raises(ValueError, match="2 names but num_classes is 3"):
        ClassEmbedding(names=["cat", "dog"], num_classes=3)
    with pytest.raises(ValueError, match="names of the classes or their number"):
        ClassEmbedding()


@pytest.mark.parametrize("wrong", [-1, 2, 7])
def test_class_ids_out_of_range_are_refused_with_the_range_and_the_names(wrong):
    with pytest.raises(ValueError, match=rf"\[{wrong}\] are out of range.*2 classes, 0 to 1 \(cat, dog\)"):
        ClassEmbedding(names=["cat", "dog"])(torch.tensor([0, wrong]))


@pytest.mark.parametrize("ids", [torch.zeros(2), torch.zeros(2, 1, dtype=torch.long), torch.tensor(0)])
def test_class_ids_that_are_no_row_of_whole_numbers_are_refused(ids):
    with pytest.raises(ValueError, match=re.escape(f"got {tuple(ids.shape)} of {ids.dtype}")):
        ClassEmbedding(num_classes=2)(ids)


def test_tags_add_up():
    """f(s ∪ t) − f(∅) = (f(s) − f(∅)) + (f(t) − f(∅)) for disjoint sets of tags."""
    encoder = FeatureVector(features=6, names=["red", "round", "soft", "old"]).double()
    nothing, s, t = encoder(torch.tensor([[0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0]]))
    both = encoder(torch.tensor([[1, 1, 0, 1]]))[0]
    assert not torch.allclose(s, t)
    assert torch.allclose(both - nothing, (s - nothing) + (t - nothing), atol=1e-12)


def test_the_names_of_a_vector_give_its_size():
    assert FeatureVector(names=["a", "b"]).size == 2
    with pytest.raises(ValueError, match="2 names but size is 3"):
        FeatureVector(3, names=["a", "b"])
    with pytest.raises(ValueError, match="needs the size"):
        FeatureVector()


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 6, 7, 16, 25])
def test_frames_come_out_factor_times(upsampling, factor):
    for frames in (1, 2, 5):
        assert FrameSequence(2, 3, upsampling, factor)(torch.zeros(4, 2, frames)).shape == (4, 3, frames * factor)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_a_frame_acts_on_its_own_place_and_at_most_its_neighbours(upsampling, factor):
    encoder = FrameSequence(2, 3, upsampling, factor).double()
    frames = draw(1, 2, 7)
    changed = frames.clone()
    changed[..., 3] += 1
    moved = (encoder(changed) != encoder(frames)).any(1).view(7, factor).any(1)
    own = moved.new_tensor([False] * 3 + [True] + [False] * 3)
    neighbours = moved.new_tensor([False] * 2 + [True] * 3 + [False] * 2)
    assert moved[3]
    assert not (moved & ~(own if upsampling == "repeat" else neighbours)).any()


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_repeating_commutes_with_the_projection(factor):
    encoder, frames = FrameSequence(2, 3, "repeat", factor).double(), draw(4, 2, 5)
    assert torch.allclose(encoder(frames), encoder.project(frames.repeat_interleave(factor, -1)), atol=1e-12)


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_linear_upsampling_keeps_straight_lines_straight(factor):
    line = FrameSequence(1, 1, "linear", factor).double()(torch.arange(6.0).view(1, 1, 6))[0, 0]
    inside = line[factor:-factor]
    assert torch.allclose(inside.diff(n=2), torch.zeros(()).double(), atol=1e-12)
    assert inside.diff().abs().min() > 0


def test_an_unknown_upsampling_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'cubic'; known: repeat, linear, transposed"):
        FrameSequence(2, upsampling="cubic")


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_map_comes_out_factor_times_as_large(factor):
    assert FeatureMap(2, 3, factor)(torch.zeros(4, 2, 3, 5)).shape == (4, 3, 3 * factor, 5 * factor)


@pytest.mark.parametrize("factor", [-2, 0, 3, 6])
def test_a_factor_that_is_no_power_of_two_is_refused(factor):
    with pytest.raises(ValueError, match=f"factor {factor} is not a power of 2"):
        FeatureMap(2, factor=factor)


@pytest.mark.parametrize(
    ("encoder", "expected", "shapes"),
    [
        (FeatureVector(3), "(batch, 3)", [(2,), (2, 4), (2, 3, 1)]),
        (FrameSequence(3), "(batch, 3, frames)", [(2, 3), (2, 4, 5), (2, 3, 5, 1)]),
        (FeatureMap(3), "(batch, 3, height, width)", [(2, 3), (2, 4, 5, 5), (3, 5, 5)]),
    ],
)
def test_a_wrong_shape_is_refused_with_both(encoder, expected, shapes):
    for shape in shapes:
        with pytest.raises(ValueError, match=re.escape(f"expected {expected}, got {shape}")):
            encoder(torch.zeros(shape))
