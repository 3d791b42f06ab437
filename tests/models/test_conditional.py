"""Conditional generators and discriminators: projection by hand, and every kind heeds its condition."""

import inspect

import pytest
import torch

from condgen.conditioning import ClassEmbedding, FeatureVector, FiLMGenerator
from condgen.models import (
    ConditionalDiscriminator,
    ConditionalGenerator,
    ConditionalModel,
    Discriminator,
    Generator,
    concat_to_bias,
)
from condgen.training import AdversarialTask, LikelihoodTask

SHAPE = (1, 16, 16)
CONDITIONINGS = ["concat", "bias", "film", "projection", "auxiliary"]


def label():
    return {"label": ClassEmbedding(4, num_classes=3)}


def random(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
    return module.double().eval()


def judge(conditioning, conditions=None):
    return random(ConditionalDiscriminator(Discriminator(SHAPE, 4), conditions or label(), conditioning))


def batch(rows):
    return torch.randn(1, *SHAPE, dtype=torch.float64).expand(rows, *SHAPE)


def test_projection_is_the_inner_product_of_v_times_the_embedding_with_the_features():
    model, x, ids = judge("projection"), batch(3), torch.tensor([0, 1, 2])
    score, features = model.network(x)
    v, embedding = model.project["label"].weight, model.encoders["label"].embedding.weight
    by_hand = torch.stack([score[i] + features[i] @ (v @ embedding[ids[i]]) for i in range(3)])
    assert torch.allclose(model(x, {"label": ids}).score, by_hand, atol=1e-12)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_every_kind_heeds_its_condition_and_trains_it(conditioning):
    model, x = judge(conditioning), batch(2)
    found = model(x, {"label": torch.tensor([0, 2])})
    if conditioning == "auxiliary":
        assert found.classes["label"].shape == (2, 3)
        assert torch.allclose(found.score[0], found.score[1], rtol=1e-12)  # rows may round differently
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
    ("conditioning", "conditions", "message"),
    [
        ("attention", label(), "unknown conditioning 'attention' of a discriminator; known: none, concat"),
        ("projection", {}, "needs at least one condition"),
        ("auxiliary", {"tags": FeatureVector(2, 3)}, "every condition must be a ClassEmbedding"),
    ],
)
def test_what_does_not_fit_is_refused(conditioning, conditions, message):
    with pytest.raises(ValueError, match=message):
        ConditionalDiscriminator(Discriminator(SHAPE, 4), conditions, conditioning)


PADDED = ["reflect", "replicate", "circular"]


def score_pair(padding_mode, shape=SHAPE, conditioning="concat"):
    model = random(ConditionalDiscriminator(Discriminator(shape, 4, padding_mode=padding_mode), label(), conditioning))
    return model, concat_to_bias(model)


@pytest.mark.parametrize("padding_mode", PADDED)
@pytest.mark.parametrize("shape", [SHAPE, (1, 256)], ids=str)
def test_concatenation_turned_into_a_bias_judges_alike_where_no_tap_leaves_the_map(padding_mode, shape):
    concat, bias = score_pair(padding_mode, shape)
    x, ids = torch.randn(3, *shape, dtype=torch.float64), {"label": torch.tensor([0, 1, 2])}
    assert bias.film_generator.conditioning == bias.conditioning == "bias"
    assert torch.allclose(concat(x, ids).score, bias(x, ids).score, atol=1e-9, rtol=1e-9)
    assert sum(p.numel() for p in bias.parameters()) < sum(p.numel() for p in concat.parameters())


def test_with_zero_padding_the_bias_is_equal_inside_the_first_map_and_not_at_its_border():
    concat, bias = score_pair("zeros")
    ids = {"label": torch.tensor([1])}
    beta = [model.film_generator(ids)["films.0"].beta for model in (concat, bias)]
    difference = (beta[0] - beta[1][..., None, None]).abs()
    assert difference[..., 1:-1, 1:-1].max() < 1e-12
    assert difference.max() > 1e-3
    assert (concat(batch(1), ids).score - bias(batch(1), ids).score).abs() > 1e-6


def test_turning_into_a_bias_leaves_the_original_as_it_was_and_refuses_what_has_no_equal():
    concat, _ = score_pair("reflect")
    before = {name: value.clone() for name, value in concat.state_dict().items()}
    concat_to_bias(concat)
    assert all(torch.equal(value, before[name]) for name, value in concat.state_dict().items())
    with pytest.raises(ValueError, match="this one has 'film'"):
        concat_to_bias(judge("film"))
    normed = ConditionalDiscriminator(Discriminator(SHAPE, 4, norm="instance"), label(), "concat")
    with pytest.raises(ValueError, match="no bias is equal"):
        concat_to_bias(normed)


@pytest.mark.parametrize("kind", [ConditionalModel, ConditionalGenerator, FiLMGenerator, LikelihoodTask,
                                  AdversarialTask])  # fmt: skip
def test_what_comes_behind_the_mechanism_goes_by_its_name(kind):
    """A new argument in the middle would otherwise take another's place without a word."""
    parameters = list(inspect.signature(kind).parameters.values())
    last = max(i for i, parameter in enumerate(parameters) if parameter.name.endswith("conditioning"))
    assert {parameter.kind for parameter in parameters[last + 1 :]} == {inspect.Parameter.KEYWORD_ONLY}
