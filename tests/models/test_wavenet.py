"""WaveNet: what sees what, by derivatives; its equations written out; conditions; and `step` against `forward`."""

import itertools
import math
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from condgen.conditioning import ClassEmbedding, FrameSequence, GammaBeta
from condgen.models import ConditionalModel, WaveNet
from condgen.models.convolutions import CausalConv1d
from condgen.models.wavenet import WaveNetState

CONDITIONINGS = ["none", "bias", "scale", "gate", "film", "concat"]
OUTPUTS = ["categorical", "logistic_mixture", "gaussian"]
INPUTS = ["embedding", "scalar"]
DILATIONS = [[1], [5], [1, 2, 4], [2, 2], [1, 3, 2], [3, 1], [1, 2, 1, 2]]
conditionings = pytest.mark.parametrize("conditioning", CONDITIONINGS)
outputs = pytest.mark.parametrize("output", OUTPUTS)
inputs = pytest.mark.parametrize("input", INPUTS)
norms = pytest.mark.parametrize("norm", ["none", "channel"])


def alive(model):
    """Raise the biases before each ReLU, so that none of them hides a dependence."""
    model.network.head[1].bias.data += 100
    for layer in model.network.layers:
        layer.output.bias.data[layer.channels :] += 10
    return model


def draw(network, rows, time, seed=0):
    return torch.randint(network.levels, (rows, 1, time), generator=torch.Generator().manual_seed(seed))


def sums(dilations, kernel_size):
    """How far back a stack of convolutions reaches, all ways: 0 … k − 1 times each dilation."""
    steps = [[tap * dilation for tap in range(kernel_size)] for dilation in dilations]
    return {sum(steps) for steps in itertools.product(*steps)}


def derivatives(network, film, time):
    """Which outputs depend on which inputs, (batch, time, batch, time). Levels of an embedding are swapped."""
    if isinstance(network.input, nn.Linear):
        x = (network.levels - 1) * torch.rand(2, 1, time, dtype=torch.float64)
        with torch.no_grad():
            jacobian = torch.func.jacfwd(lambda x: network(x, film))(x)
        return (jacobian[..., 0, :] != 0).any(1)
    x, seen = draw(network, 2, time), torch.zeros(2, time, 2, time).bool()
    with torch.no_grad():
        before = network(x, film)
        for row, at in itertools.product(range(2), range(time)):
            swapped = x.clone()
            swapped[row, 0, at] = (x[row, 0, at] + 1) % network.levels
            seen[:, :, row, at] = (network(swapped, film) != before).any(1)
    return seen


def check_causality(network, film, dilations, kernel_size):
    """Compare which outputs depend on which inputs with what dilations and kernel size say.

    Raises:
        AssertionError: an output sees another row of the batch, a later input, or not all of its receptive field.
    """
    reach = (kernel_size - 1) * sum(dilations)
    time = 2 * math.ceil((reach + 4) / 2)
    sees = derivatives(network, film, time)
    back = torch.arange(time)[:, None] - torch.arange(time)
    expected = torch.isin(back, torch.tensor([1 + steps for steps in sums(dilations, kernel_size)]))
    assert not torch.stack([sees[0, :, 1], sees[1, :, 0]]).any(), "a row of the batch sees the other"
    own = torch.stack([sees[0, :, 0], sees[1, :, 1]])
    assert not (own & ~expected).any(), f"{(own & ~expected).sum()} derivatives outside the receptive field"
    assert not (~own & expected).any(), f"{(~own & expected).sum()} derivatives in the receptive field are zero"


def frames(kernel_size, dilations, hop=2):
    return math.ceil(((kernel_size - 1) * sum(dilations) + 4) / 2) * 2 // hop


