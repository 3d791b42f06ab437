"""The FiLM generator: its start at the unconditional model, its kinds and scopes, its errors, and concatenation."""

import re
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import nn

from condgen.conditioning import (
    ClassEmbedding,
    FeatureMap,
    FeatureVector,
    FiLM,
    FiLMGenerator,
    FrameSequence,
    GammaBeta,
    film_layers,
)

CONDITIONINGS = ["none", "bias", "scale", "gate", "film", "concat"]
SIZE = (5, 6)


class Convolutions(nn.Module):
    """Two convolutions, each with FiLM behind it, on maps of `SIZE`."""

    def __init__(self, *norms):
        super().__init__()
        like = partial(nn.Conv2d, out_channels=4, kernel_size=3, padding=1, bias=False)
        self.convs = nn.ModuleList([nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)])
        self.films = nn.ModuleList(FiLM(4, norm, like=like, size=SIZE) for norm in norms)

    def forward(self, x, film):
        for i, conv in enumerate(self.convs):
            x = torch.tanh(self.films[i](conv(x), film[f"films.{i}"]))
        return x


class Features(nn.Module):
    """Takes a condition for its features as it is."""

    scope, classes, names, around = "global", None, None, 0
    completed = check = parse = None
    named_axes: ClassVar[dict] = {}

    def __init__(self, features=3):
        super().__init__()
        self.features = features

    def forward(self, z):
        return z


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def randomised(module):
    torch.manual_seed(1)
    for parameter in module.double().parameters():
        nn.init.normal_(parameter)
    return module


def build(conditioning, norms=("none", "none"), random=True, **options):
    torch.manual_seed(0)
    network = Convolutions(*norms)
    encoders = {"label": ClassEmbedding(4, num_classes=3), "columns": FrameSequence(2, 4), "map": FeatureMap(1, 4)}
    encoders = {} if conditioning == "none" else encoders
    generator = FiLMGenerator(encoders, film_layers(network), conditioning, **options)
    return network.double(), randomised(generator) if random else generator.double()


LABEL, COLUMNS, MAP = torch.tensor([2, 0]), draw(2, 2, SIZE[1]), draw(2, 1, *SIZE)
CONDITIONS = {"label": LABEL, "columns": COLUMNS, "map": MAP}


@pytest.mark.parametrize("norms", [("none", "none"), ("channel", "none"), ("instance", "batch")])
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_a_new_model_is_exactly_the_unconditional_one(conditioning, norms):
    network, generator = build(conditioning, norms, random=False)
    x = draw(2, 2, *SIZE)
    film = generator({} if conditioning == "none" else CONDITIONS)
    assert torch.equal(network(x, film), network(x, {name: GammaBeta() for name in film}))


@pytest.mark.parametrize("conditioning", [conditioning for conditioning in CONDITIONINGS if conditioning != "none"])
def test_every_condition_of_a_trained_model_acts(conditioning):
    network, generator = build(conditioning)
    x = draw(2, 2, *SIZE)
    result = network(x, generator(CONDITIONS))
    for name, other in {"label": torch.tensor([1, 1]), "columns": -COLUMNS, "map": -MAP}.items():
        assert not torch.allclose(result, network(x, generator({**CONDITIONS, name: other})))


@pytest.mark.parametrize(
    ("conditioning", "free"),
    [
        ("none", set()),
        ("bias", {"beta"}),
        ("scale", {"gamma"}),
        ("gate", {"gamma"}),
        ("film", {"gamma", "beta"}),
        ("concat", {"beta"}),
    ],
)
def test_a_kind_leaves_free_what_it_says(conditioning, free):
    _, generator = build(conditioning)
    for pair in generator({} if conditioning == "none" else CONDITIONS).values():
        assert set(pair.parts) == free


def test_a_gate_is_twice_a_sigmoid():
    _, gate = build("gate")
    _, scale = build("scale")
    scale.load_state_dict(gate.state_dict())
    for pair, unbounded in zip(gate(CONDITIONS).values(), scale(CONDITIONS).values(), strict=True):
        assert pair.gamma.min() >= 0
        assert pair.gamma.max() <= 2
        assert torch.allclose(pair.gamma, 2 * torch.sigmoid(unbounded.gamma - 1), atol=1e-12)


@pytest.mark.parametrize("conditioning", ["bias", "concat"])
def test_conditions_of_all_scopes_together_are_the_sum_of_each_alone(conditioning):
    """The heads have no bias, so features of 0 add nothing."""
    scopes = {"global": (2, 3), "local": (2, 3, SIZE[1]), "spatial": (2, 3, *SIZE)}
    z = {scope: draw(*shape, seed=i) for i, (scope, shape) in enumerate(scopes.items())}
    generator = FiLMGenerator(
        {scope: Features() for scope in scopes}, film_layers(Convolutions("none", "none")), conditioning
    )
    randomised(generator)

    def beta(*kept):
        film = generator({scope: z[scope] if scope in kept else torch.zeros_like(z[scope]) for scope in scopes})
        return torch.stack([pair.beta for pair in film.values()])

    assert all(beta(scope).abs().max() > 0 for scope in scopes)
    assert torch.allclose(beta(*scopes), beta("global") + beta("local") + beta("spatial"), atol=1e-12)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
