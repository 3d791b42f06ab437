"""Metrics and evaluation: known values, and a generator that must look bad does."""

import math

import pytest
import torch

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, Images
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.distances import coverage, frechet_distance
from condgen.evaluation.likelihood import likelihood, some_rows, swap_labels
from condgen.evaluation.samples import fidelity, generate, matching_rows, read, summary, teach, train_classifiers
from condgen.models import ConditionalGenerator, ConditionalModel, Generator, PixelCNN


def test_frechet_distance_of_gaussians_has_its_closed_form():
    torch.manual_seed(0)
    base = torch.randn(4000, 3, dtype=torch.float64)
    base = (base - base.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(base.T.cov()).T)  # exactly white
    scale, shift = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64), torch.tensor([0.0, 1.0, -2.0])
    expected = float((shift**2).sum() + ((1 - scale) ** 2).sum())
    assert frechet_distance(base, base * scale + shift) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(base, base) == pytest.approx(0, abs=1e-6)


def test_coverage_counts_real_examples_with_a_near_sample():
    real = torch.arange(10.0)[:, None]
    assert coverage(real, real, k=1) == 1
    assert coverage(real, torch.tensor([[0.0]]), k=1) == 0.2  # 0 itself, and 1 at its own neighbour's distance
    assert coverage(real, torch.tensor([[100.0]]), k=1) == 0
    with pytest.raises(ValueError, match="more than 5 real examples; got 3"):
        coverage(real[:3], real)


def test_a_swapped_label_is_never_the_true_one_and_any_other_alike():
    ids = torch.zeros(9000, dtype=torch.long) + 2
    swapped = swap_labels(ids, 4, torch.Generator().manual_seed(0))
    counts = torch.bincount(swapped, minlength=4)
    assert counts[2] == 0
    assert (counts[[0, 1, 3]] - 3000).abs().max() < 5 * math.sqrt(2000)


def test_rows_are_chosen_all_over_and_always_the_same():
    assert sorted(some_rows(50, None)) == list(range(50))
    assert some_rows(50, 10) == some_rows(50, 10)
    assert max(some_rows(1000, 10)) > 500
    with pytest.raises(ValueError, match="0 examples are too few: at least 1 is needed"):
        some_rows(5, 0)


@pytest.fixture(scope="module")
def digits():
    data = Images(Digits())
    data.setup()
    return data


def make_model(conditioning="bias", conditions=None):
    torch.manual_seed(0)
    network = PixelCNN((1, 8, 8), 17, channels=4, layers=2, head=4, first_kernel_size=3)
    encoders = conditions or {"digit": ClassEmbedding(3, names=Digits().names["digit"])}
    model = ConditionalModel(network, encoders, conditioning).eval()
    with torch.no_grad():
        for parameter in model.film_generator.parameters():
            parameter.normal_(std=0.3)
    return model


def test_likelihood_is_the_exact_mean_and_the_marginal_sums_over_classes(digits):
    model = make_model()
    found = likelihood(model, digits, limit=37, batch_size=10)
    x, conditions, _ = digits.dataset("test").__getitems__(some_rows(500, 37))
    with torch.no_grad():
        table = torch.stack([model.log_prob(x, {"digit": torch.full((37,), y)}) for y in range(10)], 1).double()
    true = table[torch.arange(37), conditions["digit"]]
    assert found.examples == 37
    assert found.nats == pytest.approx(-true.mean().item(), rel=1e-5)
    assert found.bits_per_dim == pytest.approx(found.nats / (64 * math.log(2)))
    assert found.marginal_nats == pytest.approx(-(table.exp() / 10).sum(1).log().mean().item(), rel=1e-5)
    assert found.bayes_accuracy == pytest.approx((table.argmax(1) == conditions["digit"]).float().mean().item())


def test_a_model_without_conditions_has_no_swap_gap_and_a_conditional_one_has(digits):
    assert likelihood(make_model("none"), digits, limit=20).swapped == {}
    found = likelihood(make_model(), digits, limit=20)
    assert found.swapped["digit"] != found.bits_per_dim


def test_conditions_that_are_no_classes_are_scored_too(digits):
    data = Images(Digits(), thumbnail=8)
    data.setup()
    from condgen.conditioning import FeatureMap

    found = likelihood(make_model(conditions={"thumbnail": FeatureMap(1, 3, factor=8)}), data, limit=20)
    assert found.marginal_nats is None
    assert found.swapped == {}


@pytest.fixture(scope="module")
def classifiers(digits):
    return train_classifiers(digits, steps=300, seed=0)


