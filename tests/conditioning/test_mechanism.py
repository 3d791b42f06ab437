"""A mechanism for each condition: how they compose, what each leaves fixed, and what is refused."""

import itertools
import re

import pytest
import torch
from torch import nn

from condgen.conditioning import ClassEmbedding, FeatureMap, FiLM, FiLMGenerator, GammaBeta, film_layers
from condgen.conditioning.mechanism import WRITTEN, in_words
from condgen.models import ConditionalDiscriminator, Discriminator

ACTING = ["bias", "scale", "gate", "film", "concat"]
IDS, OTHERS, MAPS = torch.tensor([2, 0]), torch.tensor([1, 1]), torch.randn(2, 1, 5, 6, dtype=torch.float64)
CONDITIONS = {"a": IDS, "b": OTHERS, "map": MAPS}


def network(norm="none"):
    like = lambda channels: nn.Conv2d(channels, 4, 3, padding=1, bias=False)  # noqa: E731
    return nn.ModuleDict({"0": FiLM(4, norm, like=like, size=(5, 6)), "1": FiLM(4, like=like, size=(5, 6))}).double()


def generator(conditioning, norm="none", random=True, **options):
    encoders = {"a": ClassEmbedding(3, num_classes=3), "b": ClassEmbedding(2, num_classes=2), "map": FeatureMap(1, 3)}
    kept = encoders if isinstance(conditioning, str) else {name: encoders[name] for name in conditioning}
    torch.manual_seed(0)
    made = FiLMGenerator(kept, film_layers(network(norm)), conditioning, **options).double()
    for parameter in made.parameters() if random else ():
        nn.init.normal_(parameter)
    return made


def written(made, **conditions):
    return made({name: value for name, value in {**CONDITIONS, **conditions}.items() if name in made.encoders})


def place(part):
    return part.view(*part.shape, *(1,) * (4 - part.ndim))


def own(made, name, kind):
    """What a condition's head writes by itself, (batch, channels of both layers, …)."""
    heads = made.beta if kind == "beta" else made.delta
    z = made.encoders[name](CONDITIONS[name])
    return place(torch.einsum("of,bf...->bo...", heads[name].weight, z))


def test_gates_multiply_what_the_sum_of_scales_gives_and_every_offset_is_added():
    """γ = 2σ(Σ δ of gates) ⊙ (1 + Σ δ of scale and film), β = Σ β."""
    made = generator({"a": "gate", "map": "film", "b": "scale"})
    gamma = 2 * torch.sigmoid(own(made, "a", "delta")) * (1 + own(made, "map", "delta") + own(made, "b", "delta"))
    beta = own(made, "map", "beta")
    for i, pair in enumerate(written(made).values()):
        torch.testing.assert_close(place(pair.gamma), gamma[:, 4 * i : 4 * i + 4])
        torch.testing.assert_close(place(pair.beta), beta[:, 4 * i : 4 * i + 4])


def test_two_gates_add_up_inside_the_sigmoid_as_they_do_with_one_word_for_all():
    made, each = generator("gate"), generator(dict.fromkeys(CONDITIONS, "gate"))
    gamma = 2 * torch.sigmoid(sum(own(made, name, "delta") for name in CONDITIONS))
    for film in (written(made), written(each)):
        torch.testing.assert_close(torch.cat([pair.gamma for pair in film.values()], 1), gamma)


@pytest.mark.parametrize("norm", ["none", "instance"])
@pytest.mark.parametrize("kind", ACTING)
def test_one_word_is_that_word_for_each_condition_by_name_and_in_the_numbers(kind, norm):
    whole, each = generator(kind, norm), generator(dict.fromkeys(CONDITIONS, kind), norm)
    each.load_state_dict(whole.state_dict())
    assert torch.equal(written(whole).flatten(), written(each).flatten())
    assert whole.free == each.free


@pytest.mark.parametrize("norm", ["none", "instance"])
@pytest.mark.parametrize(("a", "map_"), itertools.product(ACTING, ACTING))
def test_any_pair_starts_at_the_unconditional_network_and_leaves_free_what_one_of_them_writes(a, map_, norm):
    layers, made = network(norm), generator({"a": a, "map": map_}, norm, random=False)
    film, x = written(made), torch.randn(2, 4, 5, 6, dtype=torch.float64)
    for name, layer in layers.items():
        assert torch.equal(layer(x, film[name]), layer(x, GammaBeta()))
        parts = {"beta" if part == "inner" else part for part in film[name].parts}
        assert parts == set(made.free[name])
        if layer.norm == "none":
            assert parts == {*WRITTEN[a], *WRITTEN[map_]}