@pytest.mark.parametrize("norms", [("none", "none"), ("none", "channel"), ("batch", "instance")])
def test_only_layers_that_normalise_have_a_part_of_their_own(conditioning, norms):
    """Features of 0 leave the heads' parts at γ = 1 and β = 0: what differs is the part of all conditions."""
    generator = FiLMGenerator(
        {} if conditioning == "none" else {"z": Features()}, film_layers(Convolutions(*norms)), conditioning
    )
    film = randomised(generator)({} if conditioning == "none" else {"z": torch.zeros(2, 3).double()})
    for norm, (gamma, beta) in zip(norms, film.values(), strict=True):
        assert bool((beta != 0).all()) == (norm != "none")
        assert bool((gamma != 1).all()) == (norm != "none" and conditioning != "bias")


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'mul'; known: none, bias, scale, gate, film, concat"):
        FiLMGenerator({"z": Features()}, {"0": FiLM(2)}, "mul")


def test_a_kind_without_conditions_is_refused():
    with pytest.raises(ValueError, match="conditioning 'bias' needs at least one condition"):
        FiLMGenerator({}, {"0": FiLM(2)}, "bias")


def test_concatenation_needs_the_convolution_of_the_layer():
    with pytest.raises(ValueError, match="`like`"):
        FiLMGenerator({"z": Features()}, {"0": FiLM(2)}, "concat")


def test_names_that_are_not_the_models_conditions_are_refused_with_those_that_are():
    _, generator = build("bias")
    with pytest.raises(ValueError, match="'label' is missing; this model's conditions: label, columns, map"):
        generator({"columns": COLUMNS, "map": MAP})
    with pytest.raises(ValueError, match="'speaker' is unknown; this model's conditions: label, columns, map"):
        generator({**CONDITIONS, "speaker": LABEL})
    with pytest.raises(ValueError, match="'label' is unknown; this model's conditions: none"):
        build("none")[1](CONDITIONS)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("columns", torch.zeros(2, 2), "expected (batch, 2, frames), got (2, 2)"),
        ("columns", torch.zeros(2, 3, 6), "expected (batch, 2, frames), got (2, 3, 6)"),
        ("map", torch.zeros(2, 5, 6), "expected (batch, 1, height, width), got (2, 5, 6)"),
        ("map", torch.zeros(2, 2, 5, 6), "expected (batch, 1, height, width), got (2, 2, 5, 6)"),
        ("label", torch.zeros(2, 1, dtype=torch.long), "class ids are (batch,) whole numbers; got (2, 1)"),
        ("label", torch.zeros(2), "class ids are (batch,) whole numbers; got (2,) of torch.float32"),
        ("label", torch.tensor([0, 3]), "class ids [3] are out of range"),
        ("label", torch.tensor([-1, 0]), "class ids [-1] are out of range"),
    ],
)
def test_a_wrong_condition_is_refused_with_its_name_and_both_shapes(name, wrong, message):
    _, generator = build("bias")
    with pytest.raises(ValueError, match=re.escape(f"condition '{name}': {message}")):
        generator({**CONDITIONS, name: wrong})


def test_a_vector_of_the_wrong_size_is_refused_with_its_name_and_both_shapes():
    generator = FiLMGenerator({"tags": FeatureVector(3)}, {"0": FiLM(2)})
    with pytest.raises(ValueError, match=re.escape("condition 'tags': expected (batch, 3), got (2, 5)")):
        generator({"tags": torch.zeros(2, 5)})


def test_conditions_with_different_batch_sizes_are_refused_with_the_sizes():
    _, generator = build("bias")
    with pytest.raises(ValueError, match=re.escape("{'label': 3, 'columns': 2, 'map': 2}")):
        generator({**CONDITIONS, "label": torch.tensor([0, 1, 2])})


@pytest.mark.parametrize("conditioning", ["bias", "scale", "film", "concat"])
def test_conditions_whose_sizes_clash_are_refused_with_both(conditioning):
    _, generator = build(conditioning)
    with pytest.raises(ValueError, match=r"\(4,\).*\(5, 6\)|\(5, 6\).*\(4,\)"):
        generator({**CONDITIONS, "columns": draw(2, 2, 4)})


