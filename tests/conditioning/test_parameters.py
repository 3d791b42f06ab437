"""FiLM parameters as a value: their arithmetic is that of the flattened matrix, and nothing changes them."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from condgen.conditioning import ClassEmbedding, FiLM, FiLMGenerator, FiLMParameters, GammaBeta


def random_parameters(rows=3, seed=0, dtype=torch.float64):
    """Parameters of every scope: a full layer, one without γ, one with an inner part, and a fixed one."""
    torch.manual_seed(seed)
    return FiLMParameters(
        {
            "full": GammaBeta(torch.randn(rows, 2, dtype=dtype), torch.randn(rows, 2, 5, dtype=dtype)),
            "biased": GammaBeta(None, torch.randn(rows, 3, 2, 2, dtype=dtype)),
            "inner": GammaBeta(torch.randn(rows, 1, dtype=dtype), None, torch.randn(rows, 1, dtype=dtype)),
            "fixed": GammaBeta(),
        }
    )


def same(p, q):
    return list(p) == list(q) and all(
        (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b))
        for name in p
        for a, b in zip(p[name], q[name], strict=True)
    )


P, Q, R = random_parameters(seed=0), random_parameters(seed=1), random_parameters(seed=2)


def test_interpolation_starts_and_ends_at_its_ends():
    assert same(P.interpolate(Q, 0), P)
    assert same(P.interpolate(Q, 1), Q)


@pytest.mark.parametrize("a", [-0.5, 0.25, 0.5, 2.0])
def test_arithmetic_is_that_of_the_matrix(a):
    p, q = P.flatten(), Q.flatten()
    assert torch.allclose(P.interpolate(Q, a).flatten(), (1 - a) * p + a * q, atol=1e-12)
    assert torch.equal((P + Q).flatten(), p + q)
    assert torch.equal((P - Q).flatten(), p - q)
    assert torch.equal((P * a).flatten(), p * a)
    assert same(a * P, P * a)


def test_flatten_goes_layer_by_layer_gamma_before_beta():
    parts = [P["full"].gamma, P["full"].beta, P["biased"].beta, P["inner"].gamma, P["inner"].inner]
    assert torch.equal(P.flatten(), torch.cat([part.flatten(1) for part in parts], dim=1))


def test_fixed_parts_stay_fixed():
    for result in (P + Q, P - Q, 2 * P, P.interpolate(Q, 0.5), P.mean(), P.select([0]), P.to(torch.float32)):
        for name in P:
            assert [part is None for part in result[name]] == [part is None for part in P[name]]


def test_analogy_moves_a_condition_across():
    """γ = 1 + Σ V h and β = Σ W h are affine in each condition: p(a, x) + p(b, y) − p(a, y) = p(b, x)."""
    encoders = {"first": ClassEmbedding(4, num_classes=2), "second": ClassEmbedding(4, num_classes=2)}
    film_generator = FiLMGenerator(encoders, {"0": FiLM(3), "1": FiLM(2)}, "film").double()
    for parameter in film_generator.parameters():
        nn.init.normal_(parameter)

    def p(first, second):
        return film_generator({"first": torch.tensor([first]), "second": torch.tensor([second])})

    assert not torch.allclose(p(0, 1).flatten(), p(1, 0).flatten())
    assert torch.allclose((p(0, 0) + p(1, 1) - p(0, 1)).flatten(), p(1, 0).flatten(), atol=1e-12)


def test_mean_is_one_row_and_the_mean_of_the_rows():
    assert P.mean().batch_size == 1
    assert torch.allclose(P.mean().flatten(), P.flatten().mean(0, keepdim=True), atol=1e-12)


@pytest.mark.parametrize("rows", [[2, 0, 0], slice(1, 3), torch.tensor([1]), torch.tensor([True, False, True])])
def test_select_takes_rows(rows):
    assert torch.equal(P.select(rows).flatten(), P.flatten()[rows])


def test_a_batch_of_one_serves_any_rows():
    one = random_parameters(rows=1)
    assert same(one.select([4, 7]), one)
    assert torch.equal((one + P).flatten(), one.flatten() + P.flatten())
    mixed = FiLMParameters({"one": GammaBeta(one["full"].gamma), "three": P["full"]})
    assert mixed.batch_size == 3
    assert torch.equal(mixed.flatten()[:, :2], one["full"].gamma.expand(3, 2))


def test_fixed_parameters_are_an_empty_row():
    fixed = FiLMParameters({"a": GammaBeta(), "b": GammaBeta()})
    assert fixed.batch_size == 1
    assert fixed.flatten().shape == (1, 0)
    assert same(fixed + fixed, fixed)


def test_sums_line_up_scopes_by_their_last_axes():
    local, spatial = random_parameters()["full"].beta, torch.randn(3, 2, 4, 5, dtype=torch.float64)
    total = FiLMParameters({"a": GammaBeta(None, local)}) + FiLMParameters({"a": GammaBeta(None, spatial)})
    assert torch.equal(total["a"].beta, local[:, :, None] + spatial)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_saving_and_loading_gives_the_same(tmp_path, dtype):
    parameters = random_parameters(dtype=dtype)
    parameters.save(tmp_path / "task.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["task.safetensors"]
    assert same(FiLMParameters.load(tmp_path / "task.safetensors"), parameters)


def test_parts_that_share_memory_and_those_that_do_not_lie_in_a_row_are_saved(tmp_path):
    shared = torch.randn(3, 4)
    parameters = FiLMParameters({"z": GammaBeta(shared[:, :2], shared[:, 2:]), "a": GammaBeta(None, shared[:1].T)})
    parameters.save(tmp_path / "task.safetensors")
    assert same(FiLMParameters.load(tmp_path / "task.safetensors"), parameters)


def test_the_file_is_called_as_it_was_asked_for(tmp_path):
    P.save(tmp_path / "a.b")
    assert [file.name for file in tmp_path.iterdir()] == ["a.b"]


def test_fixed_parameters_survive_saving(tmp_path):
    fixed = FiLMParameters({"a": GammaBeta(), "b": GammaBeta()})
    fixed.save(tmp_path / "fixed.safetensors")
    assert same(FiLMParameters.load(tmp_path / "fixed.safetensors"), fixed)


class Planted:
    """Says when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("code in the file was run",)


