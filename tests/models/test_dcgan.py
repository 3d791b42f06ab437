"""DCGAN bodies: every mechanism changes the output, concatenation is what it is, spectral norms are at most 1."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from condgen.conditioning import ClassEmbedding, FiLMGenerator, film_layers
from condgen.models.dcgan import Discriminator, Generator, shuffle_phase
from condgen.models.dcgan_body import body

SHAPES = [(1, 8, 8), (3, 16, 16), (1, 28, 28), (1, 64), (1, 256)]
CONDITIONINGS = ["concat", "bias", "scale", "gate", "film"]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
conditionings = pytest.mark.parametrize("conditioning", CONDITIONINGS)
norms = pytest.mark.parametrize("norm", ["none", "batch"])
labels = pytest.mark.parametrize("labels", ["first", "every"])


def random(module, seed=0):
    """Give a module random weights in float64."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.double()


def conditioned(network, conditioning, classes=3):
    """A network and a FiLM generator for it, both with random weights."""
    generator = FiLMGenerator({"label": ClassEmbedding(4, num_classes=classes)}, network.film_layers, conditioning)
    return random(network), random(generator, 1)


def ids(*values):
    return {"label": torch.tensor(values)}


@shapes
@conditionings
@norms
@labels
def test_the_generators_output_changes_with_the_label_and_its_gradients_reach_the_conditioning(
    shape, conditioning, norm, labels
):
    network, generator = conditioned(Generator(shape, 5, 4, norm, labels), conditioning)
    network.eval()
    z = torch.randn(1, 5, dtype=torch.float64).expand(3, -1)
    x = network(z, generator(ids(0, 1, 2)))
    assert x.shape == (3, *shape)
    assert x.abs().max() <= 1
    assert min((a - b).abs().max() for a, b in itertools.combinations(x, 2)) > 1e-6
    x.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in generator.parameters())


@shapes
@pytest.mark.parametrize("conditioning", ["concat", "bias", "film"])
@norms
def test_the_discriminators_score_changes_with_the_label(shape, conditioning, norm):
    network, generator = conditioned(Discriminator(shape, 4, norm), conditioning)
    network.eval()
    x = torch.randn(1, *shape, dtype=torch.float64).expand(2, *shape)
    scores, features = network(x, generator(ids(0, 2)))
    assert scores.shape == (2,)
    assert features.shape == (2, network.features)
    assert (scores[0] - scores[1]).abs() > 1e-6


@shapes
@norms
@labels
def test_a_new_generator_is_the_unconditional_one(shape, norm, labels):
    network = Generator(shape, 5, 4, norm, labels).double()
    for conditioning in CONDITIONINGS:
        generator = FiLMGenerator(
            {"label": ClassEmbedding(4, num_classes=3)}, network.film_layers, conditioning
        ).double()
        z = torch.randn(2, 5, dtype=torch.float64)
        assert torch.equal(network(z, generator(ids(0, 2))), network(z))


def test_labels_on_the_first_layer_alone_leave_the_others_without_film():
    assert list(film_layers(Generator((1, 32, 32), labels="first"))) == ["films.0"]
    assert len(film_layers(Generator((1, 32, 32), labels="every"))) == 3


# Concatenation: what `conditioning: concat` adds is what concatenating the label literally does.


def literal(conv, head, x, z):
    """Concatenate z, held constant over x's size, to x, and convolve with the weights of both side by side."""
    maps = z[(...,) + (None,) * (x.ndim - 2)].expand(*z.shape, *x.shape[2:])
    joined = type(conv)(
        x.shape[1] + z.shape[1], conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
        **({"output_padding": conv.output_padding} if conv.transposed else {}),
    ).double()  # fmt: skip
    with torch.no_grad():
        joined.weight.copy_(torch.cat([conv.weight, head.weight], dim=0 if conv.transposed else 1))
        joined.bias.copy_(conv.bias)
    return joined(torch.cat([x, maps], dim=1))


