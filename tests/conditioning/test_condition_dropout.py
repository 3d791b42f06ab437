"""Conditions dropped in training: which rows, how often, what stands in their place, and that nothing else changes."""

import math

import pytest
import torch

from condgen.conditioning import ClassEmbedding, FiLM, FiLMGenerator, FrameSequence

LAYERS = {"a": FiLM(3), "b": FiLM(2)}
FRAMES = torch.randn(4, 2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
IDS = torch.tensor([0, 1, 2, 1])


def generator(dropout, conditioning="film", seed=0):
    torch.manual_seed(seed)
    encoders = {"digit": ClassEmbedding(4, num_classes=3), "text": FrameSequence(2, 5, factor=2)}
    made = FiLMGenerator(encoders, LAYERS, conditioning, dropout=dropout).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def both(rows=slice(None)):
    return {"digit": IDS[rows], "text": FRAMES[rows]}


@pytest.mark.parametrize("conditioning", ["bias", "scale", "gate", "film"])
def test_without_conditions_every_row_and_frame_is_what_none_says(conditioning):
    made = generator(0.2, conditioning).eval()
    absent, present = made.without(both()), made(both())
    heads = made.beta if conditioning in ("bias", "film") else made.delta
    expected = heads["digit"].weight @ made.none["digit"] + heads["text"].weight @ made.none["text"]
    found = torch.cat([pair.beta if conditioning in ("bias", "film") else pair.gamma for pair in absent.values()], 1)
    if conditioning not in ("bias", "film"):
        expected = 2 * torch.sigmoid(expected) if conditioning == "gate" else 1 + expected
    torch.testing.assert_close(found, expected[None, :, None].expand(4, -1, 14))
    assert [t.shape for t in absent.tensors] == [t.shape for t in present.tensors]
    assert not torch.allclose(absent.flatten(), present.flatten())


def test_only_conditions_that_are_dropped_are_absent():
    made = generator({"digit": 0.2}).eval()
    absent = made.without(both())
    changed = made.without({"digit": (IDS + 1) % 3, "text": FRAMES})
    torch.testing.assert_close(absent.flatten(), changed.flatten(), rtol=0, atol=0)
    assert not torch.allclose(absent.flatten(), made.without({"digit": IDS, "text": FRAMES + 1}).flatten())


def test_none_starts_at_zero_so_a_new_model_without_conditions_is_unconditional():
    made = FiLMGenerator({"digit": ClassEmbedding(4, num_classes=3)}, LAYERS, "bias", dropout=0.1)
    torch.nn.init.normal_(made.beta["digit"].weight)
    assert torch.count_nonzero(made.none["digit"]) == 0
    assert torch.count_nonzero(made.without({"digit": IDS}).flatten()) == 0


def rows_dropped(film, present, absent):
    """Tell of each row whether it is the one with its conditions (0), the one without them (1), or neither (2)."""
    rows = zip(film.flatten(), present.flatten(), absent.flatten(), strict=True)
    return [0 if torch.equal(row, with_) else 1 if torch.equal(row, without) else 2 for row, with_, without in rows]


def test_in_training_a_row_is_either_itself_or_without_all_its_conditions_as_often_as_asked():
    made, rows = generator(0.25).train(), 4000
    conditions = {"digit": IDS.repeat(rows // 4), "text": FRAMES.repeat(rows // 4, 1, 1)}
    torch.manual_seed(3)
    film = made(conditions)
    found = rows_dropped(film, made.eval()(conditions), made.without(conditions))
    assert 2 not in found  # both conditions of a row go together
    assert abs(sum(found) / rows - 0.25) < 4 * math.sqrt(0.25 * 0.75 / rows)


def test_a_condition_of_lower_probability_is_dropped_only_where_the_others_are():
    made, rows = generator({"digit": 0.5, "text": 0.2}).train(), 2000
    conditions = {"digit": IDS.repeat(rows // 4), "text": FRAMES.repeat(rows // 4, 1, 1)}
    torch.manual_seed(4)
    film = made(conditions)
    found = rows_dropped(film, made.eval()(conditions), made.without(conditions))
    counts = [found.count(kind) / rows for kind in (0, 1, 2)]  # kind 2: the digit alone is gone
    for count, expected in zip(counts, (0.5, 0.2, 0.3), strict=True):
        assert abs(count - expected) < 0.05


def test_in_evaluation_and_without_dropout_nothing_is_dropped_and_no_random_number_drawn():
    before = torch.random.get_rng_state()
    whole = generator(0.0).train()
    before = torch.random.get_rng_state()
    whole(both())
    generator_of_evaluation = generator(0.9).eval()
    torch.random.set_rng_state(before)
    a, b = generator_of_evaluation(both()), generator_of_evaluation(both())
    torch.testing.assert_close(a.flatten(), b.flatten(), rtol=0, atol=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(key.startswith("none") for key in whole.state_dict())


def test_none_learns_from_the_rows_that_were_dropped():
    made = generator(0.5).train()
    torch.manual_seed(0)
    made({"digit": IDS.repeat(8), "text": FRAMES.repeat(8, 1, 1)}).flatten().sum().backward()
    assert all(torch.count_nonzero(vector.grad) == len(vector) for vector in made.none.values())


@pytest.mark.parametrize(("dropout", "message"), [
    (1.0, r"condition_dropout of 'digit' is 1.0: a probability, at least 0 and below 1"),
    ({"text": -0.1}, r"condition_dropout of 'text' is -0.1"),
    ({"speaker": 0.1}, r"condition_dropout names 'speaker', which is no condition of the model; its conditions: "
                       r"digit, text"),
])  # fmt: skip
def test_a_wrong_probability_or_name_is_refused(dropout, message):
    with pytest.raises(ValueError, match=message):
        generator(dropout)


def test_a_model_that_never_dropped_conditions_knows_no_none():
    with pytest.raises(ValueError, match=r"train it with --model\.condition_dropout 0\.1"):
        generator(0.0).without(both())