@pytest.mark.parametrize("conditioning", ["bias", "film", "concat"])
def test_a_map_of_another_size_than_the_features_is_refused_with_both(conditioning):
    network = Convolutions("none", "none").double()
    generator = randomised(FiLMGenerator({"map": FeatureMap(1, 4)}, film_layers(network), conditioning))
    with pytest.raises(ValueError, match=r"(?s)(4, 6\).*5, 6\)|5, 6\).*4, 6\))"):
        network(draw(2, 2, *SIZE), generator({"map": draw(2, 1, 4, 6)}))


# Concatenation. conv([x; z]) is built literally, with the weights of the convolution and of the generator side by side.

CONVOLUTIONS = {
    "zero padding": partial(nn.Conv2d, kernel_size=3, padding=1),
    "circular": partial(nn.Conv2d, kernel_size=3, padding=1, padding_mode="circular"),
    "valid": partial(nn.Conv2d, kernel_size=3),
    "strided": partial(nn.Conv2d, kernel_size=3, padding=1, stride=2),
    "strided circular": partial(nn.Conv2d, kernel_size=3, padding=1, stride=2, padding_mode="circular"),
    "transposed": partial(nn.ConvTranspose2d, kernel_size=4, padding=1, stride=2),
    "transposed by 3": partial(nn.ConvTranspose2d, kernel_size=5, stride=3),
}
INSIDE = (slice(None), slice(None), slice(3, -3), slice(3, -3))


def concatenation(convolution, size, norm="none"):
    """The convolution of x (2 channels to 4), its FiLM layer, the generator for z (3 features), and conv([x; z])."""
    make = CONVOLUTIONS[convolution]
    conv, literal = (randomised(make(channels, 4)) for channels in (2, 5))
    layer = FiLM(4, norm, like=partial(make, out_channels=4, bias=False), size=size).double()
    generator = randomised(FiLMGenerator({"z": Features()}, {"0": layer}, "concat"))
    axis = 0 if literal.transposed else 1
    with torch.no_grad():
        literal.weight.copy_(torch.cat([conv.weight, generator.concat["z"][0].conv.weight], axis))
        literal.bias.copy_(conv.bias)
    return conv, layer, generator, literal


def everywhere(z, size):
    """Repeat z over the positions that it does not tell apart."""
    return z.view(*z.shape[:2], *(1,) * (4 - z.ndim), *z.shape[2:]).expand(-1, -1, *size)


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "channel"])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 6), (2, 3, 5, 6)], ids=["global", "local", "spatial"])
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_concat_is_concatenation_to_the_input_of_the_convolution(convolution, shape, norm):
    conv, layer, generator, literal = concatenation(convolution, SIZE, norm)
    x, z = draw(2, 2, *SIZE), draw(*shape, seed=1)
    pair = generator({"z": z})["0"]
    outer = GammaBeta(pair.gamma, pair.beta if norm != "none" else None)  # what the norm lacks, the same for all z
    expected = layer(literal(torch.cat([x, everywhere(z, SIZE)], dim=1)), outer)
    assert (pair.inner is None) == (norm == "none")
    assert torch.allclose(layer(conv(x), pair), expected, atol=1e-10)


def test_concat_takes_the_size_of_a_condition_that_has_one():
    _, _, generator, _ = concatenation("zero padding", ())
    _, _, sized, _ = concatenation("zero padding", SIZE)
    z = {"z": draw(2, 3, *SIZE)}
    assert torch.equal(generator(z)["0"].beta, sized(z)["0"].beta)


def contribution(convolution):
    """What concatenating a constant z adds behind the convolution, (2, 4, height, width)."""
    _, _, generator, _ = concatenation(convolution, (12, 12))
    return generator({"z": draw(2, 3)})["0"].beta


def spread_of(beta):
    return beta.amax((-2, -1)) - beta.amin((-2, -1))


@pytest.mark.parametrize("convolution", ["circular", "strided circular", "valid"])
def test_concatenating_a_constant_is_a_plain_bias_without_zero_padding(convolution):
    assert spread_of(contribution(convolution)).max() < 1e-12


def test_concatenating_a_constant_under_zero_padding_is_a_plain_bias_only_inside():
    beta = contribution("zero padding")
    assert spread_of(beta[INSIDE]).max() < 1e-12
    assert spread_of(beta).min() > 0.1


@pytest.mark.parametrize(("convolution", "stride"), [("transposed", 2), ("transposed by 3", 3)])
def test_concatenating_a_constant_before_a_transposed_convolution_is_a_bias_per_phase(convolution, stride):
    beta = contribution(convolution)[INSIDE]
    phases = [beta[..., i::stride, j::stride] for i in range(stride) for j in range(stride)]
    assert all(spread_of(phase).max() < 1e-12 for phase in phases)
    levels = torch.stack([phase[..., 0, 0] for phase in phases], dim=-1)
    assert (levels[..., :, None] - levels[..., None, :]).abs()[..., ~torch.eye(stride**2).bool()].min() > 1e-3
    assert spread_of(beta).min() > 0.1


