"""FiLM parameters as a value: their arithmetic is that of the flattened matrix, and nothing changes them."""

import copy
import pickle

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
        list(p[name].parts) == list(q[name].parts)
        and all(
            a.dtype == b.dtype and torch.equal(a, b)
            for a, b in zip(p[name].parts.values(), q[name].parts.values(), strict=True)
        )
        for name in p
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
            assert list(result[name].parts) == list(P[name].parts)


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


def test_whoever_may_read_other_files_may_read_it(tmp_path):
    P.save(tmp_path / "a.safetensors")
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


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


def test_a_layer_unpacks_as_two_dense_tensors_whatever_is_fixed():
    for name, (gamma, beta) in P.items():
        pair = P[name]
        assert gamma is pair.gamma or bool((gamma == 1).all())
        assert beta is pair.beta or bool((beta == 0).all())
    assert [x.shape for x in P["biased"]] == [(3, 3, 2, 2)] * 2
    assert [x.shape for x in P["inner"]] == [(3, 1)] * 2
    assert [x.tolist() for x in P["fixed"]] == [[[1]], [[0]]]


def test_arrays_have_no_gradients():
    free = P.map(lambda tensor: tensor.clone().requires_grad_())
    for name, (gamma, beta) in free.numpy().items():
        assert isinstance(gamma, np.ndarray)
        for array, tensor in zip((gamma, beta), P[name], strict=True):
            assert np.array_equal(array, tensor.numpy())


@pytest.mark.parametrize("weights", [[0.0, 0.25, 2.0], np.array([0.0, 0.25, 2.0]), torch.tensor([0.0, 0.25, 2.0])])
def test_many_weights_between_two_rows_give_a_row_each(weights):
    one, other = P.select(0), Q.select(2)
    rows = one.interpolate(other, weights)
    assert rows.batch_size == 3
    for i, a in enumerate([0, 0.25, 2]):
        assert torch.allclose(rows.select(i).flatten(), one.interpolate(other, a).flatten(), atol=1e-12)


def test_as_many_weights_as_rows_belong_to_these_and_others_are_refused():
    a = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    expected = (1 - a[:, None]) * P.flatten() + a[:, None] * Q.flatten()
    assert torch.allclose(P.interpolate(Q, a).flatten(), expected, atol=1e-12)
    for wrong in ([0.5, 0.5], [[0.5]]):
        with pytest.raises(ValueError, match=r"weights of shape .* between 3 and 3 rows"):
            P.interpolate(Q, wrong)


def labelled():
    return P.labelled({"digit": ["7", "3", "7"], "speaker": ["ann", "bob", "bob"]})


@pytest.mark.parametrize(("words", "rows"), [
    ({"digit": "7"}, [0, 2]), ({"digit": 7}, [0, 2]), ({"digit": ["3", "7"]}, [1, 0, 2]), ({"digit": [3]}, [1]),
    ({"digit": "7", "speaker": "bob"}, [2]), ({"speaker": "bob"}, [1, 2]),
])  # fmt: skip
def test_rows_are_selected_by_the_names_of_their_classes(words, rows):
    chosen = labelled().select(**words)
    assert torch.equal(chosen.flatten(), P.flatten()[rows])
    assert chosen.labels == {name: [known[i] for i in rows] for name, known in labelled().labels.items()}


def test_a_label_that_no_row_has_is_told_with_those_there_are():
    with pytest.raises(ValueError, match=r"condition 'digit' has no class '5'; its classes: 7, 3"):
        labelled().select(digit="5")
    with pytest.raises(ValueError, match=r"no labels of 'word' to select by; they have labels of: digit, speaker"):
        labelled().select(word="7")
    with pytest.raises(ValueError, match="3 labels of 'digit' do not fit 1 rows"):
        P.mean().labelled({"digit": ["7", "3", "7"]})


def test_one_number_takes_one_row():
    assert torch.equal(P.select(1).flatten(), P.flatten()[1:2])
    assert labelled().select(slice(1, None)).labels["digit"] == ["3", "7"]
    assert labelled().select(torch.tensor([True, False, True])).labels["speaker"] == ["ann", "bob"]


def test_stacked_rows_stand_below_each_other_with_their_labels():
    one = random_parameters(rows=1, seed=5).labelled({"digit": ["5"], "speaker": ["eve"]})
    both = FiLMParameters.stack([labelled(), one])
    assert torch.equal(both.flatten(), torch.cat([P.flatten(), one.flatten()]))
    assert both.labels == {"digit": ["7", "3", "7", "5"], "speaker": ["ann", "bob", "bob", "eve"]}
    assert same(FiLMParameters.stack([P.select(i) for i in range(3)]), P)
    assert not FiLMParameters.stack([labelled(), P]).labels
    mixed = FiLMParameters({"one": GammaBeta(P["full"].gamma[:1]), "three": P["full"]})
    assert torch.equal(FiLMParameters.stack([mixed, mixed]).flatten(), torch.cat([mixed.flatten()] * 2))


def test_what_does_not_belong_together_is_not_stacked():
    longer = FiLMParameters({"a": GammaBeta(None, torch.ones(1, 2, 5))})
    with pytest.raises(ValueError, match=r"sizes \(2, 5\) and \(2, 6\) do not stack"):
        FiLMParameters.stack([longer, FiLMParameters({"a": GammaBeta(None, torch.ones(1, 2, 6))})])
    with pytest.raises(ValueError, match="fixed in one and free in the other"):
        FiLMParameters.stack([longer, FiLMParameters({"a": GammaBeta()})])
    with pytest.raises(ValueError, match="no FiLM parameters to stack"):
        FiLMParameters.stack([])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_and_pickles_are_the_same_numbers_without_gradients(copied):
    made = labelled().map(lambda tensor: tensor.clone().requires_grad_() * 1)
    found = copied(made)
    assert same(found, P)
    assert found.labels == made.labels
    assert not any(tensor.requires_grad for tensor in found.tensors)
    assert all(tensor.requires_grad for tensor in made.tensors)


def test_labels_survive_saving_and_arithmetic_on_rows_but_not_means(tmp_path):
    labelled().save(tmp_path / "task.safetensors")
    assert FiLMParameters.load(tmp_path / "task.safetensors").labels == labelled().labels
    assert (labelled() * 2).labels == labelled().labels
    assert not labelled().mean().labels
    assert not (labelled() + Q).labels


def test_a_repr_is_one_short_line():
    assert repr(P) == "FiLMParameters of 4 layers, 3 rows, 26 numbers a row"
    assert repr(labelled()).endswith("26 numbers a row; digit: 7, 3, 7; speaker: ann, bob, bob")
    many = FiLMParameters({"a": GammaBeta(torch.ones(40, 1))}, {"digit": [str(i) for i in range(40)]})
    assert len(repr(many)) < 150
