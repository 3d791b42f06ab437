"""A new class from a few examples: its row alone is learnt, and what is learnt is right where the answer is known."""

import math

import pytest
import torch

from condgen.conditioning import ClassEmbedding
from condgen.data.images import ImageSet, Labelled
from condgen.models import ConditionalModel, PixelCNN
from condgen.sampling import sample
from condgen.training.adaptation import Adaptation, learn

CLASSES = ["a", "b", "c", "new"]
WHATS = ("embedding", "film")
whats = pytest.mark.parametrize("what", WHATS)


def make(features=4, conditioning="film", std=0.5, seed=0):
    """A small model whose classes differ, the last one a new class at the mean of the first two."""
    torch.manual_seed(seed)
    network = PixelCNN((1, 4, 4), 4, layers=2, channels=8, head=8, first_kernel_size=5)
    encoders = {"kind": ClassEmbedding(features, CLASSES), "size": ClassEmbedding(2, ["small", "large"])}
    model = ConditionalModel(network, encoders, conditioning, adapted={"kind": ["new"]}).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "offsets" not in name:
                parameter.normal_(std=std)
        rows = model.encoders["kind"].embedding.weight
        rows[3] = (rows[0] + rows[1]) / 2
    return model


def drawn(model, conditions, count, seed=1, engine="cached"):
    """Examples of the new class, drawn from the model under other conditions."""
    x = sample(model, conditions, num_samples=count, seed=seed, engine=engine).x
    return ImageSet(Labelled(x, {"kind": torch.full((count,), 3), "size": torch.ones(count, dtype=torch.long)}))


def conditions(kind):
    return {"kind": torch.tensor([kind]), "size": torch.tensor([1])}


def bits(model, examples, given):
    with torch.no_grad():
        return -model.log_prob(examples.images.x, given).mean().item() / (16 * math.log(2))


def adapted(model, learnt):
    state = {**model.film_generator.state_dict(), **learnt.state}
    model.film_generator.load_state_dict(state)
    return model


@whats
def test_only_the_new_class_moves_and_its_loss_falls(what):
    model = make()
    examples, before = drawn(model, conditions(2), 16), make()
    learnt = learn(model, "kind", examples, Adaptation(what, steps=40, batch_size=16, prior=0))
    assert list(learnt.state) == [{"embedding": "encoders.kind.embedding.weight", "film": "offsets.kind.numbers"}[what]]
    assert learnt.after < learnt.before - 0.01
    assert learnt.before == pytest.approx(bits(before, examples, conditions(3)), abs=1e-5)
    after = adapted(model, learnt)
    assert learnt.after == pytest.approx(bits(after, examples, conditions(3)), abs=1e-5)
    for name, value in before.state_dict().items():
        own = after.state_dict()[name]
        changed = name.endswith(next(iter(learnt.state)))
        assert torch.equal(own[:-1] if changed else own, value[:-1] if changed else value)
        assert not changed or not torch.equal(own[-1], value[-1])
    every = {"kind": torch.arange(3).repeat(2), "size": torch.arange(2).repeat_interleave(3)}
    assert torch.equal(after.film(every).flatten(), before.film(every).flatten())
    for engine in ("naive", "cached"):
        pictures = [sample(m, every, num_samples=1, seed=3, engine=engine) for m in (before, after)]
        assert torch.equal(pictures[0].x, pictures[1].x)
        assert torch.equal(pictures[0].log_prob, pictures[1].log_prob)


@whats
def test_examples_of_a_known_class_are_learnt_as_that_class(what):
    model = make(std=0.7)
    examples, fresh = drawn(model, conditions(2), 400), drawn(model, conditions(2), 400, seed=2)
    best, start = bits(model, fresh, conditions(2)), bits(model, fresh, conditions(3))
    assert start > best + 0.1
    learn_how = Adaptation(what, steps=150, learning_rate=0.2, batch_size=100)
    found = bits(adapted(model, learn(model, "kind", examples, learn_how)), fresh, conditions(3))
    assert best - 0.01 < found < best + (start - best) * (0.03 if what == "embedding" else 0.25)


def test_film_is_more_free_than_an_embedding_of_one_feature():
    film = make(features=4, std=0.7, seed=5).film(conditions(0))  # which no row of one feature comes near
    examples, fresh = drawn(make(1, std=0.7), film, 600), drawn(make(1, std=0.7), film, 400, seed=2)
    found = {}
    for what in WHATS:
        model = make(features=1, std=0.7)
        plan = Adaptation(what, steps=100, learning_rate=0.3, batch_size=100)
        found[what] = bits(adapted(model, learn(model, "kind", examples, plan)), fresh, conditions(3))
    best = bits(make(1, std=0.7), fresh, film)
    assert best < found["film"] < best + (found["embedding"] - best) / 3
    assert found["film"] < found["embedding"] - 0.1


@whats
def test_a_strong_prior_keeps_the_start_and_a_weak_one_lets_go(what):
    moved = [learn(model := make(), "kind", drawn(model, conditions(2), 8), Adaptation(
        what, steps=60, batch_size=8, prior=prior)).moved for prior in (1e6, 1.0, 0.0)]  # fmt: skip
    assert moved[0] < 0.05 < moved[1] < moved[2]


@whats
def test_no_steps_give_the_start(what):
    model = make()
    learnt = learn(model, "kind", drawn(model, conditions(2), 3), Adaptation(what, steps=0))
    assert (learnt.before, learnt.moved) == (learnt.after, 0)
    assert all(torch.equal(value, model.film_generator.state_dict()[key]) for key, value in learnt.state.items())


def test_seeds_decide_the_order_and_nothing_else_does():
    def state(seed, noise):
        torch.manual_seed(noise)
        model = make()
        plan = Adaptation("embedding", steps=5, batch_size=2, seed=seed)
        torch.manual_seed(noise)
        return learn(model, "kind", drawn(model, conditions(2), 9), plan).state["encoders.kind.embedding.weight"]

    assert torch.equal(state(0, 1), state(0, 2))
    assert not torch.equal(state(0, 1), state(1, 1))


@pytest.mark.parametrize("conditioning", ["bias", "scale", "gate", "concat"])
@whats
def test_every_mechanism_learns(conditioning, what):
    model = make(conditioning=conditioning)
    plan = Adaptation(what, steps=30, batch_size=16, learning_rate=0.2)
    learnt = learn(model, "kind", drawn(model, conditions(2), 16), plan)
    assert learnt.after < learnt.before


@pytest.mark.parametrize(("options", "words"), [
    ({"steps": -1}, "steps -1 is not at least 0"), ({"batch_size": 0}, "batch_size 0 is not at least 1"),
    ({"prior": -1.0}, "prior -1.0 is not at least 0"), ({"prior": math.nan}, "prior nan"),
    ({"learning_rate": 0.0}, "learning_rate 0.0"), ({"learning_rate": math.inf}, "learning_rate inf"),
])  # fmt: skip
def test_wrong_plans_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Adaptation(**options)


def test_a_loss_that_is_not_finite_is_said():
    model = make()
    examples = drawn(model, conditions(2), 4)
    with torch.no_grad():
        model.encoders["kind"].embedding.weight[3] = math.nan
    with pytest.raises(ValueError, match="the loss is nan at step 0: lower the learning rate"):
        learn(model, "kind", examples, Adaptation())
