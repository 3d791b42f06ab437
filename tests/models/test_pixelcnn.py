"""Gated PixelCNN: what sees what, by float64 derivatives; its equations written out; and `step` against `forward`."""

import re
from dataclasses import replace
from functools import partial
from itertools import product
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map

from condgen.conditioning import ClassEmbedding, FeatureMap
from condgen.models import ConditionalModel, PixelCNN
from condgen.models.pixelcnn import GatedBlock, colour_mask, gate

CONDITIONINGS = ["none", "bias", "scale", "gate", "film", "concat"]
OUTPUTS = [(output, colours) for output in ("bernoulli", "categorical", "logistic_mixture") for colours in (1, 3)]
outputs = pytest.mark.parametrize(("output", "colours"), OUTPUTS)
norms = pytest.mark.parametrize("norm", ["none", "channel"])


def alive(model):
    """Raise the biases before each ReLU, so that none of them hides a dependence."""
    for block in model.network.blocks:
        block.output.bias.data += 10
    model.network.head[0].bias.data += 100
    return model


def check_autoregression(network, film):
    """Compare which outputs depend on which inputs with the stated receptive field.

    Raises:
        AssertionError: an output sees another row of the batch, a later input, or not all of its receptive field.
    """
    generator = torch.Generator().manual_seed(0)
    x = (network.levels - 1) * torch.rand(2, *network.shape, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        jacobian = torch.func.jacfwd(lambda x: network(x, film))(x)
    sees = jacobian.unflatten(1, (network.output.groups, -1)) != 0
    assert not sees[0, ..., 1, :, :, :].any(), "row 0 of the batch sees row 1"
    assert not sees[1, ..., 0, :, :, :].any(), "row 1 of the batch sees row 0"
    own = torch.stack([sees[0, ..., 0, :, :, :], sees[1, ..., 1, :, :, :]])
    expected = receptive_field(network)[:, None]
    assert not (own & ~expected).any(), f"{(own & ~expected).sum()} derivatives outside the receptive field"
    assert not (~own & expected).any(), f"{(~own & expected).sum()} derivatives in the receptive field are zero"


def sums(network, first):
    """How far an output sees by one tap of each layer; those of the first layer begin with `first`."""
    taps = [range(0 if i else first, block.radius + 1) for i, block in enumerate(network.blocks)]
    return {sum(n * b.dilation for n, b in zip(taken, network.blocks, strict=True)) for taken in product(*taps)}


def receptive_field(network):
    """What the outputs of each colour at each pixel should see: (groups, height, width, colours, height, width)."""
    colours, height, width = network.shape
    rows, columns = torch.arange(height), torch.arange(width)
    up = (rows[:, None] - rows)[:, None, :, None]
    right = (columns - columns[:, None])[None, :, None, :]
    far, near = (torch.tensor(sorted(sums(network, first))) for first in (0, 1))
    sides = torch.eye(width)
    for block in reversed(network.blocks):  # a path to the side must not leave the image on its way
        taps = block.dilation * torch.arange(-block.radius, block.radius + 1)
        sides = sides @ torch.isin(columns - columns[:, None], taps).float()
    above = torch.isin(up, far + 1) & (sides > 0)[None, :, None, :]
    # The first layer shows a pixel's own colours to the later ones, and so the last one to none.
    seen = [far[far > 0] if colour < network.output.groups - 1 else near for colour in range(colours)]
    left = torch.stack([(up == 0) & torch.isin(right, -taps) for taps in seen], dim=2)
    here = (up == 0) & (right == 0)
    earlier_colour = torch.arange(network.output.groups)[:, None] > torch.arange(colours)
    own = here[:, :, None] & earlier_colour[:, None, None, :, None, None]
    return (above[:, :, None] | left)[None] | own


@outputs
@norms
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_an_output_sees_exactly_its_receptive_field(make_model, make_conditions, output, colours, norm, conditioning):
    model = make_model(output, colours, conditioning, norm, (6, 7), layers=2, first_kernel_size=3, levels=2, mixtures=1)
    check_autoregression(alive(model).network, model.film(make_conditions(model, 2)))


def test_an_output_sees_exactly_its_receptive_field_in_a_large_image(make_model, make_conditions):
    model = make_model("categorical", 1, "film", "channel", (11, 11), layers=3, first_kernel_size=3)
    assert model.network.receptive_field == 3
    check_autoregression(alive(model).network, model.film(make_conditions(model, 2)))


@pytest.mark.parametrize("colours", [1, 3])
def test_there_is_no_blind_spot_at_depth(make_model, make_conditions, colours):
    model = make_model("bernoulli", colours, "film", size=(9, 9), layers=7, channels=6, head=6)
    assert model.network.receptive_field == 8
    check_autoregression(alive(model).network, model.film(make_conditions(model, 2)))


@outputs
@norms
@pytest.mark.parametrize("dilations", [[1, 2], [1, 3], [2, 1], [3, 2]], ids=str)
def test_a_dilated_network_sees_exactly_what_its_taps_add_up_to(
    make_model, make_conditions, output, colours, norm, dilations
):
    model = make_model(output, colours, "film", norm, (6, 7), dilations=dilations, first_kernel_size=3, levels=2,
                       mixtures=1)  # fmt: skip
    check_autoregression(alive(model).network, model.film(make_conditions(model, 2)))


@pytest.mark.parametrize(
    ("dilations", "reach"),
    [([1, 1, 2, 4, 1, 2, 4, 1], 18), ([1, 1, 2, 1, 2], 9), ([1, 2, 4], 9), ([1] * 7, 9)],
    ids=str,
)
def test_dilations_no_longer_than_what_is_seen_before_them_leave_no_blind_spot(make_model, dilations, reach):
    model = make_model("bernoulli", 1, "none", size=(21, 21), dilations=dilations, first_kernel_size=7)
    network = alive(model).network
    assert network.receptive_field == reach
    assert sums(network, 0) == {0, *range(reach + 1)}
    assert sums(network, 1) == set(range(1, reach + 1))
    x = torch.rand(1, 1, 21, 21, dtype=torch.float64, requires_grad=True)
    for column in (0, 10, 20):
        (seen,) = torch.autograd.grad(network(x)[0, 0, 20, column], x)
        up, right = 20 - torch.arange(21)[:, None], torch.arange(21) - column
        above, left = (
            (up >= 1) & (up <= reach + 1) & (right.abs() <= reach),
            (up == 0) & (right < 0) & (right >= -reach),
        )
        assert torch.equal(seen[0, 0] != 0, above | left)


# Faults of known implementations, and of this one had it gone wrong. The check must catch each.


def forward_with(block, v, h, film_v, film_h, vertical, link):
    """The gated layer, with its vertical convolution and its way to the horizontal stack to be put in."""
    a = vertical(v)
    b = block.horizontal(h) + block.link(link(a))
    v = gate(block.vertical_film(a, film_v))
    y = block.output(gate(block.horizontal_film(b, film_h)))
    return v, h + y if block.residual else y


def shift_down(x):
    return F.pad(x, (0, 0, 1, -1))


def current_row_left_out_in_every_layer(monkeypatch, network):
    def forward(block, v, h, film_v, film_h):
        return forward_with(block, v, h, film_v, film_h, lambda v: block.vertical(shift_down(v)), nn.Identity())

    monkeypatch.setattr(GatedBlock, "forward", forward)


def current_row_masked_in_every_layer(monkeypatch, network):
    def forward(block, v, h, film_v, film_h):
        return forward_with(block, v, h, film_v, film_h, block.vertical, nn.Identity())

    for block in network.blocks:
        block.vertical.weight.data[:, :, -1] = 0
    monkeypatch.setattr(GatedBlock, "forward", forward)


def no_shift_to_the_horizontal_stack(monkeypatch, network):
    def forward(block, v, h, film_v, film_h):
        return forward_with(block, v, h, film_v, film_h, block.vertical, nn.Identity())

    monkeypatch.setattr(GatedBlock, "forward", forward)


def shift_in_every_layer_and_to_the_horizontal_stack(monkeypatch, network):
    def forward(block, v, h, film_v, film_h):
        return forward_with(block, v, h, film_v, film_h, lambda v: block.vertical(shift_down(v)), shift_down)

    monkeypatch.setattr(GatedBlock, "forward", forward)


def first_mask_shows_the_pixel_itself(monkeypatch, network):
    network.blocks[0].horizontal.mask = None


def colours_masked_twice(monkeypatch, network):
    colours = torch.arange(12) * network.output.groups // 12
    network.blocks[0].output.mask = colour_mask(colours, colours, "A").double()


def colours_unmasked_in_the_head(monkeypatch, network):
    network.head[1].mask = None


def norm_shared_by_the_colours(monkeypatch, network):
    for layer in network.film_layers.values():
        layer.normalise.groups = 1


def norm_shared_by_the_colours_of_each_half(monkeypatch, network):
    for layer in network.film_layers.values():
        layer.normalise.groups = 2


def instance_norm(monkeypatch, network):
    network.blocks[1].horizontal_film.normalise = nn.InstanceNorm2d(24)


def batch_norm_in_training(monkeypatch, network):
    network.blocks[1].horizontal_film.normalise = nn.BatchNorm2d(24, affine=False, track_running_stats=False)


MUTANTS = [
    (current_row_left_out_in_every_layer, 1),
    (current_row_masked_in_every_layer, 1),
    (no_shift_to_the_horizontal_stack, 1),
    (shift_in_every_layer_and_to_the_horizontal_stack, 1),
    (first_mask_shows_the_pixel_itself, 1),
    (first_mask_shows_the_pixel_itself, 3),
    (colours_masked_twice, 3),
    (colours_unmasked_in_the_head, 3),
    (norm_shared_by_the_colours, 3),
    (norm_shared_by_the_colours_of_each_half, 3),
    (instance_norm, 1),
    (batch_norm_in_training, 1),
]


@pytest.mark.parametrize(("plant", "colours"), MUTANTS, ids=[f"{plant.__name__}-{n}" for plant, n in MUTANTS])
def test_the_check_catches(monkeypatch, make_model, make_conditions, plant, colours):
    model = alive(make_model("bernoulli", colours, "film", "channel", (6, 7), layers=3, first_kernel_size=3))
    film = model.film(make_conditions(model, 2))
    check_autoregression(model.network, film)
    plant(monkeypatch, model.network)
    with pytest.raises(AssertionError, match=r"receptive field|of the batch"):
        check_autoregression(model.network, film)


def test_the_horizontal_stack_sees_colours_in_order_only_through_the_masks(make_model):
    """R → G, R → B and G → B, and no other way round: the derivatives at one pixel are a strict lower triangle."""
    model = alive(make_model("categorical", 3, "none", size=(3, 3), layers=2))
    x = torch.rand(1, 3, 3, 3, dtype=torch.float64)
    jacobian = torch.func.jacfwd(lambda x: model.network(x, model.film({})))(x)
    at_pixel = jacobian[0, :, 1, 1, 0, :, 1, 1].unflatten(0, (3, -1)) != 0
    assert torch.equal(at_pixel, torch.ones(3, 3).tril(-1).bool()[:, None].expand_as(at_pixel))


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_norms_over_positions_are_refused_with_the_reason(norm):
    with pytest.raises(ValueError, match=f"norm '{norm}' takes its statistics over positions.*see later inputs"):
        PixelCNN((1, 5, 5), 2, norm=norm)


# The equations of van den Oord et al. 2016, written out with full kernels.


def in_order(weight, to, source, strict=False):
    """Zero the weights of a kernel's own pixel, its last one, that run against the order of the colours."""
    weight = weight.detach().clone()
    for o, colour in enumerate(to):
        for i, other in enumerate(source):
            if other > colour or (strict and other == colour):
                weight[o, i, 0, -1] = 0
    return weight


def spread(weight, dilation):
    """Put zeros between the taps of a kernel."""
    out, into, rows, columns = weight.shape
    wide = weight.new_zeros(out, into, (rows - 1) * dilation + 1, (columns - 1) * dilation + 1)
    wide[:, :, ::dilation, ::dilation] = weight
    return wide


def by_equation(network, x, added, dilations):
    """Equations 2, 4 and 5: `added` is what the condition adds to the 2p features of each FiLM layer."""
    groups, p = network.output.groups, network.blocks[0].output.out_channels

    def colour(channels):
        return [channel * groups // channels for channel in range(channels)]

    vertical = horizontal = 2 * x.double() / (network.levels - 1) - 1
    for n, block in enumerate(network.blocks):
        dilation = 1 if dilations is None else dilations[n]
        reach = dilation * (block.vertical.weight.shape[-1] // 2)
        source = colour(block.horizontal.in_channels)
        nothing_below = F.pad(spread(block.vertical.weight, dilation), (0, 0, 0, reach))
        masked = in_order(block.horizontal.weight, 2 * colour(p), source, strict=n == 0)
        nothing_right = F.pad(spread(masked, dilation), (0, reach))
        a = F.conv2d(vertical, nothing_below, block.vertical.bias, padding=reach)
        from_above = torch.cat([torch.zeros_like(a[:, :, :1]), a[:, :, :-1]], dim=2)
        b = F.conv2d(horizontal, nothing_right, padding=(0, reach))
        b = b + F.conv2d(from_above, block.link.weight, block.link.bias)
        a, b = a + added[f"blocks.{n}.vertical_film"], b + added[f"blocks.{n}.horizontal_film"]
        vertical = torch.tanh(a[:, :p]) * torch.sigmoid(a[:, p:])
        gated = torch.tanh(b[:, :p]) * torch.sigmoid(b[:, p:])
        y = F.conv2d(gated, in_order(block.output.weight, colour(p), colour(p)), block.output.bias)
        horizontal = y if n == 0 else horizontal + y
    for layer in network.head:
        to, source = colour(layer.out_channels), colour(layer.in_channels)
        horizontal = F.conv2d(torch.relu(horizontal), in_order(layer.weight, to, source), layer.bias)
    return horizontal


@outputs
@pytest.mark.parametrize("conditions", [["label"], ["map"], ["label", "map"]], ids=["4", "5", "both"])
@pytest.mark.parametrize("dilations", [None, [1, 3, 2]], ids=["plain", "dilated"])
def test_bias_is_equations_4_and_5_written_out(make_model, output, colours, conditions, dilations):
    """V h for a one-hot h, an unmasked 1 × 1 convolution V ∗ s for s = m(h), and their sum."""
    torch.manual_seed(0)
    network = make_model(output, colours, "none", dilations=dilations).network
    encoders = {"label": ClassEmbedding(3, num_classes=3), "map": FeatureMap(1, 4)}
    model = ConditionalModel(network, {name: encoders[name] for name in conditions}, "bias").double()
    for head in model.film_generator.beta.values():
        nn.init.normal_(head.weight)
    encoders["label"].embedding.weight.data = torch.eye(3).double()
    x = torch.randint(network.levels, (2, *network.shape))
    given = {"label": torch.tensor([2, 0]), "map": torch.randn(2, 1, 5, 4).double()}
    adds = {
        "label": lambda v: (F.one_hot(given["label"], 3).double() @ v.T)[..., None, None],
        "map": lambda v: F.conv2d(encoders["map"](given["map"]), v[:, :, None, None]),
    }
    added = {
        layer: sum(adds[name](model.film_generator.beta[name].weight.split(24)[i]) for name in conditions)
        for i, layer in enumerate(network.film_layers)
    }
    result = network(x, model.film({name: given[name] for name in conditions}))
    assert torch.allclose(result, by_equation(network, x, added, dilations), rtol=1e-12, atol=1e-12)


def widened(model, x, z, *, linked):
    """The network with z concatenated to the input of its convolutions; `linked`: also as the link reads them."""
    network, heads = model.network, model.film_generator.concat["z"]

    def convolve(conv, head, features):
        kernel = torch.cat([conv.kernel, head.conv.weight], dim=1)
        y = F.conv2d(torch.cat([features, z], dim=1), kernel, conv.bias, padding=conv.padding, dilation=conv.dilation)
        return y[..., : x.shape[-2], : x.shape[-1]]

    v = h = network.scale(x)
    for n, block in enumerate(network.blocks):
        a = convolve(block.vertical, heads[2 * n], v)
        link = block.link(shift_down(a if linked else block.vertical(v)))
        b = convolve(block.horizontal, heads[2 * n + 1], h) + link
        v = gate(block.vertical_film.normalise(a))
        y = block.output(gate(block.horizontal_film.normalise(b)))
        h = h + y if block.residual else y
    for layer in network.head:
        h = layer(torch.relu(h))
    return h


class Features(nn.Module):
    """Takes a condition for its features as it is."""

    features = 3
    scope, classes, names, around = "global", None, None, 0
    completed = check = parse = None
    named_axes: ClassVar[dict] = {}

    def forward(self, z):
        return z


def conditioned_on_features(network, conditioning):
    """A model under a condition z that is its own features, with random heads."""
    torch.manual_seed(0)
    model = ConditionalModel(network, {"z": Features()}, conditioning).double()
    for name, parameter in model.film_generator.named_parameters():
        if not name.startswith("own"):
            nn.init.normal_(parameter)
    return model


def concatenated(model, shape, *, linked):
    """The network's answer under `concat`, and that of the widened one; the condition has `shape`."""
    z = torch.randn(shape).double()
    x = torch.randint(model.network.levels, (2, *model.network.shape))
    everywhere = z.view(2, 3, *(1,) * (4 - z.ndim), *shape[2:]).expand(-1, -1, *model.network.shape[1:])
    return model.network(x, model.film({"z": z})), widened(model, x, everywhere, linked=linked)


@norms
@outputs
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 5, 4)], ids=["global", "local", "spatial"])
@pytest.mark.parametrize("dilations", [None, [1, 3, 2]], ids=["plain", "dilated"])
def test_concat_is_concatenation_to_the_convolution_before_each_gate(
    make_model, output, colours, norm, shape, dilations
):
    network = make_model(output, colours, "none", norm, dilations=dilations).network
    model = conditioned_on_features(network, "concat")
    result, expected = concatenated(model, shape, linked=False)
    assert torch.allclose(result, expected, atol=1e-10)


