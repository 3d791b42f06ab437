"""The contract of `condgen.models.contract`: every network keeps it, and what does not is refused once, in one message.

A network of one's own is held to it by a line in `NETWORKS`.
"""

import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from condgen.conditioning import ClassEmbedding, FrameSequence, GammaBeta
from condgen.conditioning.contract import Encoder, members, missing, require
from condgen.models import ConditionalGenerator, ConditionalModel, Discriminator, Generator, PixelCNN, WaveNet
from condgen.models.contract import (
    AudioNetwork,
    DiscriminatorNetwork,
    FiLMedNetwork,
    GeneratorNetwork,
    LikelihoodNetwork,
    SequentialNetwork,
    StreamingNetwork,
    audio,
    streaming,
)
from condgen.sampling import sample

sys.path.insert(0, str(Path(__file__).parent))
from raster_transformer import RasterTransformer

small = {"channels": 6, "layers": 2, "head": 6, "first_kernel_size": 3}
NETWORKS = {
    "PixelCNN": partial(PixelCNN, (1, 3, 4), 5, **small),
    "PixelCNN, colours in order": partial(PixelCNN, (3, 3, 2), 4, **small),
    "PixelCNN, mixture": partial(PixelCNN, (3, 3, 2), 9, "logistic_mixture", 2, **small),
    "PixelCNN, channel norm": partial(PixelCNN, (1, 3, 4), 2, "bernoulli", norm="channel", **small),
    "PixelCNN, dilated": partial(PixelCNN, (1, 3, 6), 5, **small, dilations=[1, 2, 3]),
    "PixelCNN, dilated, colours in order": partial(PixelCNN, (3, 3, 3), 4, **small, dilations=[1, 2]),
    "WaveNet": partial(WaveNet, 8, channels=4, dilations=[1, 2, 4], hop=3),
    "WaveNet, numbers in, Gaussian out": partial(WaveNet, 64, "gaussian", input="scalar", channels=4, dilations=[1, 2]),
    "WaveNet, kernel 3": partial(WaveNet, 8, channels=4, dilations=[1, 2], kernel_size=3, norm="channel"),
    "RasterTransformer": partial(RasterTransformer, (1, 3, 4), 5),
}
# Data are of 8 bits, where 256 is no number.
BYTES = {
    "PixelCNN": partial(PixelCNN, (1, 3, 4), 256, **small),
    "PixelCNN, colours": partial(PixelCNN, (3, 3, 2), 256, "logistic_mixture", 2, **small),
    "PixelCNN, binary": partial(PixelCNN, (1, 3, 4), 2, "bernoulli", **small),
    "WaveNet": partial(WaveNet, 256, channels=4, dilations=[1, 2, 4], hop=3),
    "WaveNet, Gaussian": partial(WaveNet, 256, "gaussian", input="scalar", channels=4, dilations=[1, 2]),
    "RasterTransformer": partial(RasterTransformer, (1, 3, 4), 256),
}
LENGTH = 12
networks = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


def build(make):
    """A network in float64 with random weights."""
    torch.manual_seed(0)
    network = make().double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.4)
    return network


def canvas_of(network):
    return network.canvas(LENGTH if network.sample_rate else None)


def random_film(network, rows=2, sizes=((),)):
    """FiLM parameters of random numbers, the layers taking the sizes in turn."""
    torch.manual_seed(1)
    pairs = {}
    for i, (name, layer) in enumerate(network.film_layers.items()):
        size = sizes[i % len(sizes)]
        gamma, beta = torch.randn(2, rows, layer.channels, *size, dtype=torch.float64).unbind()
        pairs[name] = GammaBeta(1 + 0.3 * gamma, 0.3 * beta)
    return pairs


@networks
def test_a_likelihood_network_has_every_member(make):
    network = build(make)
    assert missing(network, SequentialNetwork) == []
    assert (audio(network) is None) == (streaming(network) is None) == (network.sample_rate is None)
    if network.sample_rate is not None:
        assert missing(network, StreamingNetwork) == []


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (1, 64)])
def test_generators_and_discriminators_have_every_member(shape):
    rate = 8000 if len(shape) == 2 else None
    assert missing(Generator(shape, sample_rate=rate), GeneratorNetwork) == []
    assert missing(Generator(shape, sample_rate=rate), AudioNetwork) == []
    assert missing(Discriminator(shape), DiscriminatorNetwork) == []
    assert (audio(Generator(shape, sample_rate=rate)) is None) == (rate is None)


