"""Self-conditioning: each equals the published layer in float64; what looks around may not enter a causal network."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from condgen.conditioning import ClassEmbedding, film
from condgen.conditioning.self_conditioning import (
    DynamicLayerNorm,
    Highway,
    SelfConditioned,
    SqueezeExcitation,
    adaptive_instance_norm,
    gated_attention,
    gated_linear_unit,
    lstm_gates,
    require_causal_network,
)
from condgen.models import ConditionalModel, PixelCNN, WaveNet

torch.manual_seed(0)
X = torch.randn(3, 8, 5, 6, dtype=torch.float64)


def applied(x, pair):
    return film(x, pair.gamma, pair.beta)


def test_squeeze_and_excitation():
    """Hu et al. 2018, equations 2 to 4, with 1 × 1 convolutions on the pooled map, as it is usually written."""
    made = SqueezeExcitation(8, reduction=4).double()
    assert made.squeeze.out_features == 2
    pooled = F.adaptive_avg_pool2d(X, 1)
    hidden = torch.relu(F.conv2d(pooled, made.squeeze.weight[..., None, None], made.squeeze.bias))
    expected = X * torch.sigmoid(F.conv2d(hidden, made.excite.weight[..., None, None], made.excite.bias))
    torch.testing.assert_close(SelfConditioned(made)(X), expected, rtol=0, atol=1e-14)
    assert made(X).beta is None


def test_adaptive_instance_norm():
    """Huang and Belongie 2017, equation 8: σ(s)(x − μ(x))/σ(x) + μ(s), with PyTorch's ε in both σ."""
    style = 3 * torch.randn(3, 8, 4, 4, dtype=torch.float64) + 1
    sizes = (2, 3)
    sigma = [(part.var(sizes, correction=0, keepdim=True) + 1e-5).sqrt() for part in (X, style)]
    expected = sigma[1] * (X - X.mean(sizes, keepdim=True)) / sigma[0] + style.mean(sizes, keepdim=True)
    found = applied(F.instance_norm(X), adaptive_instance_norm(style))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(found.mean(sizes), style.mean(sizes))
    torch.testing.assert_close(applied(F.instance_norm(X), adaptive_instance_norm(X)), X, rtol=0, atol=1e-13)


def test_highway():
    """Srivastava et al. 2015, equation 3; at the start, it mostly hands its input on."""
    made, h = Highway(8).double(), torch.tanh(X.flip(1))
    share = torch.sigmoid(torch.einsum("oc,bchw->bohw", made.transform.weight, X) - 2)
    torch.testing.assert_close(applied(h, made(X)), share * h + (1 - share) * X, rtol=0, atol=1e-14)
    closed = Highway(8, bias=-1000.0).double()
    assert torch.equal(applied(h, closed(X)), X)


def test_gated_linear_unit():
    a, b = X.chunk(2, 1)
    assert torch.equal(applied(a, gated_linear_unit(b)), F.glu(X, 1))


def test_the_gates_of_an_lstm():
    cell = nn.LSTMCell(5, 4).double()
    x, h, c = (torch.randn(3, size, dtype=torch.float64) for size in (5, 4, 4))
    into_cell, out_of_it = lstm_gates(
        F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(h, cell.weight_hh, cell.bias_hh)
    )
    new = applied(c, into_cell)
    expected = cell(x, (h, c))
    torch.testing.assert_close((applied(torch.tanh(new), out_of_it), new), expected, rtol=0, atol=1e-14)


def test_dynamic_layer_norm():
    """Kim et al. 2017, equations 7 to 9, written out over time; new, it starts at γ around 1 and β around 0."""
    made = DynamicLayerNorm(features=3, channels=8, summary=2).double()
    h, y = torch.randn(2, 3, 7, dtype=torch.float64), torch.randn(2, 8, 7, dtype=torch.float64)
    w, b = made.summarise.weight, made.summarise.bias
    a = sum(torch.tanh(h[..., t] @ w.T + b) for t in range(7)) / 7
    gamma, beta = (a @ head.weight.T + head.bias for head in (made.gamma, made.beta))
    normalised = F.layer_norm(y.transpose(1, 2), (8,)).transpose(1, 2)
    expected = gamma[..., None] * normalised + beta[..., None]
    torch.testing.assert_close(applied(normalised, made(h)), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(made.summary(h), a, rtol=0, atol=1e-14)


def test_gated_attention():
    """Dhingra et al. 2017, equations 4 to 6, token by token; padding of the query has no influence."""
    document, query = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 5, dtype=torch.float64)
    found = applied(document, gated_attention(document, query))
    for row in range(2):
        for i in range(4):
            d = document[row, :, i]
            weights = torch.softmax(query[row].T @ d, 0)
            torch.testing.assert_close(found[row, :, i], d * (query[row] @ weights), rtol=0, atol=1e-13)
    longer = torch.cat([query, torch.randn(2, 3, 2, dtype=torch.float64)], 2)
    present = torch.tensor([[True] * 5 + [False] * 2] * 2)
    torch.testing.assert_close(applied(document, gated_attention(document, longer, present)), found)


LOOKING = {
    "SqueezeExcitation": lambda channels: SelfConditioned(SqueezeExcitation(channels, 1)),
    "adaptive_instance_norm": lambda channels: SelfConditioned(adaptive_instance_norm),
    "DynamicLayerNorm": lambda channels: SelfConditioned(DynamicLayerNorm(channels, channels, 2)),
}


@pytest.mark.parametrize("kind", LOOKING)
@pytest.mark.parametrize("family", ["WaveNet", "PixelCNN"])
def test_what_looks_at_other_positions_is_refused_in_a_causal_network(family, kind):
    network = {"WaveNet": partial(WaveNet, levels=8, channels=4, dilations=[1, 2]),
               "PixelCNN": partial(PixelCNN, (1, 4, 4), 4, layers=2, channels=4, head=4)}[family]()  # fmt: skip
    network.added = nn.Sequential(nn.Identity(), LOOKING[kind](4))
    with pytest.raises(
        ValueError,
        match=rf"^{kind} in 'added.1' takes its statistics over positions, so an output "
        r"would see later inputs; .* such as Highway$",
    ):
        ConditionalModel(network, {"label": ClassEmbedding(2, num_classes=2)})


def test_what_looks_at_its_own_position_may_enter():
    network = WaveNet(levels=8, channels=4, dilations=[1, 2])
    network.added = SelfConditioned(Highway(8))
    ConditionalModel(network, {}, "none")


@pytest.mark.parametrize("kind", LOOKING)
def test_they_do_see_later_positions(kind):
    """Why they are refused: the gradient of the first output with respect to the last input is not zero."""
    torch.manual_seed(0)
    x = torch.randn(1, 4, 6, dtype=torch.float64, requires_grad=True)
    writer = LOOKING[kind](4).double().writer
    pair = writer(x)
    pair.gamma.sum().backward()
    assert x.grad[..., -1].abs().max() > 0


def test_a_writer_with_arguments_of_its_own_is_refused_too():
    layer = SelfConditioned(partial(partial(adaptive_instance_norm)))
    with pytest.raises(ValueError, match="adaptive_instance_norm in '0'"):
        require_causal_network(nn.Sequential(layer))


def test_gated_attention_needs_a_token_to_attend_to():
    present = torch.tensor([[True, False], [False, False]])
    with pytest.raises(ValueError, match="row 1 has no token to attend to"):
        gated_attention(torch.ones(2, 3, 4), torch.ones(2, 3, 2), present)
