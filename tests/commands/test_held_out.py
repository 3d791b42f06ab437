"""Losses of `condgen analyze`: of the examples, classes and conditions that they say."""

import itertools

import pytest
import torch

from condgen.analysis import path
from condgen.checkpoint import Checkpoint
from condgen.commands.held_out import bits, film_of, held_out, over_classes, unit_of
from condgen.commands.subject import LeftOut, Wanted, subject
from condgen.commands.travelling import Ends, _scorer, ends
from condgen.evaluation.likelihood import likelihood


@pytest.fixture(scope="module")
def images(trained):
    checkpoint = Checkpoint.open(trained("pixelcnn_digits"))
    of = subject(checkpoint, checkpoint.model())
    with torch.no_grad():  # a model of two steps hardly knows its condition
        for head in of.model.film_generator.beta.values():
            head.weight.normal_(generator=torch.Generator().manual_seed(0))
    return subject(checkpoint, of.model)


@pytest.fixture(scope="module")
def speech(trained):
    checkpoint = Checkpoint.open(trained("wavenet_fsdd"))
    return subject(checkpoint, checkpoint.model(), seconds=0.1)


@pytest.mark.parametrize("count", [7, 60])
def test_bits_are_those_of_the_evaluation(images, count):
    examples = held_out(images, count)
    found = bits(images, examples, film_of(images, examples.conditions()))
    assert found == pytest.approx(likelihood(images.model, images.data, count).bits_per_dim)
    assert unit_of(images) == "bits/dim"


def test_bits_of_clips_do_not_count_padding(speech):
    examples = held_out(speech, 8)
    found = bits(speech, examples, film_of(speech, examples.conditions()))
    assert len(set(examples.batch.scored.sum(1).tolist())) > 1
    assert found == pytest.approx(likelihood(speech.model, speech.data, 8).bits_per_dim)
    assert unit_of(speech) == "bits per sample"


def test_examples_are_of_the_class_asked_for(images):
    examples = held_out(images, 20, {"digit": 4})
    assert examples.batch.conditions["digit"].tolist() == [4] * 20
    assert examples.conditions({"digit": torch.tensor([7])})["digit"].tolist() == [7] * 20
    with pytest.raises(LeftOut, match="no held-out examples of these classes"):
        held_out(images, 5, {"digit": 10})


def test_the_mean_over_classes_keeps_what_is_local(speech):
    examples = held_out(speech, 3)
    mean, spread = over_classes(speech, examples)
    own = examples.conditions()
    sizes = [len(names) for names in speech.classes.values()]
    pairs = torch.tensor(list(itertools.product(*map(range, sizes))))
    for row in range(3):
        position = own["position"][row : row + 1].expand(len(pairs), -1, -1)
        film = film_of(speech, {**dict(zip(speech.classes, pairs.T, strict=True)), "position": position})
        assert torch.allclose(mean.select(row).flatten(), film.flatten().mean(0), atol=1e-6)
        assert torch.allclose(spread.select(row).flatten(), film.flatten().std(0, correction=0), atol=1e-6)


def test_a_path_is_scored_from_one_class_to_the_other(images):
    score, count = _scorer(images, Wanted(examples=20), Ends("digit", "2", "5"), "5")
    examples = held_out(images, 10, {"digit": 5})
    assert count == 10
    wrong, right = (bits(images, examples, film_of(images, examples.conditions({"digit": torch.tensor([i])})))
                    for i in (2, 5))  # fmt: skip
    assert score(lambda start, end: path(start, end, [0])) == pytest.approx(wrong)
    assert score(lambda start, end: path(start, end, [1])) == pytest.approx(right)
    assert wrong != pytest.approx(right)


def test_the_noise_is_the_same_at_every_step(images):
    film = images.film.labelled({}).select([3, 8, 3, 8])
    one, other = images.draw(film, 5, [7, 8, 7, 8]).unflatten(0, (2, 10))
    assert torch.equal(one, other)
    assert not torch.equal(one[:5], one[5:])


def test_the_nearest_classes_are_gone_between_unless_others_are_asked_for(images):
    points = images.film.flatten()
    distances = torch.cdist(points, points) + torch.eye(10) * 1e9
    nearest = {int(i) for i in divmod(int(distances.argmin()), 10)}
    ((condition, start, end),) = ends(images, None)
    assert (condition, {int(start), int(end)}) == ("digit", nearest)
    assert ends(images, "digit=8,3") == [Ends("digit", "8", "3")]
