"""Quantization: a grid of levels, and the curves that lead to it and back."""

import math

import pytest
import torch

from condgen.quantization import Quantization, check_levels

GRIDS = [(levels, companding) for levels in (2, 3, 16, 255, 256, 1024, 65536) for companding in ("mu_law", "linear")]
grids = pytest.mark.parametrize(("levels", "companding"), GRIDS)


def ramp(dtype=torch.float32):
    return torch.linspace(-1, 1, 20_001, dtype=dtype)


@grids
def test_what_is_decoded_is_encoded_as_it_was(levels, companding):
    grid, every = Quantization(levels, companding), torch.arange(levels)
    waveform = grid.decode(every)
    assert waveform.dtype == torch.float32
    assert torch.equal(grid.encode(waveform), every)


@grids
def test_encoding_and_decoding_keep_the_order(levels, companding):
    grid = Quantization(levels, companding)
    encoded = grid.encode(ramp())
    assert (encoded.diff() >= 0).all()
    assert (grid.decode(torch.arange(levels)).diff() > 0).all()
    assert encoded.dtype == torch.long
    assert (encoded[0], encoded[-1]) == (0, levels - 1)


@grids
def test_what_lies_beyond_one_is_clipped(levels, companding):
    grid = Quantization(levels, companding)
    found = grid.encode(torch.tensor([-math.inf, -7.0, -1.0001, 1.0001, 3.0, math.inf]))
    assert found.tolist() == [0] * 3 + [levels - 1] * 3
    assert torch.allclose(grid.decode(torch.tensor([0, levels - 1])), torch.tensor([-1.0, 1.0]), atol=1e-6)


@grids
def test_silence_is_the_level_of_zero_and_all_but_zero_itself(levels, companding):
    grid = Quantization(levels, companding)
    assert grid.encode(torch.zeros(())).item() == grid.silence
    smallest = grid.decode(torch.arange(levels)).abs().min().item()
    assert grid.decode(torch.tensor(grid.silence)).abs().item() == pytest.approx(smallest, abs=1e-6)


@grids
def test_levels_lie_symmetrically_about_zero(levels, companding):
    waveform = Quantization(levels, companding).decode(torch.arange(levels))
    assert torch.allclose(waveform, -waveform.flip(0), atol=1e-6)


@grids
def test_rounding_goes_to_the_nearest_level(levels, companding):
    """Of the levels on the companded scale, the one that is chosen is at most half a step away."""
    grid, waveform = Quantization(levels, companding), ramp(torch.float64)
    mu = levels - 1
    curve = (lambda x: x.sign() * (mu * x.abs()).log1p() / math.log1p(mu)) if companding == "mu_law" else (lambda x: x)
    distance = curve(waveform) - curve(grid.decode(grid.encode(waveform)).double())
    assert distance.abs().max() <= (1 + 1e-2) / mu


@pytest.mark.parametrize("levels", [16, 256])
def test_the_mu_law_is_that_of_g711(levels):
    """sgn(x) ln(1 + μ |x|) / ln(1 + μ) for μ = L − 1, and its inverse."""
    grid, mu = Quantization(levels), levels - 1
    for x in (-0.9, -0.1, -0.003, 0.0005, 0.02, 0.3, 1.0):
        companded = math.copysign(math.log1p(mu * abs(x)) / math.log1p(mu), x)
        assert grid.encode(torch.tensor(x, dtype=torch.float64)).item() == math.floor((companded + 1) / 2 * mu + 0.5)
    for level in range(levels):
        y = 2 * level / mu - 1
        expected = math.copysign(((1 + mu) ** abs(y) - 1) / mu, y)
        assert grid.decode(torch.tensor(level)).item() == pytest.approx(expected, abs=1e-6)


def test_the_mu_law_has_most_levels_about_zero():
    encoded, uniform = (Quantization(256, name).encode(torch.tensor([-0.05, 0.05])) for name in ("mu_law", "linear"))
    assert encoded.diff() > 100 > uniform.diff()


@pytest.mark.parametrize("levels", [2, 16, 256, 65536])
def test_linear_levels_lie_evenly_from_minus_1_to_1(levels):
    """As the output distributions have them."""
    waveform = Quantization(levels, "linear").decode(torch.arange(levels))
    assert torch.allclose(waveform, torch.linspace(-1, 1, levels), atol=1e-6)


@grids
@pytest.mark.parametrize("shape", [(), (5,), (2, 1, 3)])
def test_any_shape_is_kept(levels, companding, shape):
    grid = Quantization(levels, companding)
    assert grid.encode(torch.zeros(shape)).shape == grid.decode(torch.zeros(shape, dtype=torch.uint8)).shape == shape


def test_a_grid_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="unknown companding 'a_law'; known: mu_law, linear"):
        Quantization(256, "a_law")
    for levels in (1, 0, -4, 65537):
        with pytest.raises(ValueError, match=f"levels {levels} is not from 2 to 65536"):
            Quantization(levels)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_levels_of_a_type_that_compares_nothing_are_refused_in_one_line(dtype):
    with pytest.raises(ValueError, match=rf"the data are of {dtype}, in which PyTorch compares nothing: .*x\.long\(\)"):
        check_levels(torch.zeros(3, dtype=dtype), 4)