@pytest.mark.parametrize(
    "make", [*NETWORKS.values(), partial(Generator, (1, 16, 16)), partial(Generator, (1, 64))],
    ids=[*NETWORKS, "Generator", "Generator, audio"],
)  # fmt: skip
def test_film_of_picks_by_the_place_in_film_layers(make):
    network = make()
    film = {name: GammaBeta(torch.full((1, layer.channels), float(i))) for i, (name, layer) in
            enumerate(network.film_layers.items())}  # fmt: skip
    assert len(film) > 1
    for i in range(len(film)):
        assert network.film_of(film, i).gamma is list(film.values())[i].gamma
        assert network.film_of(None, i) == network.film_of({}, i) == GammaBeta()


@networks
def test_steps_cover_the_canvas_once(make):
    network = build(make)
    shape = canvas_of(network)
    seen = torch.zeros(shape, dtype=torch.long)
    parameters = torch.zeros(network.output.parameters, *shape[1:], dtype=torch.long)
    for step in range(network.num_steps(shape)):
        position, channels, given = network.locate(step)
        seen[(channels, *position)] += 1
        parameters[(given, *position)] += 1
    assert (seen == 1).all()
    assert (parameters == 1).all()


@networks
@pytest.mark.parametrize("scope", ["global", "local"])
def test_a_step_gives_what_forward_gives_at_its_place(make, scope):
    """Whatever has been drawn before: so a step depends on earlier steps alone."""
    network = build(make)
    shape = canvas_of(network)
    hop = 1 if streaming(network) is None else network.hop
    size = shape[1:] if network.sample_rate is None else (LENGTH // hop,)
    film = random_film(network, sizes=[()] if scope == "global" else [(), size])
    x = torch.randint(network.levels, (2, *shape))
    expected = network(x, film)
    state, values = network.start(2), None
    for step in range(network.num_steps(shape)):
        position, channels, given = network.locate(step)
        parameters, after = network.step(values, film, state)
        place = expected[(slice(None), given, *position)]
        assert torch.allclose(parameters.expand_as(place), place, rtol=1e-9, atol=1e-9)
        again, _ = network.step(values, film, state)
        assert torch.equal(again, parameters), "a state stays as it is"
        state, values = after, x[(slice(None), channels, *position)]


@networks
@pytest.mark.parametrize("count", [0, 1, 5, LENGTH])
def test_a_prime_is_so_many_steps(make, count):
    network = build(make)
    if streaming(network) is None:
        assert missing(network, StreamingNetwork)
        return
    frames = -(-(count + 1) // network.hop)
    film, x = random_film(network, sizes=[(), (frames,)]), torch.randint(network.levels, (2, 1, count))
    state, values = network.start(2), None
    for step in range(count):
        _, state = network.step(values, film, state)
        values = x[..., step]
    primed, _ = network.step(values, film, network.prime(x, film))
    stepped, _ = network.step(values, film, state)
    assert torch.allclose(primed, stepped, rtol=1e-9, atol=1e-9)


@networks
def test_film_parameters_of_another_network_are_refused(make):
    network = build(make)
    film = random_film(network)
    assert network.checked(film) == film
    assert not network.checked(None)
    first = next(iter(film))
    for foreign in ({**film, first: GammaBeta(torch.ones(1, 1))}, {f"{name}s": pair for name, pair in film.items()}):
        with pytest.raises(ValueError, match="FiLM parameters of another network"):
            network.checked(foreign)


@networks
def test_every_engine_that_takes_it_draws_alike(make):
    """Free running: the same noise gives the same samples from `naive`, the definition, and from `cached`."""
    model = ConditionalModel(build(make), {"label": ClassEmbedding(3, num_classes=2)}, "film").double()
    with torch.no_grad():
        for parameter in model.film_generator.parameters():
            parameter.normal_(std=0.3)
    options = {"length": LENGTH} if model.network.sample_rate else {}
    asked = {"label": torch.tensor([0, 1, 1])}
    naive, cached = (sample(model, asked, engine=engine, progress=False, **options) for engine in ("naive", "cached"))
    assert torch.equal(naive.x, cached.x)
    assert torch.allclose(naive.log_prob, model.log_prob(naive.x, asked), atol=1e-6)


# What does not keep the contract.


class Nothing(nn.Module):
    """A network that says nothing of itself."""

    def forward(self, x, film=None):
        return x


def test_what_is_missing_is_said_in_one_message():
    with pytest.raises(ValueError, match=r"Nothing has no agrees_with_data.*canvas.*film_layers.*locate") as found:
        ConditionalModel(Nothing(), {}, "none")
    assert "condgen.models.contract says what each means" in str(found.value)
    assert "\n" not in str(found.value)
    with pytest.raises(ValueError, match=r"Nothing has no .*noise.*quantization.*shape"):
        ConditionalGenerator(Nothing(), {}, "none")


def test_a_network_of_audio_needs_what_streams_need():
    network = RasterTransformer((1, 3, 4), 5)
    network.sample_rate = 8000
    with pytest.raises(ValueError, match=r"RasterTransformer has no frames, hop, prime, quantization, receptive_field"):
        ConditionalModel(network, {}, "none")


def test_an_encoder_that_says_nothing_of_itself_is_refused():
    encoder = nn.Linear(3, 4)
    with pytest.raises(
        ValueError, match=r"Linear has no around, check, classes, completed, features, named_axes, names, parse, scope"
    ):
        ConditionalModel(PixelCNN((1, 3, 4), 2, **small), {"z": encoder}, "bias")


def test_members_are_those_of_the_protocol_and_of_what_it_extends():
    assert {"film_layers", "film_of", "levels"} <= set(members(FiLMedNetwork)) < set(members(LikelihoodNetwork))
    assert set(members(SequentialNetwork)) - set(members(LikelihoodNetwork)) == {"start", "step"}
    assert require(FrameSequence(3), Encoder).scope == "local"


@pytest.mark.parametrize("make", BYTES.values(), ids=BYTES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.float32])
def test_levels_and_ids_mean_the_same_in_every_type(make, dtype):
    network = build(make)
    model = ConditionalModel(network, {"label": ClassEmbedding(4, num_classes=256)}, "bias").double().eval()
    torch.manual_seed(2)
    ids, x = torch.tensor([0, 100]), torch.randint(network.levels, (2, *canvas_of(network)))
    x[0, ..., 0], x[1, ..., 0] = 0, network.levels - 1
    assert torch.equal(model.log_prob(x.to(dtype), {"label": ids.to(torch.uint8)}), model.log_prob(x, {"label": ids}))
    known = torch.arange(x[0, 0].numel()).reshape(x[0, 0].shape) < 2
    given = {"given": x[..., :2], "known": None} if network.sample_rate else {"given": x, "known": known}
    length = LENGTH if network.sample_rate else None
    drawn = [sample(model, {"label": ids}, length=length, **{**given, "given": given["given"].to(kind)})
             for kind in (torch.long, dtype)]  # fmt: skip
    assert torch.equal(drawn[0].x, drawn[1].x)
    assert torch.equal(drawn[1].x.flatten(2)[..., :2], x.flatten(2)[..., :2])
    for wrong in (-1, network.levels):
        outside = x.to(torch.int16)
        outside[0, ..., 1] = wrong
        with pytest.raises(ValueError, match=f"from 0 to {network.levels - 1}; got {min(0, wrong)} to"):
            model.log_prob(outside, {"label": ids})
        if network.sample_rate is None:
            with pytest.raises(ValueError, match="`given` must be whole levels"):
                sample(model, {"label": ids}, given=outside, known=known)


class LogProb(nn.Module):
    """The log-probability as a module, which is what can be exported."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, ids):
        return self.model.log_prob(x, {"label": ids})


@pytest.mark.slow
@networks
def test_a_model_can_be_exported_for_any_number_of_examples(make):
    network = build(make)
    model = ConditionalModel(network, {"label": ClassEmbedding(4, num_classes=5)}, "bias").double().eval()
    x, ids, batch = torch.randint(network.levels, (3, *canvas_of(network))), torch.tensor([0, 4, 2]), torch.export.Dim
    exported = torch.export.export(LogProb(model), (x, ids), dynamic_shapes=({0: batch("n")}, {0: batch("n")}))
    for rows in ([0, 1, 2], [1, 2]):
        expected = model.log_prob(x[rows], {"label": ids[rows]})
        assert torch.allclose(exported.module()(x[rows], ids[rows]), expected, rtol=1e-10)
