"""The Triton engine: its kernel interpreted, compiled for a GPU and, where there is one, run on it."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

import condgen
from condgen.engines.choice import choose
from condgen.sampling import sample

sampled = partial(sample, progress=False)


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device to capture a graph on")


def test_what_is_too_large_for_a_block_is_refused(make_wavenet):
    triton_wavenet = pytest.importorskip("condgen.engines.triton_wavenet", reason="Triton is not installed")
    assert triton_wavenet.too_large(make_wavenet(channels=64, skip=256, levels=256).network) is None
    for sizes in ({"channels": 130}, {"skip": 600, "hidden": 2}, {"head": 600}, {"levels": 1025}):
        assert "too many for a block" in triton_wavenet.too_large(make_wavenet(**sizes).network)


def test_the_kernel_draws_what_the_cached_engine_draws():
    """See `triton_cases`."""
    pytest.importorskip("triton", reason="Triton is not installed")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(condgen.__file__).parents[1])}
    cases = Path(__file__).with_name("triton_cases.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(cases)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cases.parents[2])
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize("weights", ["*fp32", "*bf16"])
def test_the_kernel_compiles_for_a_gpu_without_one(monkeypatch, tmp_path, weights):
    pytest.importorskip("triton", reason="Triton is not installed")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from condgen.engines.triton_kernel import wavenet

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    sizes = dict.fromkeys(["ROWS", "CHANNELS", "HIDDEN", "SKIP", "HEAD", "LEVELS", "HEAD_COLUMNS", "OUT_COLUMNS"], 16)
    flags = dict.fromkeys(["HAS_FRAMES", "HAS_GAMMA", "HAS_BETA"], True)
    constants = {"LAYERS": 2, "TAPS": 3, "FILM_ROWS": 3, "GIVEN_ROWS": 3, **sizes, **flags}
    types = dict.fromkeys(constants, "constexpr") | {"temperature": "fp32", "noise": "*fp64", "known": "*i8"}
    types |= dict.fromkeys(["taps", "residual", "skip", "head", "out"], weights)
    types |= dict.fromkeys(["ring_table", "given", "last", "values"], "*i64")
    numbers = ["first", "count", "first_noise", "noise_row", "batch", "hop", "levels"]
    types |= dict.fromkeys(numbers, "i32")
    signature = {name: types.get(name, "*fp32") for name in wavenet.arg_names}
    source = ASTSource(fn=wavenet, signature=signature, constexprs=constants)
    built = compile(source, target=GPUTarget("cuda", 80, 32), options={"num_warps": 8, "num_stages": 1})
    assert built.metadata.shared <= 99 * 1024


@cuda
def test_the_kernel_draws_what_the_cached_engine_draws_on_a_gpu(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, kernel_size=3, seed=1).float().cuda()
    conditions = {name: c.float() if c.is_floating_point() else c for name, c in make_melodies(model, 3, 40).items()}
    cached, got = (sampled(model, conditions, engine=engine) for engine in ("cached", "triton"))
    assert choose("triton", model.network).name == "triton"  # and has not given way to another
    assert torch.equal(cached.x, got.x)