def test_a_link_that_reads_the_widened_convolution_is_another_model(make_model):
    model = conditioned_on_features(make_model("categorical", 3, "none").network, "concat")
    result, other = concatenated(model, (2, 3, 5, 4), linked=True)
    assert (result - other).abs().max() > 1e-3


@outputs
@pytest.mark.parametrize("conditioning", ["bias", "scale", "gate", "film", "concat"])
def test_a_constant_map_is_a_global_condition(make_model, output, colours, conditioning):
    model = conditioned_on_features(make_model(output, colours, "none").network, conditioning)
    z = torch.randn(2, 3).double()
    x = torch.randint(model.network.levels, (2, *model.network.shape))
    by_vector, by_map = (model.network(x, model.film({"z": z})) for z in (z, z[..., None, None].expand(-1, -1, 5, 4)))
    assert torch.allclose(by_vector, by_map, rtol=1e-12, atol=1e-12)


# One step at a time.

TENSORS = ("row", "above", "linked", "left")


@outputs
@norms
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
@pytest.mark.parametrize("dilations", [None, [2, 1, 3]], ids=["plain", "dilated"])
def test_step_equals_forward_at_every_position(
    make_model, make_conditions, output, colours, norm, conditioning, dilations
):
    model = make_model(output, colours, conditioning, norm, dilations=dilations)
    network, film = model.network, model.film(make_conditions(model, 2))
    x = torch.randint(network.levels, (2, *network.shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(x, film)
        values, state = None, network.start(2)
        for step in range(network.num_steps(network.shape)):
            (row, column), channels, parameters = network.locate(step)
            result, state = network.step(values, film, state)
            assert (result - expected[:, parameters, row, column]).abs().max() <= 1e-12
            values = x[:, channels, row, column]


def test_steps_visit_every_channel_of_every_pixel_once_in_raster_order():
    for output, colours in OUTPUTS:
        network = PixelCNN((colours, 3, 4), 2, output, channels=6, head=6, layers=1)
        visited = []
        for step in range(network.num_steps(network.shape)):
            (row, column), channels, _ = network.locate(step)
            visited += [(row, column, channel) for channel in range(colours)[channels]]
        assert visited == [(row, column, c) for row in range(3) for column in range(4) for c in range(colours)]


def test_a_step_leaves_the_state_that_it_was_given(make_model, make_conditions):
    model = make_model("categorical", 3)
    network, film = model.network, model.film(make_conditions(model, 2))
    values = torch.ones(2, 1, dtype=torch.long)
    with torch.no_grad():
        _, state = network.step(None, film, network.start(2))
        for _ in range(network.num_steps(network.shape) - 1):
            copy = replace(state, **{name: tree_map(torch.clone, getattr(state, name)) for name in TENSORS})
            first, following = network.step(values, film, state)
            second, _ = network.step(values, film, copy)
            again, _ = network.step(values, film, state)
            assert torch.equal(first, second)
            assert torch.equal(first, again)
            for name in TENSORS:
                assert all(map(torch.equal, *(tree_leaves(getattr(s, name)) for s in (state, copy))))
            state = following


# Arguments that do not fit.

small = partial(PixelCNN, channels=6, head=6, layers=2)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (2, 1, 4, 5), (1, 5, 4)])
def test_images_of_another_shape_are_refused_with_both(make_model, shape):
    network = make_model(conditioning="none").network
    with pytest.raises(ValueError, match=rf"\(1, 5, 4\).*not of \({', '.join(map(str, shape[1:]))}\)"):
        network(torch.zeros(shape))