@pytest.mark.slow
def test_an_untrained_model_reads_at_chance_and_real_data_well(digits, classifiers):
    drawn = generate(make_model(), digits, 200, batch_size=200, progress=False)
    readings = read(drawn, digits, classifiers)
    found = readings["digit"]
    assert found.held_out_accuracy > 0.95
    assert found.floor.accuracy > 0.95
    assert found.samples.accuracy < 0.4
    assert found.samples.coverage < 0.2 < 0.8 < found.floor.coverage
    assert found.asked_and_read.sum() == 200
    report = summary(None, readings)["samples"]["digit"]
    read_right = sum(row[i] for i, row in enumerate(report["asked_and_read"]))
    assert read_right / 200 == pytest.approx(report["accuracy"])


@pytest.mark.slow
def test_an_unconditional_model_is_read_by_the_datas_classes(digits, classifiers):
    drawn = generate(make_model("none"), digits, 60, batch_size=60, progress=False)
    found = read(drawn, digits, classifiers)["digit"]
    assert found.asked_and_read.sum() == 60
    assert found.samples.accuracy < 0.5


@pytest.mark.slow
def test_a_generator_that_repeats_one_prototype_per_class_looks_bad(digits, classifiers):
    train, test = digits.splits["train"], digits.splits["test"]
    first = torch.stack([(train.conditions["digit"] == y).nonzero()[0, 0] for y in range(10)])
    held_out = (test.x, test.conditions["digit"])
    prototypes = fidelity(classifiers["digit"], train.x[first].repeat_interleave(50, 0),
                          torch.arange(10).repeat_interleave(50), *held_out)  # fmt: skip
    real = fidelity(classifiers["digit"], train.x[:500], train.conditions["digit"][:500], *held_out)
    assert prototypes.accuracy > 0.95
    assert prototypes.coverage < 0.5 * real.coverage
    assert prototypes.frechet > 2 * real.frechet
    assert prototypes.within > 2 * real.within


@pytest.mark.slow
def test_lost_conditions_show_within_classes_and_in_reading_and_not_in_the_distance(digits, classifiers):
    """Real images under shuffled labels: all is well with the images, and nothing with their classes."""
    train, test = digits.splits["train"], digits.splits["test"]
    asked = train.conditions["digit"][:500]
    shuffled = asked[torch.randperm(500, generator=torch.Generator().manual_seed(1))]
    true, lost = (fidelity(classifiers["digit"], train.x[:500], labels, test.x, test.conditions["digit"])
                  for labels in (asked, shuffled))  # fmt: skip
    assert true.frechet == lost.frechet
    assert lost.within > 3 * true.within
    assert lost.accuracy < 0.25 < 0.95 < true.accuracy
    assert true.shuffled < 0.25


class Repeats(ConditionalGenerator):
    """A generator that gives a real image of the class asked for, or of another."""

    def __init__(self, images, ids, wrong=0):
        super().__init__(Generator((1, 8, 8), levels=17, channels=4), {"digit": ClassEmbedding(4, num_classes=10)})
        self.images, self.ids, self.wrong = images, ids, wrong

    def film(self, conditions):
        return (conditions["digit"] + self.wrong) % 10

    def forward(self, z, asked):
        pools = [self.images[self.ids == label] for label in range(10)]
        chosen = [pools[label][int(z[i, 0].abs() * 1e6) % len(pools[label])] for i, label in enumerate(asked.tolist())]
        return torch.stack(chosen).float() / 8 - 1


@pytest.mark.slow
def test_samples_teach_as_much_as_they_hold(digits):
    train = digits.splits["train"]
    options = {"classifier_steps": 150, "batch_size": 500, "progress": False}
    taught = {wrong: teach(Repeats(train.x, train.conditions["digit"], wrong), digits, 600, **options)["digit"]
              for wrong in (0, 1)}  # fmt: skip
    real = teach(None, digits, 600, classifier_steps=150)["digit"]
    assert real > 0.9
    assert taught[0] > real - 0.05
    assert taught[1] < 0.1  # each class taught as the one before it


def test_the_classifier_takes_any_image_size_and_reads_a_class():
    classifier = ImageClassifier((3, 9, 7), 256, "class", 4, steps=1).eval()
    features, read = classifier.read(torch.randint(0, 256, (5, 3, 9, 7)))
    assert features.shape == (5, 64)
    assert read.shape == (5,)
    assert 0 <= classifier.accuracy(torch.randint(0, 256, (5, 3, 9, 7)), read) <= 1


def test_matching_rows_have_the_same_classes_and_repeat_only_where_they_must():
    available = {"digit": torch.tensor([0, 0, 1, 1, 1]), "speaker": torch.tensor([0, 1, 0, 0, 1])}
    asked = {"digit": torch.tensor([1, 1, 1, 0]), "speaker": torch.tensor([0, 0, 0, 1])}
    rows = matching_rows(available, asked)
    for name, ids in available.items():
        assert torch.equal(ids[rows], asked[name])
    assert sorted(rows[:2]) == [2, 3]
    assert rows[2] in (2, 3)
