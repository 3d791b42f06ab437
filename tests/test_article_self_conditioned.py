"""Networks of the recipe on self-conditioning: equal weights, causality, the published layers, and pages held out."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes" / "article"))  # recipes import by name

import self_conditioned as recipe

LETTERS = torch.randint(recipe.LETTERS, (2, 20), generator=torch.Generator().manual_seed(0))


def networks():
    yield from ((kind, recipe.Convolutions(kind)) for kind in recipe.GATES)
    yield from ((f"deep {kind}", recipe.Layers(kind, 3)) for kind in recipe.DEEP)
    yield from ((kind, recipe.Recurrent(kind)) for kind in recipe.RECURRENT)


def weights(model):
    return sum(p.numel() for p in model.parameters() if p.ndim > 1)


@pytest.mark.parametrize(("name", "network"), networks(), ids=[name for name, _ in networks()])
def test_a_letter_s_logits_know_the_letters_up_to_it_alone(name, network):
    changed = LETTERS.clone()
    changed[:, 12] = (changed[:, 12] + 1) % recipe.LETTERS
    with torch.no_grad():
        before, after = network(LETTERS), network(changed)
    torch.testing.assert_close(before[..., :12], after[..., :12])
    assert not torch.allclose(before[..., 12], after[..., 12])


def test_networks_that_are_compared_have_as_many_weights():
    assert len({weights(recipe.Convolutions(kind)) for kind in recipe.GATES}) == 1
    sizes = [weights(recipe.Recurrent(kind)) for kind in recipe.RECURRENT]
    assert max(sizes) < 1.02 * min(sizes)
    per_layer = [weights(recipe.Layers(kind, 11)) - weights(recipe.Layers(kind, 1)) for kind in recipe.DEEP]
    assert max(per_layer) < 1.02 * min(per_layer)
    assert weights(recipe.Convolutions("GLU")) == pytest.approx(weights(recipe.Recurrent("LSTM")), rel=0.1)


def test_the_lstm_is_pytorch_s():
    model = recipe.Recurrent("LSTM", 8).double()
    cell = nn.LSTMCell(16, 8).double()
    with torch.no_grad():
        cell.weight_ih.copy_(model.step.weight[:, :16])
        cell.weight_hh.copy_(model.step.weight[:, 16:])
        cell.bias_ih.copy_(model.step.bias)
        cell.bias_hh.zero_()
        state = (torch.zeros(2, 8).double(), torch.zeros(2, 8).double())
        for letter in model.embedding(LETTERS).unbind(1):
            state = cell(letter, state)
        # The recipe starts from zeros in single precision, which are the same zeros.
        torch.set_default_dtype(torch.float64)
        try:
            found = model(LETTERS)[..., -1]
        finally:
            torch.set_default_dtype(torch.float32)
        torch.testing.assert_close(found, model.out(state[0]), atol=1e-12, rtol=0)


def test_gates_are_the_published_ones():
    x = torch.randn(2, 6, 5).double()
    torch.testing.assert_close(recipe.act("GLU", x), F.glu(x, 1), atol=0, rtol=0)
    torch.testing.assert_close(recipe.act("GTU", x), torch.tanh(x[:, :3]) * torch.sigmoid(x[:, 3:]), atol=0, rtol=0)


def test_pages_held_out_are_not_in_training():
    kept = bytes((recipe.TEXTS[False] + 31).tolist())
    held = recipe.TEXTS[True]
    assert len(held) > 20_000
    windows = [bytes((held[start : start + 80] + 31).tolist()) for start in range(0, len(held) - 80, 997)]
    assert sum(window in kept for window in windows) < 0.1 * len(windows)  # pages may quote each other


def test_clouds_hide_no_digit_and_change_contrast():
    pictures = torch.rand(50, 1, 8, 8)
    found = recipe.clouded(pictures, torch.Generator().manual_seed(0))
    assert found.shape == pictures.shape
    signs = [
        torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] for a, b in zip(found, pictures, strict=True)
    ]
    assert 10 < sum(sign > 0 for sign in signs) < 40


def test_squeeze_and_excitation_adds_few_weights():
    plain, squeezing = (sum(p.numel() for p in recipe.Digits(s).parameters()) for s in (False, True))
    assert plain < squeezing < 1.1 * plain
