"""Checks before training: what of a model does not fit its data is said with both, and nothing else is."""

import warnings
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from condgen.conditioning import ClassEmbedding, DataCondition, FrameSequence, LinguisticSequence
from condgen.data import Linguistic, MelSpectrogram, Position
from condgen.models import ConditionalModel, PixelCNN, WaveNet
from condgen.training.compatibility import check_data, check_receptive_field, count_classes, most_examples, untrained

NAMES, PHONEMES = ["ann", "bob"], ["_", "a"]


def make_model(conditions=None, **options):
    options = {"levels": 64, "channels": 2, "dilations": [1, 2], "hop": 40, "sample_rate": 8000, **options}
    return ConditionalModel(WaveNet(**options), conditions or {}, "bias" if conditions else "none")


def make_data(features=None, **options):
    options = {
        "levels": 64,
        "sample_rate": 8000,
        "companding": "mu_law",
        "crop": None,
        "context": 0,
        "lookahead": 0,
        **options,
    }
    classes = {"speaker": DataCondition(NAMES, given="class")}
    frames = {name: DataCondition(f.names, f.size, f.hop, f.given) for name, f in (features or {}).items()}
    return SimpleNamespace(
        names={"speaker": NAMES}, conditions=classes | frames, shape=None, dataset=None, class_ids=None, **options
    )


def speaker(names=NAMES):
    return {"speaker": ClassEmbedding(2, names=names)}


MISFITS = [
    (make_model(levels=32), make_data(), "the model's levels is 32, the data's is 64: set model.network.levels"),
    (make_model(sample_rate=16000), make_data(), "sample_rate is 16000, the data's is 8000: set model.network.sample_"),
    (make_model(companding="linear"), make_data(), "the model's companding is linear, the data's is mu_law"),
    (make_model(), make_data(companding="linear"), "the model's companding is mu_law, the data's is linear"),
    (make_model({"digit": ClassEmbedding(2, num_classes=2)}), make_data(), "'digit', which the data"),
    (make_model(speaker(["bob", "ann"])), make_data(), r"are \['bob', 'ann'\], the data's are \['ann', 'bob'\]"),
    (make_model(speaker(["ann"])), make_data(), r"condition 'speaker': the model's classes are \['ann'\]"),
    (make_model({"mel": FrameSequence(20)}), make_data(), "'mel', which the data do not give"),
    (
        make_model({"mel": FrameSequence(20)}), make_data({"place": Position(40)}),
        "'mel', which the data do not give; they give: speaker, place. Leave 'mel' out of model.conditions",
    ),
    (
        make_model({"mel": FrameSequence(20)}), make_data({"mel": MelSpectrogram(80, 40)}),
        "'mel': the model takes frames of size 20, the data's have 80",
    ),
    (
        make_model({"mel": FrameSequence(20)}), make_data({"mel": MelSpectrogram(20, 80)}),
        "hop 40 × the encoder's factor 1, have 40 samples, the data's have 80 samples",
    ),
    (
        make_model({"mel": FrameSequence(20, factor=4)}), make_data({"mel": MelSpectrogram(20, 80)}),
        "hop 40 × the encoder's factor 4, have 160 samples, the data's have 80 samples",
    ),
    (
        make_model({"text": LinguisticSequence(2, ["_", "b"])}), make_data({"text": Linguistic(PHONEMES, 40)}),
        r"'text': the model's phonemes are \['_', 'b'\], the data's are \['_', 'a'\]",
    ),
    (
        make_model({"text": LinguisticSequence(2, PHONEMES, factor=2)}), make_data({"text": Linguistic(PHONEMES, 40)}),
        "factor 2, have 80 samples, the data's have 40 samples",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "data", "message"), MISFITS, ids=range(len(MISFITS)))
def test_what_does_not_fit_is_said_with_both(model, data, message):
    with pytest.raises(ValueError, match=message) as found:
        check_data(model, data)
    assert "\n" not in str(found.value)


