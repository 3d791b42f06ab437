"""The kernels in numba: each part is what it stands for, and one version of each serves every model."""

from functools import partial

import numpy as np
import pytest
import torch

from condgen.engines import (
    kernels,
)
from condgen.models.convolutions import gate
from condgen.sampling import sample

sampled = partial(sample, progress=False)


def floats(conditions):
    return {name: value.float() if value.is_floating_point() else value for name, value in conditions.items()}


def test_the_exponential_is_exact_to_two_units_in_the_last_place():
    x = np.linspace(-87, 88, 200_001).astype(np.float32)
    got = np.array([kernels.exponential(value) for value in x], np.float64)
    assert np.abs(got / np.exp(x.astype(np.float64)) - 1).max() < 2 * 2.0**-23
    assert np.isnan(kernels.exponential(np.float32("nan")))
    assert 0 < kernels.exponential(np.float32(-1e30)) < 1e-37


def test_the_gate_is_that_of_the_model():
    rows, features, ld = 7, 1000, 2016
    x = (np.random.default_rng(0).standard_normal((rows, ld)) * 30).astype(np.float32)
    x[0, :3], x[1, features : features + 3] = (np.inf, -np.inf, np.nan), (np.inf, -np.inf, np.nan)
    gated = np.ones(rows * (features + 1), np.float32)
    kernels.gate(x.ravel(), ld, rows, features, gated)
    got = torch.from_numpy(gated).view(rows, features + 1)
    expected = gate(torch.from_numpy(x).double()[:, : 2 * features])
    assert torch.allclose(got[:, :features].double(), expected, rtol=0, atol=2e-7, equal_nan=True)
    assert (got[:, features] == 1).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 9, 16, 21])
@pytest.mark.parametrize("columns", [16, 32, 48, 128, 144, 272])
def test_tiles_of_every_size_make_a_matrix_product(rows, columns):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((rows, 5)), rng.standard_normal((5, columns))
    y = np.zeros((rows, columns + 16))
    flat = [array.astype(np.float32).ravel() for array in (y, x, w)]
    kernels.matmul(flat[0], 0, columns + 16, flat[1], 0, 5, rows, flat[2], 0, columns, 5)
    got = flat[0].reshape(y.shape)
    assert np.allclose(got[:, :columns], x @ w, rtol=0, atol=1e-5)
    assert (got[:, columns:] == 0).all()  # nothing is written beside it


def test_numbers_of_other_types_draw_the_same_with_the_same_machine_code(make_wavenet):
    model = make_wavenet(conditioning="none").float()
    expected = sampled(model, length=20, top_k=3, top_p=0.9, engine="compiled")
    count = len(kernels.wavenet.signatures)
    got = sampled(model, length=20, top_k=np.int64(3), top_p=np.float32(0.9), engine="compiled")
    assert torch.equal(got.x, expected.x)
    everything = sampled(model, length=20, top_k=10**20, top_p=1, engine="compiled")
    assert torch.equal(everything.x, sampled(model, length=20, engine="cached").x)
    assert len(kernels.wavenet.signatures) == count


def test_every_configuration_runs_the_same_machine_code(make_wavenet, make_melodies, make_model, make_conditions):
    """One version of each kernel per precision: what was compiled once serves every model, and so does the cache."""
    for engine, rows, conditioning in (
        ("compiled", 1, "film"),
        ("compiled", 3, "none"),
        ("compiled_bfloat16", 2, "concat"),
    ):
        for output in ("categorical", "logistic_mixture"):
            audio, images = (
                make_wavenet(output, conditioning, hop=3).float(),
                make_model(output, 1, conditioning).float(),
            )
            sampled(audio, floats(make_melodies(audio, rows, 5)), length=15, engine=engine)
            sampled(images, floats(make_conditions(images, rows)), engine=engine)
    for kernel in (kernels.wavenet, kernels.pixels):
        assert len(kernel.signatures) <= 2, kernel.signatures


def test_where_no_folder_can_be_written_to_kernels_are_compiled_all_the_same(monkeypatch):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    with pytest.warns(UserWarning, match="cannot be kept.*NUMBA_CACHE_DIR"):
        kernel = kernels.compiled(lambda x: x + 1)
    assert kernel(1) == 2