def test_a_condition_moves_only_what_its_mechanism_writes():
    """Yang et al. 2018, equation 1: γ of a feature map from the first frame, β at each position from the mask."""
    made = generator({"map": "bias", "a": "scale"})
    film, moved = written(made), {"a": written(made, a=OTHERS), "map": written(made, map=-MAPS)}
    for name, pair in film.items():
        assert pair.gamma.shape == (2, 4)
        assert pair.beta.shape == (2, 4, 5, 6)
        assert torch.equal(moved["a"][name].beta, pair.beta)
        assert torch.equal(moved["map"][name].gamma, pair.gamma)
        assert not torch.equal(moved["a"][name].gamma, pair.gamma)
        assert not torch.equal(moved["map"][name].beta, pair.beta)


@pytest.mark.parametrize("norm", ["none", "instance"])
def test_biases_beside_concatenation_fix_gamma_where_nothing_normalises(norm):
    film = written(generator({"a": "bias", "map": "concat"}, norm))
    assert film["1"].gamma is None  # no multiply
    assert (film["0"].gamma is None) == (norm == "none")  # what the norm lacks is learned beside it


def test_none_of_a_dropped_condition_is_composed_alike():
    made = generator({"a": "gate", "map": "film"}, dropout={"a": 0.5})
    absent = made.without({"a": IDS, "map": MAPS})
    gate = 2 * torch.sigmoid(made.delta["a"].weight @ made.none["a"])
    gamma = gate.view(1, -1, 1, 1) * (1 + own(made, "map", "delta"))
    torch.testing.assert_close(torch.cat([pair.gamma for pair in absent.values()], 1), gamma)


@pytest.mark.parametrize(
    ("conditioning", "message"),
    [({"a": "bias", "b": "scale", "map": "film", "mel": "bias"},
      "conditioning names 'mel', which is no condition of the model; its conditions: a, b, map"),
     ({"a": "bias", "b": "scale"},
      "conditioning says nothing of the condition 'map': give conditioning.map one of bias, scale, gate, film, concat"),
     ({"a": "bias", "b": "mul", "map": "film"},
      "unknown conditioning 'mul'; known: none, bias, scale, gate, film, concat"),
     ({"a": "bias", "b": "none", "map": "film"},
      "conditioning gives 'b' the mechanism 'none': leave the condition out of model.conditions, or give it one that "
      "acts")],
)  # fmt: skip
def test_a_mechanism_that_fits_no_condition_is_refused_in_one_line(conditioning, message):
    encoders = {name: ClassEmbedding(2, num_classes=2) for name in CONDITIONS}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        FiLMGenerator(encoders, {"0": FiLM(2)}, conditioning)


def test_a_discriminator_takes_a_mechanism_for_each_condition_too():
    encoders = {name: ClassEmbedding(3, num_classes=4) for name in ("digit", "style", "hand")}
    each = {"digit": "projection", "style": "auxiliary", "hand": "film"}
    made = ConditionalDiscriminator(Discriminator((1, 8, 8), channels=4), encoders, each)
    assert ([*made.project], [*made.classify], [*made.film_generator.encoders]) == (["digit"], ["style"], ["hand"])
    assert sorted(made.conditions) == sorted(encoders)
    x, ids = torch.randn(2, 1, 8, 8), {name: torch.tensor([1, 2]) for name in encoders}
    judged = made(x, ids)
    assert judged.score.shape == (2,)
    assert {name: tuple(logits.shape) for name, logits in judged.classes.items()} == {"style": (2, 4)}
    for wrong, words in (
        ({"digit": "gate"}, "unknown conditioning 'gate' of a discriminator; known: none, concat"),
        ({"digit": "film"}, "conditioning of a discriminator says nothing of the condition 'style'"),
    ):
        with pytest.raises(ValueError, match=words):
            ConditionalDiscriminator(Discriminator((1, 8, 8), channels=4), encoders, wrong)


def test_conditionings_in_words():
    assert in_words("film") == "film"
    assert in_words({"mask": "bias", "frame": "scale"}) == "bias of mask, scale of frame"
