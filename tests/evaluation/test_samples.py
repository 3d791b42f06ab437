"""What samples are worth: who is compared with whom, and generators that must look bad do."""

import pytest
import torch

from condgen.conditioning import ClassEmbedding
from condgen.data import Batch, Images, Labelled
from condgen.evaluation.samples import (
    Generated,
    assess,
    fidelity,
    generate,
    matching_rows,
    sample_like,
    summary,
    teach,
    train_classifiers,
)
from condgen.models import ConditionalGenerator, ConditionalModel, Generator, WaveNet


@pytest.fixture(scope="module")
def classifiers(digits):
    return train_classifiers(digits, steps=300, seed=0)


@pytest.mark.slow
def test_an_untrained_model_reads_at_chance_and_real_data_well(digits, classifiers, make_digits_model):
    drawn = generate(make_digits_model(), digits, 200, batch_size=200, progress=False)
    readings = assess(drawn, digits, classifiers)
    found = readings["digit"]
    assert found.held_out_accuracy > 0.95
    assert found.floor.accuracy > 0.95
    assert found.samples.accuracy < 0.4
    assert found.samples.coverage < 0.2 < 0.8 < found.floor.coverage
    assert found.asked_and_read.total() == 200
    report = summary(None, [readings])["samples"]["digit"]
    read_right = sum(row.get(name, 0) for name, row in report["asked_and_read"].items())
    assert read_right / 200 == pytest.approx(report["accuracy"])


@pytest.mark.slow
def test_an_unconditional_model_is_read_by_the_datas_classes(digits, classifiers, make_digits_model):
    drawn = generate(make_digits_model("none"), digits, 60, batch_size=60, progress=False)
    found = assess(drawn, digits, classifiers)["digit"]
    assert found.asked_and_read.total() == 60
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


def test_an_unconditional_model_of_sound_says_one_clip_per_real_one_of_its_length():
    model = ConditionalModel(WaveNet(5, channels=4, dilations=[1], sample_rate=100), {}, "none").eval()
    scored = torch.arange(7) < torch.tensor([[3], [7], [5]])
    real = Batch(torch.zeros(3, 1, 7, dtype=torch.uint8), {"speaker": torch.tensor([0, 1, 0])}, scored)
    x, lengths = sample_like(model, real, seed=0, progress=False)
    assert x.shape == (3, 1, 7)
    assert lengths == [3, 7, 5]


def test_matching_rows_have_the_same_classes_and_repeat_only_where_they_must():
    available = {"digit": torch.tensor([0, 0, 1, 1, 1]), "speaker": torch.tensor([0, 1, 0, 0, 1])}
    asked = {"digit": torch.tensor([1, 1, 1, 0]), "speaker": torch.tensor([0, 0, 0, 1])}
    rows = matching_rows(available, asked)
    for name, ids in available.items():
        assert torch.equal(ids[rows], asked[name])
    assert sorted(rows[:2]) == [2, 3]
    assert rows[2] in (2, 3)


# Flat images, of which everything is known by hand.


class Flat:
    """A source of flat images in two shades."""

    shape, levels, names = (1, 8, 8), 17, {"shade": ["dark", "bright"]}

    def __init__(self, **splits):
        self.splits = splits

    def load(self, split):
        return self.splits[split]


def flat(levels, ids):
    x = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    return Labelled(x.contiguous(), {"shade": torch.tensor(ids)})


def images_of(train, test):
    data = Images(Flat(train=train, val=test, test=test))
    data.setup()
    return data


class Shade:
    """A classifier that knows dark from bright at level 8; its features are the level and its square."""

    classes = 2

    def classify(self, x):
        level = x.double().flatten(1).mean(1)
        return torch.stack([level, level**2], 1), (level > 8).long()

    def accuracy(self, x, asked):
        return (self.classify(x)[1] == asked).double().mean().item()


DARK, BRIGHT = [0, 1, 2, 3, 4, 5], [11, 12, 13, 14, 15, 16]
BOTH = flat(DARK + BRIGHT, [0] * 6 + [1] * 6)


def reading_of(x, asked, train=BOTH, test=BOTH):
    generated = Generated(x, x, {"shade": torch.tensor(asked)}, None)
    return assess(generated, images_of(train, test), {"shade": Shade()})["shade"]


def test_the_floor_is_of_training_examples_of_the_classes_asked_for():
    """All samples and all held-out examples are bright, at the levels of the bright half of the training examples."""
    bright = flat(BRIGHT, [1] * 6)
    found = reading_of(bright.x, [1] * 6, BOTH, bright)
    assert found.floor.accuracy == 1
    assert found.floor.coverage == 1
    assert found.floor.frechet == pytest.approx(0, abs=1e-3)


def test_samples_are_compared_with_held_out_examples():
    """The samples are the held-out examples themselves, the training examples are all of another level."""
    test, train = flat(DARK + BRIGHT, [0] * 6 + [1] * 6), flat([7] * 6 + [9] * 6, [0] * 6 + [1] * 6)
    found = reading_of(test.x, [0] * 6 + [1] * 6, train, test)
    assert found.samples.frechet == pytest.approx(0, abs=1e-3)
    assert found.samples.coverage == 1
    assert found.floor.frechet > 10
    assert found.floor.coverage < 1


def test_rows_of_the_counts_are_asked_and_columns_read():
    found = reading_of(flat(BRIGHT, [0] * 6).x, [0] * 6)
    assert found.asked_and_read == {(0, 1): 6}
    low, high = found.names
    assert summary(None, [{"label": found}])["samples"]["label"]["asked_and_read"] == {low: {high: 6}}
    assert found.samples.accuracy == 0


REVERSED = images_of(
    BOTH, flat(DARK + BRIGHT, [1] * 6 + [0] * 6)
)  # whoever learns from one split is wrong in the other


def test_a_pupil_is_examined_on_held_out_examples():
    assert teach(None, REVERSED, 12, classifier_steps=40) == {"shade": 0}


def test_classifiers_learn_from_training_examples():
    found = train_classifiers(REVERSED, 40, seed=0)["shade"]
    images = BOTH.x
    assert found.accuracy(images, BOTH.conditions["shade"]) == 1
    assert found.accuracy(images, REVERSED.splits["test"].conditions["shade"]) == 0