@shapes
def test_concatenation_to_the_noise_and_to_every_hidden_layer_is_literal(shape):
    network, generator = conditioned(Generator(shape, 5, 4, "none"), "concat")
    film, z = generator(ids(1)), generator._encode(ids(1))["label"]
    x = torch.randn(1, 5, *(1,) * (len(shape) - 1), dtype=torch.float64)
    for i, conv in enumerate(network.convs):
        head = generator.concat["label"][i].conv
        y = network.films[i](conv(x), film[f"films.{i}"])
        assert torch.allclose(y, literal(conv, head, x, z), atol=1e-12)
        x = torch.relu(y)


@shapes
def test_concatenation_in_the_discriminator_is_literal(shape):
    network, generator = conditioned(Discriminator(shape, 4), "concat")
    film, z = generator(ids(1)), generator._encode(ids(1))["label"]
    x = torch.randn(1, *shape, dtype=torch.float64)
    for i, conv in enumerate(network.convs):
        y = network.films[i](conv(x), film[f"films.{i}"])
        assert torch.allclose(y, literal(conv, generator.concat["label"][i].conv, x, z), atol=1e-12)
        x = F.leaky_relu(y, 0.2)


def test_concatenation_is_a_bias_inside_the_discriminator_and_not_at_its_border():
    _, generator = conditioned(Discriminator((1, 16, 16), 4), "concat")
    beta = generator(ids(1))["films.0"].beta
    inside = beta[..., 1:-1, 1:-1]
    assert (inside - inside[..., :1, :1]).abs().max() < 1e-12
    assert (beta - inside[..., :1, :1]).abs().max() > 1e-3


def test_concatenation_is_a_bias_per_phase_inside_the_generator():
    _, generator = conditioned(Generator((1, 32, 32), 5, 4, "none"), "concat")
    beta = generator(ids(1))["films.2"].beta[..., 2:-2, 2:-2]
    for down, right in itertools.product(range(2), repeat=2):
        phase = beta[..., down::2, right::2]
        assert (phase - phase[..., :1, :1]).abs().max() < 1e-12
    assert (beta - beta[..., :1, :1]).abs().max() > 1e-3


def test_concatenation_to_the_noise_is_a_bias_of_its_own_at_every_position():
    _, generator = conditioned(Generator((1, 32, 32), 5, 4, "none"), "concat")
    beta = generator(ids(1))["films.0"].beta[0].detach()
    assert beta.shape[1:] == (4, 4)
    assert len({round(v, 9) for v in beta[0].flatten().tolist()}) == 16


# The rest of the body.


@shapes
def test_spectral_norms_are_at_most_one(shape):
    torch.manual_seed(0)
    network = Discriminator(shape, 4, spectral_norm=True).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=3)
    for _ in range(200):  # a step of power iteration each
        network(torch.randn(2, *shape, dtype=torch.float64))
    network.eval()
    for module in [*network.convs, network.output]:
        assert torch.linalg.matrix_norm(module.weight.flatten(1), 2) <= 1 + 1e-3


def test_shuffled_phases_move_each_row_by_at_most_so_much_and_reflect():
    torch.manual_seed(0)
    x = torch.arange(20.0).expand(50, 2, 20)
    moved = shuffle_phase(x, 3)
    seen = set()
    for row in moved:
        assert torch.equal(row[0], row[1])
        shift = int(row[0, 10]) - 10
        expected = F.pad(x[:1, :1], (3, 3), mode="reflect")[0, 0, 3 + shift : 23 + shift]
        assert torch.equal(row[0], expected)
        seen.add(shift)
    assert seen == set(range(-3, 4))


def test_the_discriminator_shuffles_phases_in_training_only():
    network = random(Discriminator((1, 256), 4, phase_shuffle=2))
    x = torch.randn(2, 1, 256, dtype=torch.float64)
    assert not torch.equal(network(x)[0], network(x)[0])
    network.eval()
    assert torch.equal(network(x)[0], network(x)[0])


