"""What the playground answers: what the plain functions draw, with numbers and a picture of the layer."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

import condgen
from condgen.commands.film_moves import Move, moved
from condgen.commands.playing import Choices, Playground, answer, most_varied
from condgen.conditioning import ClassEmbedding, FeatureVector
from condgen.models import ConditionalModel, PixelCNN
from condgen.sampling import sample

CHECKPOINTS = __file__.rpartition("commands")[0] + "checkpoints/"


@pytest.fixture(scope="module")
def digits():
    return condgen.load("digits")


@pytest.fixture(scope="module")
def pictures(digits):
    return Playground(digits.model)


@pytest.fixture(scope="module")
def tagged():
    """A small model of a class that is dropped in training, and of tags that are not."""
    torch.manual_seed(0)
    network = PixelCNN((1, 4, 4), 4, "categorical", layers=2, channels=8, head=8, first_kernel_size=3)
    conditions = {"digit": ClassEmbedding(names=["a,b", "c"]), "tags": FeatureVector(names=["round", "red"])}
    model = ConditionalModel(network, conditions, "film", condition_dropout={"digit": 0.5}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return Playground(model)


def shades(plot):
    return np.asarray(Image.open(io.BytesIO(plot)).convert("L"))


def test_a_class_is_drawn_as_ever_with_its_likelihood(digits, pictures):
    found = answer(pictures, Choices({"digit": "7"}, num_samples=3, seed=2, temperature=0.8))
    expected = digits.sample(digit="7", num_samples=3, seed=2, temperature=0.8)
    assert torch.equal(found.drawn.x, expected.x)
    assert torch.equal(found.drawn.log_prob, expected.log_prob)
    assert found.bits == pytest.approx((-expected.log_prob / math.log(2) / 64).tolist())
    assert (found.unit, found.drawn.labels) == ("dim", ["7"] * 3)


def test_two_classes_are_mixed_in_their_film_parameters(digits, pictures):
    film = digits.film(digit="3").interpolate(digits.film(digit="8"), 0.25)
    found = answer(pictures, Choices({"digit": "3"}, {"digit": "8"}, 0.25))
    assert torch.equal(found.film.flatten(), film.flatten())
    assert torch.equal(found.drawn.x, digits.sample(film).x)
    assert found.drawn.labels == ["3 → 8, 25%"]
    assert answer(pictures, Choices({"digit": "3"}, {"digit": "8"})).drawn.labels == ["3"]


def test_a_single_number_is_moved_and_nothing_else(pictures):
    plain = answer(pictures, Choices({"digit": "3"}))
    layer = "blocks.1.vertical_film"
    asked = Choices({"digit": "3"}, moves=[Move(layer, 5, beta=4.0)], layer=layer, number=5)
    found = answer(pictures, asked)
    change = (found.film - plain.film)[layer].beta
    assert change.nonzero().tolist() == [[0, 5]]
    assert change[0, 5].item() == pytest.approx(4)
    assert sum((other.beta != 0).sum().item() for other in (found.film - plain.film).values()) == 1
    assert found.drawn.log_prob != plain.drawn.log_prob
    before = answer(pictures, Choices({"digit": "3"}, layer=layer, number=5))
    assert (shades(found.plot) != shades(before.plot)).any()  # the present point is elsewhere
    whole = answer(pictures, Choices({"digit": "3"}, moves=[Move(layer, None, beta=-1.0)])).film[layer].beta
    torch.testing.assert_close(whole, plain.film[layer].beta - 1)


@pytest.mark.parametrize(("move", "message"), [
    (Move("blocks.9", 0, beta=1.0), "no FiLM layer is called 'blocks.9'; layers: blocks.0.vertical_film"),
    (Move("blocks.0.vertical_film", 96, beta=1.0), "has no feature map 96; its maps: 0 to 95"),
    (Move("blocks.0.vertical_film", 0, gamma=1.0), "'blocks.0.vertical_film' has no gamma to move: it is fixed"),
])  # fmt: skip
def test_what_cannot_be_moved_is_told(digits, move, message):
    with pytest.raises(ValueError, match=message):
        moved(digits.film(digit=3), [move])


@pytest.mark.parametrize(
    "options", [{"guidance": 1.5}, {"film_guidance": 2.0}, {"guidance": 1.0, "film_guidance": 1.0}]
)
def test_guidance_is_that_of_the_sampler(tagged, options):
    tensors = {"digit": torch.tensor([1]), "tags": torch.tensor([[0.0, 1.0]])}
    chosen = {"digit": "c", "tags": ["red"]}
    found = answer(tagged, Choices(chosen, num_samples=4, **options))
    assert torch.equal(found.drawn.x, sample(tagged.model, tensors, num_samples=4, **options).x)
    film, absent = tagged.model.film(tensors), tagged.model.film_generator.without(tensors)
    turned = absent.interpolate(film, 1 + options.get("film_guidance", 0.0))
    torch.testing.assert_close(found.film.flatten(), turned.flatten())
    ends = [{"digit": torch.tensor([0]), "tags": torch.zeros(1, 2)}, tensors]
    mixed = answer(tagged, Choices({"digit": "a,b"}, chosen, 0.5, film_guidance=1.0))
    here, absent = ((write(ends[0]) + write(ends[1])) * 0.5
                    for write in (tagged.model.film, tagged.model.film_generator.without))  # fmt: skip
    torch.testing.assert_close(mixed.film.flatten(), absent.interpolate(here, 2).flatten())


def test_the_playground_knows_what_there_is_to_choose(tagged, pictures):
    assert tagged.kinds == {"digit": "class", "tags": "tags"}
    assert tagged.names("digit") == ["a,b", "c"]
    assert tagged.guided == (True, True)
    assert pictures.guided == (False, False)
    assert list(pictures.layers.values()) == [96] * 10
    spoken = condgen.load("spoken_digits")
    sounds = Playground(spoken.model, spoken.front_end)
    assert sounds.kinds == {"speaker": "class", "digit": "class", "position": "length"}
    assert sounds.seconds == 0.45
    assert pictures.seconds is None


def test_a_generator_has_no_likelihood_and_two_numbers_for_every_map():
    made = condgen.load("mnist_gan")
    playground = Playground(made.model)
    layer, number = most_varied(playground, Choices({"digit": "3"}))
    asked = Choices({"digit": "3"}, truncation=0.5, num_samples=2, layer=layer, number=number)
    found = answer(playground, asked)
    assert torch.equal(found.drawn.x, made.sample(digit=3, truncation=0.5, num_samples=2).x)
    assert (found.bits, found.unit) == (None, "")
    assert found.drawn.images().shape == (2, 28, 28)
    both = answer(playground, Choices({"digit": "3"}, moves=[Move(layer, number, 1.0, -1.0)]))
    change = (both.film - found.film)[layer]
    assert [part[0, number].item() for part in change.parts.values()] == pytest.approx([1, -1], abs=1e-5)


def test_sound_of_a_length_and_of_two_conditions():
    spoken = condgen.load("spoken_digits")
    playground = Playground(spoken.model, spoken.front_end)
    chosen = {"speaker": "theo", "digit": "7"}
    found = answer(playground, Choices(chosen, seconds=0.05, colour="digit"))
    expected = spoken.sample(speaker="theo", digit="7", seconds=0.05)
    assert torch.equal(found.drawn.x, expected.x)
    assert [len(wave) for wave in found.drawn.waveforms()] == [400]
    assert (found.unit, found.drawn.labels) == ("sample", ["theo, 7"])
    other = answer(playground, Choices(chosen, {"digit": "2"}, 1.0, seconds=0.05, colour="speaker"))
    assert torch.equal(other.drawn.x, spoken.sample(speaker="theo", digit="2", seconds=0.05).x)
    with pytest.raises(ValueError, match="'position' is no condition with classes; those are: speaker, digit"):
        answer(playground, Choices(chosen, seconds=0.05, colour="position"))


def test_a_recording_says_how_long_the_sound_is(tmp_path):
    import soundfile

    vocoder = condgen.load(CHECKPOINTS + "wavenet_fsdd_mel.format1.ckpt")
    playground = Playground(vocoder.model, vocoder.front_end)
    soundfile.write(tmp_path / "a, b.wav", np.sin(np.arange(800) / 5) / 2, 8000)
    speaker = playground.names("speaker")[0]
    assert playground.kinds["mel"] == "audio"
    assert playground.seconds is None
    with pytest.raises(ValueError, match="choose an audio file for the condition 'mel'"):
        answer(playground, Choices({"speaker": speaker}))
    found = answer(playground, Choices({"speaker": speaker, "mel": str(tmp_path / "a, b.wav")}))
    assert torch.equal(found.drawn.x, vocoder.sample(speaker=speaker, mel=[tmp_path / "a, b.wav"]).x)


def test_an_unconditional_model_is_drawn_from():
    network = PixelCNN((1, 4, 4), 4, "categorical", layers=2, channels=8, head=8, first_kernel_size=3)
    playground = Playground(ConditionalModel(network, {}, "none").eval())
    found = answer(playground, Choices(seed=3, temperature=0.5, num_samples=2))
    assert found.drawn.x.shape == (2, 1, 4, 4)
    assert (found.plot, found.drawn.labels, most_varied(playground, Choices())) == (None, ["", ""], None)


@pytest.mark.parametrize(("choices", "message"), [
    (Choices(), "choose a class for the condition 'digit'"),
    (Choices({"digit": "ten"}), "condition 'digit' has no class 'ten'"),
    (Choices({"digit": "3"}, {"digit": "ten"}, 0.5), "condition 'digit' has no class 'ten'"),
    (Choices({"digit": "3"}, layer="blocks.9"), "no FiLM layer is called 'blocks.9'"),
    (Choices({"digit": "3"}, number=96), "has no feature map 96; its maps: 0 to 95"),
    (Choices({"digit": "3"}, temperature=0), "temperature 0 is not at least"),
    (Choices({"digit": "3"}, moves=[Move("blocks.0.vertical_film", None, beta=float("nan"))]), "no finite numbers"),
])  # fmt: skip
def test_what_is_missing_or_unknown_is_one_line(pictures, choices, message):
    with pytest.raises((ValueError, FloatingPointError), match=message) as found:
        answer(pictures, choices)
    assert "\n" not in str(found.value)


def test_unknown_tags_are_told_and_untrained_classes_are_warned_of(tagged):
    with pytest.raises(ValueError, match="condition 'tags' has no tag green; its tags: round, red"):
        answer(tagged, Choices({"digit": "c", "tags": ["green"]}))
    playground = Playground(tagged.model, untrained={"digit": ["c"]})
    with pytest.warns(UserWarning, match="no training examples of c"):
        answer(playground, Choices({"digit": "a,b"}, {"digit": "c"}, 0.5))
