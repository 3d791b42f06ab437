"""Conditional generators and discriminators: projection by hand, and every kind heeds its condition."""

import pytest
import torch

from condgen.conditioning import ClassEmbedding, FeatureVector
from condgen.models import ConditionalDiscriminator, ConditionalGenerator, Discriminator, Generator

SHAPE = (1, 16, 16)
KINDS = ["concat", "bias", "film", "projection", "auxiliary"]


def label():
    return {"label": ClassEmbedding(4, num_classes=3)}


def random(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
    return module.double().eval()


def judge(kind, conditions=None):
    return random(ConditionalDiscriminator(Discriminator(SHAPE, 4), conditions or label(), kind))


def batch(rows):
    return torch.randn(1, *SHAPE, dtype=torch.float64).expand(rows, *SHAPE)


def test_projection_is_the_inner_product_of_v_times_the_embedding_with_the_features():
    model, x, ids = judge("projection"), batch(3), torch.tensor([0, 1, 2])
    score, features = model.network(x)
    v, embedding = model.project["label"].weight, model.encoders["label"].embedding.weight
    by_hand = torch.stack([score[i] + features[i] @ (v @ embedding[ids[i]]) for i in range(3)])
    assert torch.allclose(model(x, {"label": ids}).score, by_hand, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_heeds_its_condition_and_trains_it(kind):
    model, x = judge(kind), batch(2)
    found = model(x, {"label": torch.tensor([0, 2])})
    if kind == "auxiliary":
        assert found.classes["label"].shape == (2, 3)
        assert torch.equal(found.score[0], found.score[1])
        found.classes["label"].square().sum().backward()
    else:
        assert not found.classes
        assert (found.score[0] - found.score[1]).abs() > 1e-6
        found.score.square().sum().backward()
    own = [p for n, p in model.named_parameters() if not n.startswith("network.")]
    assert own
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in own)


def test_none_judges_without_conditions():
    model, x = judge("none"), batch(2)
    score, _ = model.network(x)
    assert torch.equal(model(x, {"label": torch.tensor([0, 2])}).score, score)


def test_several_conditions_are_projected_together():
    model = judge("projection", {**label(), "tags": FeatureVector(2, 3)})
    x, ids, tags = batch(1), torch.tensor([1]), torch.randn(1, 2, dtype=torch.float64)
    score, features = model.network(x)
    parts = {"label": model.encoders["label"](ids), "tags": model.encoders["tags"](tags)}
    by_hand = score + sum((model.project[name](part) * features).sum(1) for name, part in parts.items())
    assert torch.allclose(model(x, {"label": ids, "tags": tags}).score, by_hand, atol=1e-12)
    assert (by_hand - score).abs() > 1e-6


def test_a_generator_takes_conditions_or_their_parameters():
    model = random(ConditionalGenerator(Generator(SHAPE, 5, 4, "none"), label(), "film"))
    z, ids = torch.randn(2, 5, dtype=torch.float64), {"label": torch.tensor([0, 2])}
    assert torch.equal(model(z, ids), model(z, model.film(ids)))


@pytest.mark.parametrize(
    ("kind", "conditions", "message"),
    [
        ("attention", label(), "unknown kind of discriminator 'attention'; known: none, concat"),
        ("projection", {}, "needs at least one condition"),
        ("auxiliary", {"tags": FeatureVector(2, 3)}, "every condition must be a ClassEmbedding"),
    ],
)
def test_what_does_not_fit_is_refused(kind, conditions, message):
    with pytest.raises(ValueError, match=message):
        ConditionalDiscriminator(Discriminator(SHAPE, 4), conditions, kind)