@pytest.mark.parametrize(("shape", "start", "layers"), [
    ((1, 8, 8), (4, 4), 1), ((1, 64, 64), (4, 4), 4), ((1, 28, 28), (7, 7), 2), ((3, 16, 32), (4, 8), 2),
    ((1, 8192), (8,), 5), ((1, 16384), (4,), 6),
])  # fmt: skip
def test_bodies_fit_their_data(shape, start, layers):
    fit = body(shape, 8)
    assert (fit.start, fit.layers, fit.size(layers)) == (start, layers, shape[1:])
    assert body((1, 8, 8), 8, start=2).start == (2, 2)


@pytest.mark.parametrize(("shape", "message"), [
    ((1, 30, 30), "multiples of 4; got 30 × 30: resize or crop the data, to 32 × 32"), ((1, 4, 4), "at least 8"),
    ((1, 100), "multiples of 16; got 100"), ((1, 2), "at least 16"), ((1,), "images .* or audio"),
    ((1, 8, 8, 8), "images .* or audio"),
])  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(shape, message):
    for network in (Generator, Discriminator):
        with pytest.raises(ValueError, match=message):
            network(shape)


def test_other_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="kernel_size 1 must be at least the stride 2"):
        Generator((1, 8, 8), kernel_size=1)
    with pytest.raises(ValueError, match="unknown labels 'last'"):
        Generator((1, 8, 8), labels="last")
    with pytest.raises(ValueError, match="takes data of"):
        Discriminator((1, 8, 8))(torch.zeros(1, 1, 16, 16))


def test_the_first_layer_of_the_discriminator_is_never_normalised():
    network = Discriminator((1, 32, 32), 4, "batch")
    assert isinstance(network.films[0].normalise, nn.Identity)
    assert isinstance(network.films[1].normalise, nn.BatchNorm2d)


def test_spectral_norm_bounds_the_matrix_of_a_convolution_and_not_the_convolution():
    """A convolution of ones over a long constant input sums its taps: it stretches it by up to √taps of its matrix."""
    network = Discriminator((1, 64, 64), 4, spectral_norm=True).double().train()
    convolution = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        convolution.parametrizations.weight.original.fill_(1)
        for _ in range(50):
            network(torch.randn(2, 1, 64, 64, dtype=torch.float64))
        matrix = convolution.weight.flatten(1)
        assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-6)
        x = torch.ones(1, 1, 64, 64, dtype=torch.float64)
        assert convolution(x).norm() > 1.3 * x.norm()


def test_squeeze_and_excitation_follows_every_hidden_layer():
    network = Generator((1, 16, 16), noise=3, channels=4, norm="none", squeeze=2).double()
    x = z = torch.randn(2, 3, dtype=torch.float64)
    x = z[..., None, None]
    for conv, squeeze in zip(network.convs, network.squeezes, strict=True):
        x = torch.relu(conv(x))
        x = x * squeeze.writer(x).gamma[..., None, None]
    torch.testing.assert_close(network(z), torch.tanh(network.output(x)))
    widths = [conv.out_channels for conv in network.convs]
    assert [s.writer.squeeze.out_features for s in network.squeezes] == [width // 2 for width in widths]


def test_squeeze_and_excitation_acts_in_the_discriminator_and_is_absent_unless_asked_for():
    network = Discriminator((1, 16, 16), channels=4, squeeze=2)
    x = torch.randn(2, 1, 16, 16)
    score, _ = network(x)
    assert len(network.squeezes) == len(network.convs)
    torch.nn.init.constant_(network.squeezes[0].writer.excite.bias, -5.0)
    assert not torch.equal(network(x)[0], score)
    for plain in (Generator((1, 16, 16)), Discriminator((1, 16, 16))):
        assert not any("squeeze" in name for name in plain.state_dict())
    with pytest.raises(ValueError, match="squeeze -1 is not at least 0"):
        Generator((1, 16, 16), squeeze=-1)