@pytest.mark.parametrize("name", ["type", "half", "keys", "training", "a.b", ""])
def test_a_name_that_no_module_can_have_is_refused(name):
    with pytest.raises(ValueError, match=f"a condition cannot be called '{name}'"):
        FiLMGenerator({name: ClassEmbedding(2, num_classes=2)}, {"layer": FiLM(3)}, "film")


ACTING = [conditioning for conditioning in CONDITIONINGS if conditioning != "none"]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_a_new_deep_generator_gives_exactly_the_unconditional_model(conditioning, depth):
    network, generator = build(conditioning, random=False, depth=depth)
    conditions = {} if conditioning == "none" else {"label": LABEL, "columns": COLUMNS, "map": MAP}
    x = draw(2, 2, *SIZE)
    empty = {f"films.{i}": GammaBeta() for i in range(2)}
    assert torch.equal(network(x, generator(conditions)), network(x, empty))


def test_a_generator_of_depth_0_has_the_parameters_that_it_always_had():
    _, generator = build("film", depth=0)
    assert not any(name.startswith("hidden") for name in generator.state_dict())
    _, deep = build("film", depth=2)
    added = {n: tuple(p.shape) for n, p in deep.state_dict().items() if n not in generator.state_dict()}
    assert added == {f"hidden.{name}.{layer}.{part}": shape for name in ("label", "columns", "map")
                     for layer in (0, 2) for part, shape in (("weight", (4, 4)), ("bias", (4,)))}  # fmt: skip


def test_the_heads_of_a_deep_generator_read_hidden_layers_with_relu():
    generator = randomised(FiLMGenerator({"z": Features()}, {"layer": FiLM(2)}, "film", depth=2))
    z, hidden = draw(5, 3), generator.hidden["z"]
    by_hand = torch.relu(z @ hidden[0].weight.T + hidden[0].bias)
    by_hand = torch.relu(by_hand @ hidden[2].weight.T + hidden[2].bias)
    gamma, beta = generator({"z": z})["layer"]
    assert torch.allclose(gamma, 1 + by_hand @ generator.delta["z"].weight.T)
    assert torch.allclose(beta, by_hand @ generator.beta["z"].weight.T)


def test_hidden_layers_act_on_every_position_alike():
    _, generator = build("film", depth=2)
    maps = draw(2, 4, *SIZE)
    at_all = generator.hidden["map"](maps)
    assert at_all.shape == maps.shape
    assert torch.allclose(at_all[:, :, 3, 2], generator.hidden["map"](maps[:, :, 3, 2]))


@pytest.mark.parametrize("conditioning", ACTING)
@pytest.mark.parametrize("depth", [0, 2])
def test_the_first_gradient_reaches_the_heads_of_a_zero_start_and_everything_of_a_small_one(conditioning, depth):
    for start in ("zero", "small"):
        network, generator = build(conditioning, random=False, depth=depth, start=start)
        conditions = {"label": LABEL, "columns": COLUMNS, "map": MAP}
        network(draw(2, 2, *SIZE), generator(conditions)).square().sum().backward()
        reached = {n for n, p in generator.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        heads = {n for n, _ in generator.named_parameters() if n.split(".")[0] in ("delta", "beta", "concat")}
        assert reached == (heads if start == "zero" else {n for n, _ in generator.named_parameters()})


def test_a_small_start_is_of_the_size_that_it_says():
    layers = {"layer": FiLM(400)}
    generator = FiLMGenerator({"z": Features(50)}, layers, "film", start="small")
    for head in (generator.delta["z"], generator.beta["z"]):
        assert abs(head.weight.std().item() - 0.02) < 0.001
    assert FiLMGenerator({"z": Features(50)}, layers, "film").delta["z"].weight.abs().sum() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depth": -1}, "depth -1 of a FiLM generator is not at least 0"),
     ({"start": "one"}, "unknown start 'one' of a FiLM generator; known: zero, small")],
)  # fmt: skip
def test_a_depth_or_start_that_there_is_not_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FiLMGenerator({"z": Features()}, {"layer": FiLM(2)}, "film", **options)


@pytest.mark.parametrize("norm", ["none", "channel"])
@pytest.mark.parametrize("conditioning", ["none", "bias", "scale", "gate", "film", "concat"])
def test_what_is_free_is_what_is_written(make_model, make_conditions, conditioning, norm):
    model = make_model(conditioning=conditioning, norm=norm)
    film = model.film(make_conditions(model, 2))
    written = {name: {"beta" if part == "inner" else part for part in pair.parts} for name, pair in film.items()}
    assert {name: {*parts} for name, parts in model.film_generator.free.items()} == written