@pytest.mark.parametrize("size", [4, 1, 0])
@pytest.mark.parametrize("name", ["kernel_size", "first_kernel_size"])
def test_kernels_that_are_not_odd_or_too_small_are_refused(name, size):
    with pytest.raises(ValueError, match=f"^{name} {size} is not an odd number"):
        small((1, 5, 5), 2, **{name: size})


@pytest.mark.parametrize("dilations", [[], [0], [1, -2]], ids=str)
def test_dilations_that_are_none_or_too_small_are_refused(dilations):
    with pytest.raises(ValueError, match=f"^dilations {re.escape(str(dilations))} are not one or more numbers"):
        small((1, 5, 5), 2, dilations=dilations)


def test_layers_are_ignored_beside_dilations():
    assert len(small((1, 5, 5), 2, layers=0, dilations=[1, 2, 1]).blocks) == 3


@pytest.mark.parametrize("name", ["channels", "head"])
@pytest.mark.parametrize("output", ["bernoulli", "categorical"])
def test_features_that_do_not_divide_into_colours_are_refused(name, output):
    with pytest.raises(ValueError, match=f"{name} 8 does not divide into 3 colours"):
        small((3, 5, 5), 2, output, **{name: 8})
    small((3, 5, 5), 2, "logistic_mixture", **{name: 8})


def test_levels_that_do_not_fit_the_output_are_refused():
    with pytest.raises(ValueError, match="'bernoulli' does not fit 4 levels"):
        small((1, 5, 5), 4, "bernoulli")
    with pytest.raises(ValueError, match="'categorical' does not fit 1 levels"):
        small((1, 5, 5), 1)


def test_parameters_of_another_network_are_refused(make_model, make_conditions):
    model = make_model(layers=2)
    film = model.film(make_conditions(model, 2))
    with pytest.raises(ValueError, match=r"another network.*blocks\.1\.horizontal_film"):
        make_model(layers=3).network(torch.zeros(2, 1, 5, 4), film)


@pytest.mark.parametrize("value", [-1, 4, 0.5, float("nan")])
def test_data_off_the_grid_has_no_likelihood(make_model, make_conditions, value):
    model = make_model("categorical")
    x = torch.zeros(1, *model.network.shape)
    x[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match="whole levels from 0 to 3"):
        model.log_prob(x, make_conditions(model, 1))