@inputs
@pytest.mark.parametrize("dilations", DILATIONS, ids=str)
@pytest.mark.parametrize("kernel_size", [2, 3, 4])
def test_an_output_sees_exactly_its_receptive_field(make_wavenet, make_melodies, kernel_size, dilations, input):
    model = alive(
        make_wavenet("gaussian", input=input, hop=2, kernel_size=kernel_size, dilations=dilations, channels=3)
    )
    film = model.film(make_melodies(model, 2, frames(kernel_size, dilations)))
    assert model.network.receptive_field == 1 + (kernel_size - 1) * sum(dilations)
    check_causality(model.network, film, dilations, kernel_size)


@conditionings
@outputs
@norms
@inputs
def test_an_output_sees_exactly_its_receptive_field_under_every_condition(
    make_wavenet, make_melodies, conditioning, output, norm, input
):
    model = alive(make_wavenet(output, conditioning, norm, input, hop=2))
    check_causality(model.network, model.film(make_melodies(model, 2, frames(2, [1, 2]))), [1, 2], 2)


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize(("layers", "stacks", "kernel_size"), [(3, 1, 2), (4, 2, 3), (6, 3, 2)])
def test_doubling_dilations_leave_no_hole(make_wavenet, layers, stacks, kernel_size, weight_norm):
    model = alive(
        make_wavenet("gaussian", "none", input="scalar", dilations=None, layers=layers, stacks=stacks,
                     kernel_size=kernel_size, weight_norm=weight_norm)
    )  # fmt: skip
    dilations = [2**i for i in range(layers // stacks)] * stacks
    assert sums(dilations, kernel_size) == set(range(model.network.receptive_field))
    check_causality(model.network, model.film({}), dilations, kernel_size)


# Faults of known implementations, and of this one had it gone wrong. The check must catch each.


def input_not_shifted(monkeypatch, network):
    monkeypatch.setattr(WaveNet, "_shifted", lambda network, x: network._entered(x[:, 0]))


def input_shifted_twice(monkeypatch, network):
    original = WaveNet._shifted
    monkeypatch.setattr(WaveNet, "_shifted", lambda network, x: F.pad(original(network, x), (0, 0, 1, -1)))


def padded_on_both_sides(monkeypatch, network):
    def forward(conv, x):
        y = F.pad(x, (0, 0, 0, conv.dilation))
        return original(conv, y)[:, conv.dilation :]

    original = CausalConv1d.forward
    monkeypatch.setattr(CausalConv1d, "forward", forward)


def wrong_dilation(monkeypatch, network):
    network.layers[1].conv.dilation = 3


def oldest_tap_forgotten(monkeypatch, network):
    network.layers[1].conv.weight.data[0] = 0


def no_residual_path(monkeypatch, network):
    network.layers[0]._paths = lambda x, y: (torch.zeros_like(x), y[..., -network.head[1].in_features :])


def norm_over_time(monkeypatch, network):
    network.layers[1].film.normalise = nn.InstanceNorm1d(8)


def norm_over_the_batch(monkeypatch, network):
    network.layers[1].film.normalise = nn.BatchNorm1d(8, affine=False, track_running_stats=False)


MUTANTS = [
    input_not_shifted, input_shifted_twice, padded_on_both_sides, wrong_dilation, oldest_tap_forgotten,
    no_residual_path, norm_over_time, norm_over_the_batch,
]  # fmt: skip


@inputs
@pytest.mark.parametrize("plant", MUTANTS)
def test_the_check_catches(monkeypatch, make_wavenet, make_melodies, plant, input):
    model = alive(make_wavenet("gaussian", norm="channel", input=input, hop=2))
    film = model.film(make_melodies(model, 2, frames(2, [1, 2])))
    check_causality(model.network, film, [1, 2], 2)
    plant(monkeypatch, model.network)
    with pytest.raises(AssertionError, match=r"receptive field|of the batch"):
        check_causality(model.network, film, [1, 2], 2)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_norms_over_positions_are_refused_with_the_reason(norm):
    with pytest.raises(ValueError, match=f"norm '{norm}' takes its statistics over positions.*see later inputs"):
        WaveNet(norm=norm)


def test_the_usual_thirty_layers_see_192_milliseconds():
    network = WaveNet(layers=30, stacks=3, kernel_size=2, sample_rate=16000, channels=2, levels=2)
    assert network.receptive_field == 3070
    assert round(network.receptive_field_ms) == 192


# The equations of van den Oord et al. 2016, written out.


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dilation", [1, 2, 5])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
def test_a_causal_convolution_is_torchs_with_zeros_on_the_left(kernel_size, dilation, bias):
    conv = CausalConv1d(3, 5, kernel_size, dilation, bias).double()
    for time in (1, 2, 9):
        x = torch.randn(2, time, 3).double()
        padded = F.pad(x.transpose(1, 2), (conv.reach, 0))
        expected = F.conv1d(padded, conv.weight.permute(1, 2, 0), conv.bias, dilation=dilation)
        assert torch.allclose(conv(x), expected.transpose(1, 2), atol=1e-12)


def convolved(h, conv, weight=None, held=None):
    """W ∗ h by torch, on (batch, channels, time); `held` channels are behind h and hold before the start."""
    weight = (conv.weight if weight is None else weight).permute(1, 2, 0)
    h = F.pad(h, (conv.reach, 0))
    if held is not None:
        h = torch.cat([h, F.pad(held, (conv.reach, 0), mode="replicate")], dim=1)
    return F.conv1d(h, weight, conv.bias, dilation=conv.dilation)


def by_equation(network, x, layer_features):
    """Sections 2.2 to 2.5: `layer_features(n, h)` are the features before gate n, of its input h."""
    if isinstance(network.input, nn.Embedding):
        h = network.input.weight[x[:, 0]].transpose(1, 2)
    else:
        scaled = 2 * x.double() / (network.levels - 1) - 1
        h = network.input.weight * scaled + network.input.bias[:, None]
    h = torch.cat([torch.zeros_like(h[..., :1]), h[..., :-1]], dim=-1)
    skips = 0
    for n, layer in enumerate(network.layers):
        filter, gate = layer_features(n, h).chunk(2, dim=1)
        z = torch.tanh(filter) * torch.sigmoid(gate)
        y = F.conv1d(z, layer.output.weight[..., None], layer.output.bias)
        skips = skips + y[:, layer.channels :]
        h = h + y[:, : layer.channels] if layer.channels else h
    h = torch.relu(skips / math.sqrt(len(network.layers)))
    h = torch.relu(F.conv1d(h, network.head[1].weight[..., None], network.head[1].bias))
    return F.conv1d(h, network.head[3].weight[..., None], network.head[3].bias)


@outputs
@inputs
@pytest.mark.parametrize("hop", [1, 3])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_bias_is_the_equations_of_section_2_5_written_out(make_wavenet, make_melodies, output, input, hop, kernel_size):
    """tanh(W_f ∗ x + V_f h) ⊙ σ(W_g ∗ x + V_g h) for a global h; V ∗ y for y = f(h) upsampled; and both."""
    model = make_wavenet(output, "bias", input=input, hop=hop, kernel_size=kernel_size, hidden=5, skip=3, head=7)
    network, conditions = model.network, make_melodies(model, 2, 12 // hop)
    v = {name: head.weight.split(10) for name, head in model.film_generator.beta.items()}
    h = model.film_generator.encoders["speaker"].embedding.weight[conditions["speaker"]]
    project = model.film_generator.encoders["melody"].project
    y = F.conv1d(conditions["melody"].double(), project.weight, project.bias).repeat_interleave(hop, -1)

    def features(n, x):
        return convolved(x, network.layers[n].conv) + (h @ v["speaker"][n].T)[..., None] + v["melody"][n] @ y

    x = draw(network, 2, 12)
    expected = by_equation(network, x, features)
    assert torch.allclose(network(x, model.film(conditions)), expected, rtol=1e-12, atol=1e-12)


class Features(nn.Identity):
    """Takes a condition for its features as it is."""

    features = 3
    scope, classes, names, around = "global", None, None, 0
    completed = check = parse = None
    named_axes: ClassVar[dict] = {}


def conditioned_on_features(network, conditioning):
    """A model under a condition z that is its own features, with random heads."""
    torch.manual_seed(0)
    model = ConditionalModel(network, {"z": Features()}, conditioning).double().eval()
    for name, parameter in model.film_generator.named_parameters():
        if not name.startswith("own"):
            nn.init.normal_(parameter)
    return model


@norms
@outputs
@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_concat_is_concatenation_to_the_input_of_each_convolution(make_wavenet, output, norm, scope, kernel_size):
    """Before the start the audio is 0 and the condition what it is at the start."""
    network = make_wavenet(output, "none", norm, kernel_size=kernel_size).network
    model = conditioned_on_features(network, "concat")
    z = torch.randn((2, 3) if scope == "global" else (2, 3, 12), dtype=torch.float64)
    everywhere = z[..., None].expand(-1, -1, 12) if scope == "global" else z
    heads = model.film_generator.concat["z"]

    def features(n, h):
        conv, layer = network.layers[n].conv, network.layers[n]
        weight = torch.cat([conv.weight, heads[n].conv.conv.weight], dim=2)
        return layer.film.normalise(convolved(h, conv, weight, everywhere))

    x = draw(network, 2, 12)
    assert torch.allclose(network(x, model.film({"z": z})), by_equation(network, x, features), atol=1e-11)


def test_concat_refuses_frames_of_several_samples(make_wavenet):
    model = conditioned_on_features(make_wavenet(conditioning="none", hop=3).network, "concat")
    with pytest.raises(ValueError, match=r"hop \(now 3\) to 1 and multiply the encoder's factor by 3"):
        model.film({"z": torch.zeros(2, 3, 4).double()})
    x = draw(model.network, 2, 12)
    assert model.network(x, model.film({"z": torch.zeros(2, 3).double()})).shape == (2, 6, 12)


# Conditions.


@conditionings
@norms
@outputs
def test_a_new_model_is_exactly_the_unconditional_one(make_melodies, conditioning, norm, output):
    torch.manual_seed(0)
    network = WaveNet(6, output, 2, channels=4, dilations=[1, 2], norm=norm, hop=1)
    encoders = {"speaker": ClassEmbedding(4, num_classes=3), "melody": FrameSequence(2, 4)}
    model = ConditionalModel(network, {} if conditioning == "none" else encoders, conditioning).double()
    x, film = draw(network, 2, 9), model.film(make_melodies(model, 2, 9))
    assert torch.equal(network(x, film), network(x))


@pytest.mark.parametrize("conditioning", CONDITIONINGS[1:])
@norms
def test_another_speaker_speaks_otherwise_and_in_its_own_row_alone(make_wavenet, make_melodies, conditioning, norm):
    model = make_wavenet(conditioning=conditioning, norm=norm, hop=2)
    x, conditions = draw(model.network, 2, 12), make_melodies(model, 2, 6)
    other = {**conditions, "speaker": torch.stack([conditions["speaker"][0], (conditions["speaker"][1] + 1) % 3])}
    before, after = (model.network(x, model.film(c)) for c in (conditions, other))
    assert torch.equal(before[0], after[0])
    assert (before[1] != after[1]).any(0).all()


@pytest.mark.parametrize("conditioning", CONDITIONINGS[1:])
@pytest.mark.parametrize("dilations", [[1], [1, 2, 4], [3, 2]], ids=str)
@pytest.mark.parametrize("frame", [0, 2, 5])
def test_a_frame_acts_from_its_first_sample_as_far_as_the_convolutions_behind_it_reach(
    make_wavenet, make_melodies, conditioning, dilations, frame
):
    """FiLM acts behind a layer's own convolution, so the first layer's does not count; concatenation before it."""
    hop, time = 3, 18
    model = alive(make_wavenet(conditioning=conditioning, hop=hop, dilations=dilations))
    x, conditions = draw(model.network, 2, time), make_melodies(model, 2, time // hop)
    moved = {**conditions, "melody": conditions["melody"].clone()}
    moved["melody"][0, :, frame] += 1
    behind = sums(dilations if conditioning == "concat" else dilations[1:], 2)
    reached = {at + steps for at in range(frame * hop, (frame + 1) * hop) for steps in behind}
    before, after = (model.network(x, model.film(c)) for c in (conditions, moved))
    changed = (before != after).any(1)
    assert not changed[1].any()
    assert set(changed[0].nonzero()[:, 0].tolist()) == {at for at in reached if at < time}


@pytest.mark.parametrize("conditioning", CONDITIONINGS[1:])
@norms
@outputs
def test_a_constant_local_condition_is_a_global_one(make_wavenet, conditioning, norm, output):
    hop = 1 if conditioning == "concat" else 3
    model = conditioned_on_features(make_wavenet(output, "none", norm, hop=hop).network, conditioning)
    x, z = draw(model.network, 2, 12), torch.randn(2, 3).double()
    by_vector, by_frames = (model.network(x, model.film({"z": z})) for z in (z, z[..., None].expand(-1, -1, 12 // hop)))
    assert torch.allclose(by_vector, by_frames, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("conditioning", ["bias", "scale", "gate", "film"])
def test_frames_held_by_the_network_are_frames_repeated_by_the_encoder(make_wavenet, make_melodies, conditioning):
    held = make_wavenet(conditioning=conditioning, hop=4)
    repeated = make_wavenet(conditioning=conditioning, hop=1)
    repeated.load_state_dict(held.state_dict())
    repeated.film_generator.encoders["melody"].factor = 4
    x, conditions = draw(held.network, 2, 12), make_melodies(held, 2, 3)
    assert (held.network.frames(held.film(conditions)), repeated.network.frames(repeated.film(conditions))) == (3, 12)
    results = [model.network(x, model.film(conditions)) for model in (held, repeated)]
    assert torch.allclose(*results, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("conditioning", CONDITIONINGS[1:])
@pytest.mark.parametrize(
    ("count", "hop", "time"), [(3, 4, 11), (3, 4, 13), (2, 4, 12), (3, 1, 4), (1, 4, 8), (1, 1, 8)]
)
def test_frames_that_do_not_cover_the_samples_are_refused_with_both_numbers(
    make_wavenet, make_melodies, conditioning, count, hop, time
):
    model = make_wavenet(conditioning=conditioning, hop=hop)
    film = model.film(make_melodies(model, 2, count))
    count, hop = (count * hop, 1) if conditioning == "concat" else (count, hop)
    with pytest.raises(ValueError, match=f"{count} frames × hop {hop} ≠ {time} samples"):
        model.network(draw(model.network, 2, time), film)


def test_parameters_of_another_network_are_refused(make_wavenet, make_melodies):
    model = make_wavenet(dilations=[1, 2])
    film = model.film(make_melodies(model, 2, 4))
    for call in (
        lambda network: network(draw(network, 2, 4), film),
        lambda network: network.prime(draw(network, 2, 4), film),
        lambda network: network.step(None, film, network.start(2)),
    ):
        with pytest.raises(ValueError, match=r"another network.*layers\.0\.film.*layers\.1\.film"):
            call(make_wavenet(dilations=[1, 2, 4]).network)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "one_hot"}, "unknown input 'one_hot'; known: embedding, scalar"),
        ({"output": "laplace"}, "unknown output 'laplace'"),
        ({"norm": "layer"}, "norm 'layer'"),
        ({"companding": "a_law"}, "unknown companding 'a_law'; known: mu_law, linear"),
        ({"levels": 1}, "levels 1 is not from 2 to 65536"),
        ({"levels": 65537}, "levels 65537 is not from 2 to 65536"),
        ({"layers": 10, "stacks": 3}, "layers 10 do not divide into 3 stacks"),
        ({"layers": 0}, "layers 0 do not divide"),
        ({"stacks": 0}, "do not divide into 0 stacks"),
        ({"dilations": []}, "shortest dilation 0 is not at least 1"),
        ({"dilations": [1, 0]}, "shortest dilation 0 is not at least 1"),
        ({"kernel_size": 1}, "kernel_size 1 is not at least 2"),
        ({"channels": 0}, "channels 0 is not at least 1"),
        ({"hidden": -1}, "hidden -1 is not at least 1"),
        ({"hidden": 0}, "hidden 0 is not at least 1"),
        ({"skip": -2}, "skip -2 is not at least 1"),
        ({"head": 0}, "head 0 is not at least 1"),
        ({"head": -2}, "head -2 is not at least 1"),
        ({"hop": 0}, "hop 0 is not at least 1"),
        ({"sample_rate": 0}, "sample_rate 0 is not at least 1"),
        ({"mixtures": 0}, "mixtures 0 is not at least 1"),
    ],
)
def test_arguments_that_make_no_network_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WaveNet(**{"channels": 2, "layers": 4, "stacks": 2, **options})


@pytest.mark.parametrize("shape", [(2, 4), (2, 2, 4), (2, 1, 4, 4)])
def test_data_that_are_no_waveform_are_refused_with_their_shape(make_wavenet, shape):
    with pytest.raises(ValueError, match=rf"\(batch, 1, time\), not \({', '.join(map(str, shape))}\)"):
        make_wavenet(conditioning="none").network(torch.zeros(shape).long())


# Weight norm.


def test_weight_norm_starts_as_the_same_function():
    made = []
    for weight_norm in (False, True):
        torch.manual_seed(0)
        network = WaveNet(6, channels=4, dilations=[1, 2], kernel_size=3, weight_norm=weight_norm).double()
        made.append(network(draw(network, 2, 12)))
    assert torch.allclose(*made, rtol=0, atol=1e-6)  # the lengths are split off in float32


def test_weight_norm_learns_a_length_and_a_direction_for_each_output():
    network = WaveNet(6, channels=4, hidden=5, skip=3, dilations=[1, 2], kernel_size=3, weight_norm=True).double()
    for layer in network.layers:
        parts = layer.conv.parametrizations.weight
        before = layer.conv.weight.detach()
        parts.original1.data *= 3
        assert torch.allclose(layer.conv.weight, before)
        parts.original0.data *= 2
        assert torch.allclose(layer.conv.weight, 2 * before)
        assert parts.original0.numel() == 10
        assert layer.output.parametrizations.weight.original0.numel() == layer.channels + 3


# One step at a time.


def check_steps(network, film, x, expected, state, first):
    """Compare each step from `first` on with `forward`."""
    values = x[..., first - 1] if first else None
    for t in range(first, x.shape[-1]):
        result, state = network.step(values, film, state)
        assert (result - expected[..., t]).abs().max() <= 1e-12, f"step {t} after {first}"
        values = x[..., t]


@conditionings
@outputs
@norms
@inputs
@pytest.mark.parametrize("hop", [1, 3])
def test_step_equals_forward_at_every_sample(make_wavenet, make_melodies, conditioning, output, norm, input, hop):
    model = make_wavenet(output, conditioning, norm, input, hop)
    network, film, x = model.network, model.film(make_melodies(model, 2, 12 // hop)), draw(model.network, 2, 12)
    with torch.no_grad():
        check_steps(network, film, x, network(x, film), network.start(2), 0)


@pytest.mark.parametrize("dilations", DILATIONS, ids=str)
@pytest.mark.parametrize("kernel_size", [2, 3, 4])
@pytest.mark.parametrize("weight_norm", [False, True])
def test_step_equals_forward_with_every_dilation(make_wavenet, make_melodies, kernel_size, dilations, weight_norm):
    model = make_wavenet(kernel_size=kernel_size, dilations=dilations, weight_norm=weight_norm, hop=3)
    network, film, x = model.network, model.film(make_melodies(model, 2, 8)), draw(model.network, 2, 24)
    with torch.no_grad():
        check_steps(network, film, x, network(x, film), network.start(2), 0)


@conditionings
@inputs
@pytest.mark.parametrize("hop", [1, 4])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_steps_after_any_beginning_equal_forward(make_wavenet, make_melodies, conditioning, input, hop, kernel_size):
    model = make_wavenet("gaussian", conditioning, "channel", input, hop, kernel_size=kernel_size)
    network, film, x = model.network, model.film(make_melodies(model, 2, 12 // hop)), draw(model.network, 2, 12)
    with torch.no_grad():
        expected = network(x, film)
        for first in range(13):
            check_steps(network, film, x, expected, network.prime(x[..., :first], film), first)


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_priming_gives_the_state_that_steps_give(make_wavenet, make_melodies, kernel_size):
    model = make_wavenet(hop=4, kernel_size=kernel_size)
    network, film, x = model.network, model.film(make_melodies(model, 2, 3)), draw(model.network, 2, 12)
    with torch.no_grad():
        state, values = network.start(2), None
        for t in range(12):
            _, state = network.step(values, film, state)
            values = x[..., t]
            primed = network.prime(x[..., : t + 1], film)
            assert primed.step == state.step
            for ours, theirs in zip(primed.past, state.past, strict=True):
                assert torch.allclose(torch.stack(ours), torch.stack(theirs), atol=1e-12)


def test_a_beginning_that_conditions_do_not_cover_is_refused(make_wavenet, make_melodies):
    model = make_wavenet(hop=4)
    with pytest.raises(ValueError, match="2 frames × hop 4 ≠ 12 samples"):
        model.network.prime(draw(model.network, 2, 9), model.film(make_melodies(model, 2, 2)))


def copied(state):
    return WaveNetState(state.step, tuple(tuple(x.clone() for x in layer) for layer in state.past))


def same_state(a, b):
    return a.step == b.step and all(map(torch.equal, itertools.chain(*a.past), itertools.chain(*b.past)))


def test_a_step_leaves_the_state_that_it_was_given(make_wavenet, make_melodies):
    model = make_wavenet(hop=2, kernel_size=3)
    network, film = model.network, model.film(make_melodies(model, 2, 6))
    values, state = torch.ones(2, 1, dtype=torch.long), network.start(2)
    with torch.no_grad():
        for _ in range(12):
            copy = copied(state)
            first, following = network.step(values, film, state)
            again, other = network.step(values, film, state)
            assert torch.equal(first, again)
            assert same_state(following, other)
            assert same_state(state, copy)
            state = following


def test_a_state_becomes_tensors_and_back(make_wavenet, make_melodies):
    model = make_wavenet(hop=2, kernel_size=3)
    state = model.network.prime(draw(model.network, 2, 5), model.film(make_melodies(model, 2, 3)))
    assert same_state(WaveNetState.of(state.tensors()), state)


def test_rows_of_a_state_are_those_of_the_batch(make_wavenet, make_melodies):
    model = make_wavenet(hop=2)
    network, x, conditions = model.network, draw(model.network, 3, 8), make_melodies(model, 3, 4)
    rows = torch.tensor([2, 0])
    chosen = model.film({name: condition[rows] for name, condition in conditions.items()})
    with torch.no_grad():
        whole, part = network.prime(x, model.film(conditions)), network.prime(x[rows], chosen)
    for ours, theirs in zip(whole.select(rows).past, part.past, strict=True):
        assert torch.allclose(torch.stack(ours), torch.stack(theirs), atol=1e-12)


# Likelihood.


@inputs
def test_the_likelihood_is_the_softmax_of_each_level(make_wavenet, make_melodies, input):
    model = make_wavenet(input=input, hop=3)
    x, conditions = draw(model.network, 2, 12), make_melodies(model, 2, 4)
    log_probs = model.network(x, model.film(conditions)).log_softmax(1)
    expected = [sum(log_probs[row, x[row, 0, t], t] for t in range(12)) for row in range(2)]
    assert torch.allclose(model.log_prob(x, conditions), torch.stack(expected), atol=1e-12)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_likelihood_of_all_clips_of_three_samples_sums_to_1(make_wavenet, make_melodies, output):
    model = make_wavenet(output, hop=3, levels=4)
    x = torch.tensor(list(itertools.product(range(4), repeat=3)))[:, None]
    conditions = {name: value.expand(len(x), *value.shape[1:]) for name, value in make_melodies(model, 1, 1).items()}
    assert abs(model.log_prob(x, conditions).exp().sum().item() - 1) < 1e-12


@outputs
def test_the_likelihood_counts_exactly_the_scored_samples(make_wavenet, make_melodies, output):
    model = make_wavenet(output, hop=3)
    x, conditions = draw(model.network, 2, 12), make_melodies(model, 2, 4)
    each = torch.stack([model.log_prob(x, conditions, torch.arange(12).expand(2, -1) == t) for t in range(12)], dim=1)
    assert torch.allclose(each.sum(1), model.log_prob(x, conditions), atol=1e-12)
    mask = torch.rand(2, 12, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.allclose(model.log_prob(x, conditions, mask), (each * mask).sum(1), atol=1e-12)
    assert torch.equal(model.log_prob(x, conditions, torch.zeros(2, 12).bool()), torch.zeros(2).double())


@conditionings
@outputs
def test_padding_at_the_end_changes_no_likelihood_of_what_is_scored(make_wavenet, make_melodies, conditioning, output):
    model = make_wavenet(output, conditioning, hop=3)
    x, conditions = draw(model.network, 2, 12), make_melodies(model, 2, 4)
    scored = torch.arange(18).expand(2, -1) < 12
    longer = {name: F.pad(value, (0, 2)) if value.ndim > 1 else value for name, value in conditions.items()}
    for filler in (0, model.network.blank):
        padded = F.pad(x, (0, 6), value=filler)
        found = model.log_prob(padded, longer, scored)
        assert torch.allclose(found, model.log_prob(x, conditions), rtol=1e-12, atol=1e-12)


def test_what_is_not_scored_has_no_gradient(make_wavenet, make_melodies):
    """What is not scored acts through the inputs of later samples alone: behind the last scored one, not at all."""
    model = make_wavenet("gaussian", input="scalar", hop=3)
    conditions = make_melodies(model, 2, 4)
    conditions["melody"] = conditions["melody"].double().requires_grad_()
    model.log_prob(draw(model.network, 2, 12), conditions, torch.arange(12).expand(2, -1) < 6).sum().backward()
    assert (conditions["melody"].grad[..., :2] != 0).all()
    assert (conditions["melody"].grad[..., 2:] == 0).all()


@pytest.mark.parametrize("value", [-1, 6, 0.5, float("nan")])
def test_data_off_the_grid_has_no_likelihood(make_wavenet, make_melodies, value):
    model = make_wavenet(hop=2)
    x = torch.zeros(1, 1, 4)
    x[0, 0, 1] = value
    with pytest.raises(ValueError, match="whole levels from 0 to 5"):
        model.log_prob(x, make_melodies(model, 1, 2))


def test_silence_is_the_level_of_zero(make_wavenet):
    for levels, companding in itertools.product((5, 6, 256), ("mu_law", "linear")):
        network = make_wavenet(conditioning="none", levels=levels, companding=companding).network
        assert network.blank == network.quantization.encode(torch.zeros(())).item()


# What is to be drawn.


def test_the_canvas_is_what_conditions_cover_or_the_length(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    film = model.film(make_melodies(model, 2, 4))
    assert model.network.frames(film) == 4
    assert model.network.canvas(None, film) == model.network.canvas(5, film) == (1, 12)
    unconditional = make_wavenet(conditioning="none", hop=3)
    assert unconditional.network.frames(unconditional.film({})) == unconditional.network.frames(None) == 0
    assert unconditional.network.canvas(5, unconditional.film({})) == (1, 5)


def test_fixed_parameters_are_those_of_no_condition(make_wavenet):
    network = make_wavenet(conditioning="none").network
    x = draw(network, 2, 6)
    assert torch.equal(network(x, {name: GammaBeta() for name in network.film_layers}), network(x))
