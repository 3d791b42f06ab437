"""The convolution over time and the gate: their derivatives are right, and every way to compute them is the same."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from condgen.models.convolutions import CausalConv1d, Convolved, SigmoidTanh, gate, tap_by_tap

shapes = pytest.mark.parametrize(("taps", "dilation", "time"), [(1, 1, 5), (2, 1, 6), (2, 4, 6), (3, 2, 7), (4, 3, 5)])


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype).requires_grad_()


@shapes
@pytest.mark.parametrize("biased", [True, False])
def test_a_causal_convolution_is_a_dilated_one_padded_on_the_left(taps, dilation, time, biased):
    x, weight, bias = random(2, time, 3), random(taps, 4, 3), random(4) if biased else None
    held = F.pad(x.transpose(1, 2), ((taps - 1) * dilation, 0))
    expected = F.conv1d(held, weight.permute(1, 2, 0), bias, dilation=dilation).transpose(1, 2)
    for way in (Convolved.apply, tap_by_tap):
        assert torch.allclose(way(x, weight, bias, dilation), expected, rtol=0, atol=1e-12)


@shapes
@pytest.mark.parametrize("biased", [True, False])
def test_derivatives_of_a_causal_convolution_are_right(taps, dilation, time, biased):
    x, weight, bias = random(2, time, 3), random(taps, 4, 3), random(4) if biased else None
    assert torch.autograd.gradcheck(Convolved.apply, (x, weight, bias, dilation), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(Convolved.apply, (x, weight, bias, dilation))


def test_derivatives_of_the_gate_are_right():
    x = random(2, 3, 8)
    assert torch.autograd.gradcheck(SigmoidTanh.apply, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(SigmoidTanh.apply, (x,))
    for dim in (0, 2):
        assert torch.autograd.gradcheck(lambda x, dim=dim: gate(x, dim), (x,))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_gate_is_the_same_with_gradients_and_without(dtype):
    x = (10 * random(4, 1000)).to(dtype).detach().requires_grad_()
    with torch.no_grad():
        expected = gate(x)
    tolerance = {torch.float64: 1e-15, torch.float32: 2e-7, torch.bfloat16: 0}[dtype]
    assert (gate(x) - expected).abs().max() <= tolerance


def test_derivatives_of_many_directions_at_once_agree():
    """`torch.func` maps over the derivatives of both."""
    conv = CausalConv1d(2, 6, 3, 2).double()
    x = random(2, 5, 2)
    for transform in (torch.func.jacfwd, torch.func.jacrev):
        got = transform(lambda x: gate(conv(x), -1))(x)
        assert torch.allclose(got, torch.autograd.functional.jacobian(lambda x: gate(conv(x), -1), x))


def test_a_convolution_under_autocast_computes_in_16_bits_and_learns_in_32():
    conv, x = CausalConv1d(8, 8, 3, 2), random(2, 9, 8, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    y.float().square().sum().backward()
    assert (y.dtype, conv.weight.grad.dtype) == (torch.bfloat16, torch.float32)
    exact = conv(x)
    assert torch.allclose(y.float(), exact, atol=0.05)
    (expected,) = torch.autograd.grad(exact.square().sum(), conv.weight)
    assert (conv.weight.grad - expected).norm() < 0.02 * expected.norm()


class Plain(nn.Module):
    """A convolution and a gate."""

    def __init__(self):
        super().__init__()
        self.conv = CausalConv1d(3, 6, 3, 2)

    def forward(self, x):
        return gate(self.conv(x), -1)


def test_a_compiler_sees_one_graph_that_computes_the_same():
    torch.manual_seed(0)
    model, x = Plain(), torch.randn(2, 7, 3)
    whole = torch.compile(model, backend="aot_eager", fullgraph=True)
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    got = torch.autograd.grad(whole(x).square().sum(), list(model.parameters()))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(got, expected, strict=True))


def test_each_network_is_one_graph_to_a_compiler(make_wavenet, make_model):
    """A break in it would compile every layer apart and, from the ninth on, not at all."""
    for model, shape in (
        (make_wavenet(conditioning="none"), (2, 1, 12)),
        (make_model(conditioning="none"), (2, 1, 5, 4)),
    ):
        network, x = model.network, torch.randint(2, shape)
        assert torch.allclose(torch.compile(network, backend="eager", fullgraph=True)(x), network(x), atol=1e-12)


def test_a_traced_network_can_be_saved_and_computes_the_same(tmp_path, make_wavenet):
    network, x = make_wavenet(conditioning="none").network, torch.randint(2, (2, 1, 12))
    torch.jit.save(torch.jit.trace(network, x), tmp_path / "network.pt")
    assert torch.allclose(torch.jit.load(tmp_path / "network.pt")(x), network(x), atol=1e-12)
