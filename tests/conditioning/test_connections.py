"""What FiLM is beside hypernetworks, attention and bilinear maps: the identities of "Feature-wise transformations"."""

import torch
from torch import nn
from torch.nn import functional as F

from condgen.conditioning import FiLM, FiLMGenerator, FrameSequence, film

BATCH, IN, OUT = 3, 4, 6


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_film_is_a_hypernetwork_that_predicts_the_scales_of_rows_and_the_bias():
    """Ha et al. 2017: FiLM behind a convolution is a convolution with weights of each example's own, W_b = γ_b ⊙ W."""
    x, weight, bias = draw(BATCH, IN, 7, 5), draw(OUT, IN, 3, 3, seed=1), draw(OUT, seed=2)
    gamma, beta = draw(BATCH, OUT, seed=3), draw(BATCH, OUT, seed=4)
    own = gamma[..., None, None, None] * weight
    grouped = F.conv2d(x.reshape(1, -1, 7, 5), own.flatten(0, 1), (gamma * bias + beta).flatten(), groups=BATCH)
    expected = grouped.unflatten(1, (BATCH, OUT))[0]
    torch.testing.assert_close(film(F.conv2d(x, weight, bias), gamma, beta), expected, rtol=0, atol=1e-12)


def test_film_commutes_with_moving_positions_about_and_the_weights_of_attention_move_along():
    """Attention is the transpose: one weight per position for all features, not one per feature for all positions."""
    x, query, order = draw(BATCH, IN, 10), draw(BATCH, IN, seed=1), torch.randperm(10)
    gamma, beta = draw(BATCH, IN, seed=2), draw(BATCH, IN, seed=3)
    assert torch.equal(film(x[..., order], gamma, beta), film(x, gamma, beta)[..., order])

    def weights(features):
        return torch.einsum("bct,bc->bt", features, query).softmax(1)

    torch.testing.assert_close(weights(x[..., order]), weights(x)[..., order])
    read = [torch.einsum("bct,bt->bc", features, weights(features)) for features in (x, x[..., order])]
    torch.testing.assert_close(*read)  # a sum over positions: it no longer knows where anything was
    # A weight per position, before that sum, is FiLM whose γ varies over positions and not over features.
    position = weights(x)[:, None].expand(-1, IN, -1)
    assert torch.equal(film(x, position), x * position)


def bilinear(channels):
    """The matrices W_k of y_k = [x; 1]ᵀ W_k [γ; β]: a one where x_k meets γ_k, and a one where 1 meets β_k."""
    matrices = torch.zeros(channels, channels + 1, 2 * channels, dtype=torch.float64)
    for k in range(channels):
        matrices[k, k, k] = matrices[k, channels, channels + k] = 1
    return matrices


def test_film_is_a_bilinear_map_whose_matrices_have_rank_two():
    x, gamma, beta = (draw(BATCH, IN, seed=i) for i in range(3))
    matrices = bilinear(IN)
    inputs, parameters = torch.cat([x, torch.ones(BATCH, 1)], 1), torch.cat([gamma, beta], 1)
    found = torch.einsum("bi,kij,bj->bk", inputs, matrices, parameters)
    torch.testing.assert_close(found, film(x, gamma, beta))
    assert torch.linalg.matrix_rank(matrices).tolist() == [2] * IN


def test_a_linear_generator_folded_in_leaves_the_rank_at_two():
    generator = FiLMGenerator({"z": FrameSequence(5, 5)}, {"layer": FiLM(IN, dims=1)}, "film").double()
    for parameter in generator.parameters():
        nn.init.normal_(parameter)
    z = draw(BATCH, 5, 1)
    pair = generator({"z": z})["layer"]
    features = torch.cat([generator.encoders["z"](z)[..., 0], torch.ones(BATCH, 1)], 1)
    # [γ; β] = M [features; 1], whose last column is the 1 of γ = 1 + δ.
    fixed = torch.cat([torch.ones(IN, 1), torch.zeros(IN, 1)]).double()
    linear = torch.cat([torch.cat([generator.delta["z"].weight, generator.beta["z"].weight]), fixed], 1)
    folded = bilinear(IN) @ linear
    x = draw(BATCH, IN, seed=1)
    found = torch.einsum("bi,kij,bj->bk", torch.cat([x, torch.ones(BATCH, 1)], 1), folded, features)
    torch.testing.assert_close(found, film(x, pair.gamma[..., 0], pair.beta[..., 0]))
    assert torch.linalg.matrix_rank(folded).tolist() == [2] * IN
