"""Sampling from generators: noise by (seed, index), rows that do not see each other, levels on the data's grid."""

import math

import pytest
import torch

from condgen.conditioning import ClassEmbedding
from condgen.models import ConditionalGenerator, ConditionalModel, Generator, PixelCNN
from condgen.sampling import normal_noise, push_forward, sample, sampler


def model(shape=(1, 8, 8), **options):
    torch.manual_seed(0)
    made = ConditionalGenerator(Generator(shape, 6, 4, **options), {"label": ClassEmbedding(4, num_classes=3)}, "film")
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
        made.train()(torch.randn(50, 6), {"label": torch.randint(3, (50,))})  # gives batch norm its averages
    return made.double()


def ids(*values):
    return {"label": torch.tensor(values)}


def test_noise_is_standard_normal_and_finite():
    z = normal_noise(0, range(2000), 10)
    assert abs(z.mean()) < 0.03
    assert abs(z.std() - 1) < 0.03
    assert z.isfinite().all()
    lowest = torch.special.ndtri(torch.zeros(1, dtype=torch.float64).clamp(min=2.0**-54))
    assert lowest.isfinite().all()


@pytest.mark.parametrize("truncation", [0.1, 0.7, 2.0])
def test_truncated_noise_is_the_normal_distribution_given_that_it_lies_inside(truncation):
    z = normal_noise(0, range(4000), 5, truncation).flatten()
    assert z.abs().max() <= truncation
    # Var[z | |z| < t] = 1 − 2tφ(t) / (2Φ(t) − 1)
    density = math.exp(-(truncation**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * truncation * density / math.erf(truncation / math.sqrt(2))
    assert abs(z.var() / variance - 1) < 0.05
    assert torch.allclose(normal_noise(0, range(9), 5, 50.0), normal_noise(0, range(9), 5))


@pytest.mark.parametrize(("shape", "options"), [((1, 8, 8), {"levels": 17}), ((3, 16, 16), {}),
                                                ((1, 64), {"levels": 65536, "sample_rate": 8000})])  # fmt: skip
def test_a_sample_depends_on_its_index_and_conditions_alone(shape, options):
    made, asked = model(shape, **options), ids(0, 1, 2, 0, 1)
    got = push_forward(made, asked, seed=3).x
    assert got.shape == (5, *shape)
    assert 0 <= got.min() < got.max() < made.network.levels
    assert torch.equal(push_forward(made, asked, seed=3, batch_size=2).x, got)
    assert torch.equal(push_forward(made, ids(2, 0), seed=3, first_index=2).x, got[2:4])
    assert not torch.equal(push_forward(made, asked, seed=4).x, got)
    assert not torch.equal(push_forward(made, ids(1, 1, 2, 0, 1), seed=3).x[0], got[0])
    assert torch.equal(push_forward(made, made.film(asked), seed=3).x, got)


def test_drawing_leaves_mode_and_running_averages_alone():
    made = model()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    push_forward(made, ids(1), num_samples=40)
    assert made.training
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_one_row_serves_all_and_what_does_not_fit_is_refused():
    assert push_forward(model(), ids(1), num_samples=4).x.shape == (4, 1, 8, 8)
    assert push_forward(model(), ids(1)).log_prob is None
    for options, message in [({"truncation": 0.0}, "truncation 0.0"), ({"truncation": math.nan}, "truncation nan"),
                             ({"batch_size": 0}, "batch_size 0"), ({"num_samples": 0}, "num_samples 0")]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            push_forward(model(), ids(1, 2), **options)
    with pytest.raises(ValueError, match="condition 'label' is missing"):
        push_forward(model())


def test_each_kind_of_model_has_its_sampler():
    assert sampler(model()) is push_forward
    likelihood = ConditionalModel(PixelCNN((1, 4, 4), 2, channels=4, layers=1), {}, "none")
    assert sampler(likelihood) is sample


def test_a_row_with_a_seed_of_its_own_is_what_it_is_alone():
    made = model()
    together = push_forward(made, ids(0, 1), seed=[3, 4], num_samples=2).x
    assert torch.equal(together[:2], push_forward(made, ids(0), seed=3, num_samples=2).x)
    assert torch.equal(together[2:], push_forward(made, ids(1), seed=4, num_samples=2).x)
    assert torch.equal(push_forward(made, {"label": ["0", "1"]}, seed=[3, 4], num_samples=2).x, together)
