"""Condition encoders: what they compute, the sizes they give, and what they refuse."""

import re

import pytest
import torch
from torch.nn import functional as F

from condgen.conditioning import (
    AudioReference,
    ClassEmbedding,
    ClassMap,
    DataCondition,
    Encoder,
    FeatureMap,
    FeatureVector,
    FrameSequence,
    ImageEncoder,
    LinguisticSequence,
    TokenSequence,
)
from condgen.conditioning.contract import missing

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


def alive(sequence):
    """Raise the biases before the ReLU, so that it hides no dependence."""
    sequence.project[0].bias.data += 100
    return sequence


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("context", [1, 2, 3])
def test_features_depend_on_exactly_the_frames_of_their_context(context, factor):
    encoder = alive(FrameSequence(2, 3, "repeat", factor, context).double())
    sees = torch.autograd.functional.jacobian(encoder, draw(1, 2, 9))[0, :, :, 0] != 0
    away = (torch.arange(9 * factor)[:, None] // factor - torch.arange(9)).abs()
    assert torch.equal(sees, (away <= context)[None, :, None, :].expand_as(sees))


def linguistic_frames(rows, frames, phonemes=3):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(phonemes, (rows, 3, frames), generator=generator)
    numbers = torch.rand(rows, 4, frames, dtype=torch.float64, generator=generator)
    return torch.cat([ids, numbers + torch.tensor([[0.0], [0], [5], [0]])], dim=1)


def make_linguistic(**options):
    return LinguisticSequence(3, ["a", "b", "c"], 4, **options).double()


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("context", [1, 2])
def test_linguistic_features_depend_on_exactly_the_frames_of_their_context(context, factor):
    encoder, frames = make_linguistic(context=context, factor=factor), linguistic_frames(1, 9)
    alive(encoder.sequence)
    before = encoder(frames)
    for row, at in [(row, at) for row in range(7) for at in range(9)]:
        moved = frames.clone()
        moved[0, row, at] = (moved[0, row, at] + 1) % 3 if row < 3 else moved[0, row, at] + 0.1
        changed = (encoder(moved) != before).any(1)[0]
        assert torch.equal(changed, (torch.arange(9 * factor) // factor - at).abs() <= context)


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("context", [0, 1, 2])
def test_frames_of_zeros_behind_a_clip_are_nothing_to_it(context, factor):
    """So what a clip is padded with in a batch changes nothing of it."""
    for encoder, frames in (
        (FrameSequence(2, 3, "repeat", factor, context).double(), draw(2, 2, 5)),
        (make_linguistic(context=context, factor=factor), linguistic_frames(2, 5)),
    ):
        padded = encoder(F.pad(frames, (0, 4)))
        assert torch.allclose(padded[..., : 5 * factor], encoder(frames), rtol=0, atol=1e-12)


def test_linguistic_features_are_embeddings_and_numbers_of_their_size():
    """An id is looked up as it is by its own place; seconds, pitch and voicing act linearly."""
    encoder, frames = make_linguistic(context=0), linguistic_frames(2, 5)
    ids, (past, future, pitch, voiced) = frames[:, :3].long(), frames[:, 3:].unbind(1)
    vectors = [encoder.embedding.weight[ids[:, place]].transpose(1, 2) for place in range(3)]
    numbers = torch.stack([10 * past, 10 * future, 3 * (pitch - 5), voiced], dim=1)
    expected = encoder.sequence(torch.cat([*vectors, numbers], dim=1))
    assert torch.allclose(encoder(frames), expected, atol=1e-12)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_phonemes_that_are_not_known_are_refused(wrong):
    frames = linguistic_frames(1, 4)
    frames[0, 1, 2] = wrong
    with pytest.raises(ValueError, match="out of range: there are 3 phonemes"):
        make_linguistic()(frames)


def test_linguistic_frames_need_the_names_of_the_phonemes():
    for names in (None, []):
        with pytest.raises(ValueError, match="needs the names of the phonemes"):
            LinguisticSequence(3, names)


@pytest.mark.parametrize(("factor", "context"), [(0, 0), (-1, 0), (1, -1)])
def test_a_factor_or_a_context_that_makes_no_sense_is_refused(factor, context):
    with pytest.raises(ValueError, match=f"factor {factor} must be at least 1 and context {context} at least 0"):
        FrameSequence(2, factor=factor, context=context)


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
        (LinguisticSequence(3, ["a"]), "(batch, 7, frames)", [(2, 7), (2, 6, 5), (2, 7, 5, 1)]),
        (FeatureMap(3), "(batch, 3, height, width)", [(2, 3), (2, 4, 5, 5), (3, 5, 5)]),
    ],
)
def test_a_wrong_shape_is_refused_with_both(encoder, expected, shapes):
    for shape in shapes:
        with pytest.raises(ValueError, match=re.escape(f"expected {expected}, got {shape}")):
            encoder(torch.zeros(shape))


# What an encoder answers of itself.

PHONEMES = ["_", "a", "b"]
ENCODERS = {
    "ClassEmbedding": (ClassEmbedding(5, names=["cat", "dog"]), torch.tensor([0, 1, 1])),
    "ClassMap": (ClassMap((4, 6), 5, names=["cat", "dog"]), torch.tensor([0, 1, 1])),
    "FeatureVector": (FeatureVector(features=5, names=["red", "big", "new"]), torch.rand(3, 3)),
    "FrameSequence": (FrameSequence(4, 5, factor=2, context=1), torch.rand(3, 4, 6)),
    "LinguisticSequence": (LinguisticSequence(5, PHONEMES), torch.zeros(3, 7, 6)),
    "FeatureMap": (FeatureMap(2, 5, factor=2), torch.rand(3, 2, 4, 4)),
    "TokenSequence": (TokenSequence(5, names=["red", "cat", "dog"]), torch.tensor([[1, 2], [1, 3], [2, 0]])),
    "ImageEncoder": (ImageEncoder(2, 5), torch.rand(3, 2, 8, 9)),
    "AudioReference": (AudioReference(4, 5), torch.rand(3, 4, 9)),
}
encoders = pytest.mark.parametrize(("encoder", "condition"), ENCODERS.values(), ids=ENCODERS)


@encoders
def test_every_encoder_keeps_the_contract_and_its_shape_is_its_scope(encoder, condition):
    assert missing(encoder, Encoder) == []
    features = encoder(condition)
    assert features.shape[:2] == (3, encoder.features)
    assert {2: "global", 3: "local", 4: "spatial"}[features.ndim] == encoder.scope
    assert (encoder.classes is not None) == (condition.ndim == 1)


@encoders
def test_what_is_parsed_is_a_condition_that_the_encoder_takes(encoder, condition):
    words = {"ClassEmbedding": "dog, cat", "ClassMap": "dog, cat", "FeatureVector": "red+new,big",
             "TokenSequence": "red dog; red cat"}  # fmt: skip
    word = words.get(type(encoder).__name__)
    if word is None:
        with pytest.raises(
            ValueError, match=r"takes an? (array, on the command line|picture, or|recording, or) an \.npy"
        ):
            encoder.parse("anything")
        return
    pairs = encoder.parse(word)
    assert len(pairs) == 2
    assert encoder(torch.stack([value for _, value in pairs])).shape[:2] == (2, encoder.features)


def test_classes_are_named_numbered_listed_or_all():
    encoder = ClassEmbedding(names=["cat", "dog", "owl"])
    parsed = {
        text: [(label, int(value)) for label, value in encoder.parse(text)] for text in ("dog", "0,cat", "2", "all")
    }
    assert parsed == {
        "dog": [("dog", 1)], "0,cat": [("cat", 0), ("cat", 0)], "2": [("owl", 2)],
        "all": [("cat", 0), ("dog", 1), ("owl", 2)],
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"^has no class 'cow'; its classes: cat, dog, owl \(or positions 0 to 2\)"):
        encoder.parse("cat,cow")


def test_a_number_is_the_class_of_that_number():
    assert [(label, int(i)) for label, i in ClassEmbedding(names=["01", "02", "07"]).parse("7,1")] == [
        ("07", 2), ("01", 0),
    ]  # fmt: skip
    assert FeatureVector(names=["1.0", "2.0"]).parse("2+1.0,1")[1][1].tolist() == [1, 0]


def test_tags_are_a_multi_hot_vector():
    encoder = FeatureVector(names=["red", "big", "new"])
    assert [(label, value.tolist()) for label, value in encoder.parse("new+red,big")] == [
        ("new+red", [1, 0, 1]), ("big", [0, 1, 0]),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"^has no tag old; its tags: red, big, new"):
        encoder.parse("red+old")


def test_names_left_out_are_the_datas_and_given_ones_stay():
    classes, phonemes = DataCondition(["cat", "dog"], given="class"), DataCondition(PHONEMES, 7, 40, "text")
    assert ClassEmbedding.completed({"features": 2}, classes) == {"features": 2, "names": ["cat", "dog"]}
    for given in ({"names": ["dog"]}, {"num_classes": 9}):
        assert ClassEmbedding.completed(given, classes) == given
    assert LinguisticSequence.completed({}, phonemes) == {"names": PHONEMES}
    assert LinguisticSequence.completed({"names": ["a"]}, phonemes) == {"names": ["a"]}
    with pytest.raises(ValueError, match="needs phonemes, and the data give an array without any"):
        LinguisticSequence.completed({}, DataCondition())
    with pytest.raises(ValueError, match="needs phonemes, and the data give a class without any; use ClassEmbedding"):
        LinguisticSequence.completed({}, classes)
    with pytest.raises(ValueError, match="needs the names of classes, and the data give frames; use FrameSequence"):
        ClassEmbedding.completed({}, phonemes)
    for encoder in (FeatureVector, FrameSequence, FeatureMap):
        assert encoder.completed({"features": 2}, classes) == {"features": 2}


@pytest.mark.parametrize(("encoder", "data", "message"), [
    (ClassEmbedding(names=["a"]), DataCondition(["b"]), r"classes are \['a'\], the data's are \['b'\]"),
    (FrameSequence(3), DataCondition(size=4, hop=8), "frames of size 3, the data's have 4"),
    (FrameSequence(3, factor=2), DataCondition(size=3, hop=8), "have 16 samples, the data's have 8 samples"),
    (LinguisticSequence(2, PHONEMES), DataCondition(["a"], 7, 8), "phonemes are .*, the data's are"),
    (LinguisticSequence(2, PHONEMES), DataCondition(["a"], given="class"), "frames, and the data give a class; use Cl"),
    (FrameSequence(3), DataCondition(), "takes frames, and the data give an array"),
    (FeatureVector(3), DataCondition(["a"], given="class"), "takes a vector, and the data give a class; use ClassEmb"),
    (FeatureMap(3), DataCondition(size=3, hop=8), "takes a map, and the data give frames; use FrameSequence"),
    (ClassEmbedding(names=["a"]), DataCondition(size=3, hop=8), "takes a class, and the data give frames; use Frame"),
])  # fmt: skip
def test_data_that_do_not_fit_are_refused_with_both(encoder, data, message):
    with pytest.raises(ValueError, match=message):
        encoder.check(data, hop=8)


@encoders
def test_data_that_fit_are_taken(encoder, condition):
    pets = ["cat", "dog"]
    kind = type(encoder).__name__
    names = {"ClassEmbedding": pets, "ClassMap": pets, "LinguisticSequence": PHONEMES}.get(kind)
    others = {
        "TokenSequence": DataCondition(["red", "cat", "dog"], given="caption"),
        "ImageEncoder": DataCondition(channels=2, given="picture"),
        "AudioReference": DataCondition(size=4, given="reference"),
    }
    factor = 2 if isinstance(encoder, FrameSequence) else 1
    size = condition.shape[1] if encoder.scope == "local" else None
    encoder.check(others.get(kind) or DataCondition(names, size, 8 * factor if size else None), hop=8)


def test_a_class_whose_name_has_a_comma_is_asked_for_in_a_list_too():
    encoder = ClassEmbedding(2, ["cat", "dog, large", "dog"])
    assert [label for label, _ in encoder.parse("dog, large")] == ["dog, large"]
    assert [label for label, _ in encoder.parse("dog,dog, large,cat")] == ["dog", "dog, large", "cat"]


def test_a_class_has_a_map_of_its_own_in_which_every_position_is_free():
    encoder = ClassMap((2, 3), features=4, num_classes=2)
    maps = torch.arange(2.0 * 4 * 2 * 3).view(2, 4, 2, 3)
    encoder.embedding.weight.data.copy_(maps.flatten(1))
    assert torch.equal(encoder(torch.tensor([1, 0])), maps[[1, 0]])
    assert encoder.features == 4
    with pytest.raises(ValueError, match="size 0 × 3 is not at least 1 × 1"):
        ClassMap((0, 3), num_classes=2)
