"""Classes with FiLM parameters of their own: exactly an offset for them, and exactly nothing for all others."""

import pytest
import torch

from condgen.conditioning import ClassEmbedding, FiLMParameters, FrameSequence
from condgen.conditioning.film_generator import FiLMGenerator
from condgen.models import ConditionalModel, PixelCNN

MECHANISMS = ("bias", "scale", "gate", "film", "concat")
CLASSES = ["a", "b", "c", "new"]


def layers_of(norm="none"):
    return PixelCNN((1, 4, 4), 4, layers=2, channels=4, head=4, norm=norm).film_layers


def pair(conditioning, norm="none", adapted=("new",)):
    """A generator and one with adapted classes, of equal weights, all random."""
    torch.manual_seed(0)
    encoders = {"label": ClassEmbedding(3, CLASSES), "columns": FrameSequence(2, 3)}
    plain = FiLMGenerator(encoders, layers_of(norm), conditioning)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.normal_()
    other = FiLMGenerator(encoders, layers_of(norm), conditioning, adapted={"label": list(adapted)})
    missing, unexpected = other.load_state_dict(plain.state_dict(), strict=False)
    assert (missing, unexpected) == (["offsets.label.numbers"], [])
    torch.nn.init.normal_(other.offsets["label"].numbers)
    return plain, other


def conditions(*ids):
    return {"label": torch.tensor(ids), "columns": torch.randn(1, 2, 4, generator=torch.Generator().manual_seed(1))}


@pytest.mark.parametrize("conditioning", MECHANISMS)
@pytest.mark.parametrize("norm", ["none", "channel"])
def test_an_offset_is_added_to_what_the_heads_write_and_other_classes_stay_equal_to_the_last_bit(conditioning, norm):
    plain, other = pair(conditioning, norm)
    before, after = plain(conditions(0, 3, 1, 2)), other(conditions(0, 3, 1, 2))
    numbers, used = other.offsets["label"].numbers[0], 0
    written = {"bias": ["beta"], "film": ["gamma", "beta"], "concat": ["beta"]}.get(conditioning, ["gamma"])
    for name, channels in other.channels.items():
        for part, value in before[name].parts.items():
            found, value = after[name].parts[part], value.expand_as(after[name].parts[part])
            assert torch.equal(
                found[[0, 2, 3]] if len(found) > 1 else found, value[[0, 2, 3]] if len(found) > 1 else value
            )
            if part in written:
                own, used = numbers[used : used + channels], used + channels
                assert torch.equal(found[1], value[1] + own.view(-1, *(1,) * (value.ndim - 2)))
            elif len(found) > 1:
                assert torch.equal(found[1], value[1])
    assert used == len(numbers)


def test_offsets_lie_as_the_task_representation_does_and_every_class_has_its_own():
    encoders = {"label": ClassEmbedding(3, CLASSES)}
    generator = FiLMGenerator(encoders, layers_of(), "film", adapted={"label": ["new", "b"]})  # heads are zero
    start = generator({"label": torch.arange(4)}).flatten()
    torch.nn.init.normal_(generator.offsets["label"].numbers)
    moved = generator({"label": torch.arange(4)}).flatten() - start
    new, b = generator.offsets["label"].numbers
    torch.testing.assert_close(moved, torch.stack([torch.zeros_like(b), b, torch.zeros_like(b), new]))


def test_names_give_labels_and_film_parameters_pass_through():
    _, generator = pair("film")
    film = generator({"label": ["new", "a"], "columns": torch.zeros(2, 2, 4)})
    assert film.labels == {"label": ["new", "a"]}
    assert generator(film) is film
    assert isinstance(film, FiLMParameters)


@pytest.mark.parametrize(("adapted", "words"), [({"label": ["d"]}, "no class d to be adapted; known: a, b, c, new"),
                                                ({"speaker": ["a"]}, "no condition speaker with adapted classes"),
                                                ({"columns": ["a"]}, "no class a to be adapted")])  # fmt: skip
def test_classes_that_are_not_there_are_refused(adapted, words):
    encoders = {"label": ClassEmbedding(3, CLASSES), "columns": FrameSequence(2, 3)}
    network = PixelCNN((1, 4, 4), 4, layers=2, channels=4, head=4)
    with pytest.raises(ValueError, match=words):
        ConditionalModel(network, encoders, "film", adapted=adapted)


def test_training_drops_the_offset_with_its_class_so_that_a_dropped_row_is_none_and_nothing_else():
    encoders = {"label": ClassEmbedding(3, CLASSES)}
    generator = FiLMGenerator(encoders, layers_of(), "film", dropout={"label": 0.5}, adapted={"label": ["new"]}).train()
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter)
    ids = {"label": torch.full((200,), 3)}
    torch.manual_seed(0)
    rows = generator(ids).flatten()
    none, whole = generator.without(ids).flatten()[0], generator.eval()(ids).flatten()[0]
    dropped = (rows == none).all(1)
    assert 60 < dropped.sum() < 140
    assert torch.equal(rows[~dropped], whole.expand(int((~dropped).sum()), -1))


def test_an_offset_is_of_what_the_classs_own_condition_writes():
    encoders = {"label": ClassEmbedding(3, CLASSES), "columns": FrameSequence(2, 3)}
    generator = FiLMGenerator(encoders, layers_of(), {"label": "bias", "columns": "film"}, adapted={"label": ["new"]})
    assert generator.offsets["label"].numbers.shape == (1, sum(generator.channels.values()))
    torch.nn.init.normal_(generator.offsets["label"].numbers)
    film = generator(conditions(0, 3))
    assert all(torch.equal(pair.gamma, torch.ones_like(pair.gamma)) for pair in film.values())
    moved = torch.cat([pair.beta[1].mean(-1) for pair in film.values()])
    torch.testing.assert_close(moved, generator.offsets["label"].numbers[0])