FITS = [
    (make_model(), make_data()),
    (make_model(speaker()), make_data()),
    (make_model({"mel": FrameSequence(20, factor=2)}), make_data({"mel": MelSpectrogram(20, 80)})),
    (make_model({"mel": FrameSequence(20)}, hop=80), make_data({"mel": MelSpectrogram(20, 80)})),
    (make_model({"text": LinguisticSequence(2, PHONEMES)}), make_data({"text": Linguistic(PHONEMES, 40)})),
    (make_model(), make_data(crop=400, context=4)),
    (make_model(), make_data(crop=None, context=0)),
]


@pytest.mark.parametrize(("model", "data"), FITS, ids=range(len(FITS)))
def test_what_fits_is_passed_without_a_word(model, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_data(model, data)


def test_crops_with_too_little_context_are_warned_of():
    model = make_model(dilations=[1, 2, 4])
    assert model.network.receptive_field == 8
    with pytest.warns(UserWarning, match="crops have 7 samples of context and the model sees 8: set data.context"):
        check_data(model, make_data(crop=400, context=7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_data(model, make_data(crop=400, context=8))


@pytest.mark.parametrize("conditions", [{}, speaker()], ids=["none", "global"])
def test_a_short_receptive_field_is_warned_of_where_nothing_else_holds_a_word_together(conditions):
    """1 + 2^11 − 1 = 2,048 of 8,000 samples a second are 256 ms; half of them are too few."""
    with pytest.warns(UserWarning, match="the receptive field is 1024 samples, 128 ms.*below 240 ms words fall apart"):
        check_receptive_field(make_model(conditions, dilations=[2**i for i in range(10)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_receptive_field(make_model(conditions, dilations=[2**i for i in range(11)]))


@pytest.mark.parametrize("encoder", [FrameSequence(20), LinguisticSequence(2, PHONEMES)], ids=["mel", "text"])
def test_a_local_condition_needs_no_long_receptive_field(encoder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_receptive_field(make_model({"local": encoder, **speaker()}))


def test_images_have_no_receptive_field_in_time():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_receptive_field(ConditionalModel(PixelCNN((1, 5, 5), 2, channels=4, head=4, layers=1), {}, "none"))


def test_crops_are_warned_of_when_an_encoder_looks_beyond_them():
    """Two frames of eight samples to either side, and eight samples of receptive field."""
    model = make_model({"mel": FrameSequence(3, 4, context=2)}, dilations=[1, 2, 4], hop=8)
    data = partial(make_data, features={"mel": MelSpectrogram(3, 8)}, crop=400)
    with pytest.warns(UserWarning, match="16 samples of context and the model sees 24: set data.context"):
        check_data(model, data(context=16, lookahead=16))
    with pytest.warns(UserWarning, match="8 samples of lookahead and the model sees 16: set data.lookahead"):
        check_data(model, data(context=24, lookahead=8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_data(model, data(context=24, lookahead=16))


def counting(ids):
    """Data whose training split has some speakers."""
    return SimpleNamespace(names={"speaker": NAMES}, class_ids=lambda split: {"speaker": torch.tensor(ids),
                                                                             "other": torch.tensor([5])})  # fmt: skip


def test_training_examples_are_counted_by_class_and_a_class_without_any_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert count_classes(make_model(speaker()), counting([0, 1, 1])) == {"speaker": {"ann": 1, "bob": 2}}
        assert count_classes(make_model(), counting([0])) == {}
    with pytest.warns(UserWarning, match="condition 'speaker': no training examples of ann: .* nothing has trained"):
        found = count_classes(make_model(speaker()), counting([1]))
    assert found == {"speaker": {"ann": 0, "bob": 1}}
    assert untrained(found) == {"speaker": ["ann"]}


def test_ids_outside_the_classes_are_refused():
    with pytest.raises(ValueError, match="condition 'speaker': the training data hold class ids from 0 to 2"):
        count_classes(make_model(speaker()), counting([0, 2]))


def test_what_a_model_has_learned_before_counts_too():
    before = {"speaker": {"ann": 7, "carol": 3}, "digit": {"1": 1}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = count_classes(make_model(speaker()), counting([1, 1]), before)
    assert found == {"speaker": {"ann": 7, "bob": 2}}
    assert most_examples({"a": {"x": 1}}, {"a": {"x": 3}}) == {"a": {"x": 3}}
