"""Post-multipliers: zero at the start, and yet a step moves something; what they multiply, and what they tell."""

import pytest
import torch
from torch import nn

from condgen.conditioning import ClassEmbedding, FiLM, FiLMGenerator

LAYERS = {"a": FiLM(3), "b": FiLM(2, "instance", dims=1)}
IDS = {"digit": torch.tensor([0, 1, 2])}


def generator(conditioning="film", **options):
    torch.manual_seed(0)
    encoders = {"digit": ClassEmbedding(4, num_classes=3)}
    return FiLMGenerator(encoders, LAYERS, conditioning, post_multiplier=True, **options).double()


@pytest.mark.parametrize("conditioning", ["bias", "scale", "gate", "film"])
def test_a_new_generator_fixes_everything_and_a_step_of_gradient_descent_changes_that(conditioning):
    made = generator(conditioning)
    for pair in made(IDS).values():
        gamma, beta = pair
        assert torch.equal(gamma, torch.ones_like(gamma))
        assert torch.equal(beta, torch.zeros_like(beta))
    before = made(IDS).flatten()
    target = torch.randn_like(before)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    (before - target).square().sum().backward()
    assert all(scalars.grad.abs().min() > 0 for scalars in made.post.parameters())
    optimizer.step()
    after = made(IDS).flatten()
    assert (after - target).square().sum() < (before - target).square().sum()
    assert not torch.equal(after[0], after[1])  # not only the parts of the layer that normalises


def test_the_scalars_multiply_what_conditions_write_and_not_what_the_norm_lacks():
    """TADAM, section 3.2: h = (1 + γ₀ · g) ⊙ x + β₀ · b."""
    made = generator()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    z = made.encoders["digit"](IDS["digit"])
    gamma0, beta0 = (made.post.by_part[part] for part in ("gamma", "beta"))
    g, b = (z @ heads["digit"].weight.T for heads in (made.delta, made.beta))
    for i, (name, cut) in enumerate({"a": slice(0, 3), "b": slice(3, 5)}.items()):
        pair = made(IDS)[name]
        own_delta, own_beta = (made.own_delta[cut], made.own_beta[cut]) if name == "b" else (0, 0)
        torch.testing.assert_close(pair.gamma, 1 + gamma0[i] * g[:, cut] + own_delta)
        torch.testing.assert_close(pair.beta, beta0[i] * b[:, cut] + own_beta)


def test_importance_is_the_size_of_the_scalars_by_layer_and_by_what_conditions_write():
    made = generator("bias")
    assert made.importance == {"a": {"beta": 0.0}, "b": {"beta": 0.0}}
    with torch.no_grad():
        made.post.by_part["beta"].copy_(torch.tensor([0.5, -2.0]))
    assert made.importance == {"a": {"beta": 0.5}, "b": {"beta": 2.0}}
    with pytest.raises(ValueError, match="has no post-multipliers"):
        FiLMGenerator({"digit": ClassEmbedding(4, num_classes=3)}, LAYERS).importance  # noqa: B018


def test_a_small_start_is_the_scalars_and_behind_them_heads_keep_the_size_of_the_features():
    encoders = {"digit": ClassEmbedding(100, num_classes=3)}
    for start, scalar in (("zero", 0.0), ("small", 0.02)):
        made = FiLMGenerator(encoders, {"a": FiLM(200)}, "film", start=start, post_multiplier=True)
        assert [value for scalars in made.post.parameters() for value in scalars.tolist()] == pytest.approx(
            [scalar] * 2
        )
        for heads in (made.delta, made.beta):
            assert heads["digit"].weight.std().item() == pytest.approx(0.1, abs=0.005)