@pytest.mark.parametrize("write", [
    lambda path: torch.save(Planted(), path), lambda path: np.savez(path.open("wb"), x=np.array([print], object)),
    lambda path: path.write_bytes(b""), lambda path: path.write_text("{}"),
    lambda path: save_file({"x": torch.zeros(3)}, path), lambda path: save_file({}, path, {"film_layers": "nonsense"}),
    lambda path: path.write_bytes(saved(path)[:-3]),
], ids=range(7))  # fmt: skip
def test_another_kind_of_file_is_refused_in_one_line_and_runs_no_code(tmp_path, write):
    path = tmp_path / "task.safetensors"
    write(path)
    with pytest.raises(ValueError, match="holds no FiLM parameters") as found:
        FiLMParameters.load(path)
    assert "\n" not in str(found.value)


def saved(path):
    P.save(path)
    return path.read_bytes()


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"task\.safetensors does not exist; give a file of FiLM parameters"):
        FiLMParameters.load(tmp_path / "task.safetensors")
    with pytest.raises(ValueError, match=r"is a folder; give a file of FiLM parameters"):
        FiLMParameters.load(tmp_path)


def test_parameters_of_different_kinds_are_refused():
    full, biased = GammaBeta(torch.ones(1, 2), torch.ones(1, 2)), GammaBeta(None, torch.ones(1, 2))
    with pytest.raises(ValueError, match="layer 'a' is fixed in one and free in the other"):
        FiLMParameters({"a": full}) + FiLMParameters({"a": biased})


def test_parameters_of_different_networks_are_refused():
    with pytest.raises(ValueError, match=r"different networks.*\['a'\].*\['b'\]"):
        FiLMParameters({"a": GammaBeta()}).interpolate(FiLMParameters({"b": GammaBeta()}), 0.5)


def test_nothing_is_changed_in_place():
    before = [(p, p.map(torch.clone)) for p in (P, Q, R)]
    P + Q - R * 2
    P.interpolate(Q, 0.3).mean()
    R.select([0]).to(torch.float32).flatten().zero_()
    P.flatten().zero_()
    assert all(same(p, copy) for p, copy in before)


def test_parameters_do_not_follow_the_mapping_they_were_made_from():
    layers = {"a": GammaBeta(torch.ones(1, 2))}
    parameters = FiLMParameters(layers)
    layers.clear()
    assert list(parameters) == ["a"]
