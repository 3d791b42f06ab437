"""Likelihood on held-out data: exact means, each over what is scored and under the labels that its name says."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from condgen.conditioning import ClassEmbedding, FeatureMap
from condgen.data import Digits, Images, Labelled
from condgen.data.images import ImageSet
from condgen.data.speech import SpeechSet
from condgen.data.store import ClipStore
from condgen.evaluation.likelihood import EVERY, SWAPS, likelihood, other_labels, some_rows
from condgen.models import ConditionalModel, PixelCNN, WaveNet


def test_a_swapped_label_is_never_the_true_one_and_any_other_alike():
    ids = torch.zeros(9000, dtype=torch.long) + 2
    swapped = other_labels(ids, 4, 2, torch.Generator().manual_seed(0))
    counts = torch.bincount(swapped.flatten(), minlength=4)
    assert counts[2] == 0
    assert (counts[[0, 1, 3]] - 6000).abs().max() < 5 * math.sqrt(4000)


def test_if_there_are_so_many_every_other_label_stands_once():
    ids = torch.tensor([0, 2, 3, 200], dtype=torch.uint8)
    found = other_labels(ids, 256, 255, torch.Generator())
    for own, others in zip(ids.tolist(), found.T.tolist(), strict=True):
        assert sorted([own, *others]) == list(range(256))


def test_rows_are_chosen_all_over_and_always_the_same():
    assert sorted(some_rows(50, None)) == list(range(50))
    assert some_rows(50, 10) == some_rows(50, 10)
    assert max(some_rows(1000, 10)) > 500
    with pytest.raises(ValueError, match="0 examples are too few: at least 1 is needed"):
        some_rows(5, 0)


def test_likelihood_is_the_exact_mean_and_the_marginal_sums_over_classes(digits, make_digits_model):
    model = make_digits_model()
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


def test_a_model_without_conditions_has_no_swap_gap_and_a_conditional_one_has(digits, make_digits_model):
    assert likelihood(make_digits_model("none"), digits, limit=20).swapped == {}
    found = likelihood(make_digits_model(), digits, limit=20)
    assert found.swapped["digit"] != found.bits_per_dim


def table_model(classes, others=()):
    """A model of one pixel and two levels, whose log-probabilities under each class are as good as random."""
    network = PixelCNN((1, 1, 1), 2, "bernoulli", channels=4, layers=1, head=4)
    names = {"label": classes, **dict(others)}
    torch.manual_seed(0)
    model = ConditionalModel(network, {n: ClassEmbedding(4, num_classes=k) for n, k in names.items()}, "bias").double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    n = 6
    ids = {name: torch.arange(n) * 7 % k for name, k in names.items()}
    rows = ImageSet(Labelled((torch.arange(n) % 2).view(n, 1, 1, 1).byte(), ids))
    return model.eval(), SimpleNamespace(dataset=lambda split: rows, sample_rate=None), rows


@pytest.mark.parametrize("classes", [2, 10, EVERY])
def test_the_gap_is_the_exact_mean_over_all_other_labels_where_they_are_few(classes):
    model, data, rows = table_model(classes)
    x, ids, _ = rows.__getitems__(range(len(rows)))
    with torch.no_grad():
        table = torch.stack([model.log_prob(x, {"label": torch.full((6,), y)}) for y in range(classes)])
    true = table[ids["label"], torch.arange(6)]
    found = likelihood(model, data, batch_size=4)
    mean = (table.sum(0) - true) / (classes - 1)
    assert found.swapped["label"] == pytest.approx(-mean.mean().item() / math.log(2), rel=1e-12)
    assert found.others == {"label": (classes - 1, classes - 1)}
    assert found.marginal_nats == pytest.approx(-(table.logsumexp(0) - math.log(classes)).mean().item(), rel=1e-12)


@pytest.mark.parametrize(("classes", "others"), [(EVERY + 1, {}), (10_000, {}), (30, {"shade": 3})])
def test_of_many_labels_some_are_drawn_and_no_example_is_scored_under_all(classes, others, monkeypatch):
    model, data, rows = table_model(classes, others)
    scored = []
    original = ConditionalModel.log_prob
    monkeypatch.setattr(ConditionalModel, "log_prob", lambda *args: scored.append(1) or original(*args))
    found = likelihood(model, data, batch_size=len(rows))
    assert found.others["label"] == (SWAPS, classes - 1)
    assert found.marginal_nats is found.bayes_accuracy is None
    assert len(scored) == 1 + sum(count for count, _ in found.others.values()) <= 1 + 2 * SWAPS + 1
    if others:
        assert found.others == {"label": (SWAPS, 29), "shade": (2, 2), "label + shade": (1, 58)}


def test_conditions_that_are_no_classes_are_scored_too(make_digits_model):
    data = Images(Digits(), thumbnail=8)
    data.setup()
    found = likelihood(make_digits_model(conditions={"thumbnail": FeatureMap(1, 3, factor=8)}), data, limit=20)
    assert found.marginal_nats is None
    assert found.swapped == {}


def clips_of(lengths, levels, seed=0):
    """A data module of random clips: their levels, and for each the speaker of its place."""
    generator = np.random.default_rng(seed)
    every = generator.integers(0, levels, sum(lengths)).astype(np.uint8)
    ids = {"speaker": np.arange(len(lengths)) % 2}
    files, zeros = [f"{i}.wav" for i in range(len(lengths))], np.zeros(len(lengths))
    store = ClipStore(every, np.cumsum([0, *lengths]), {}, ids, files, zeros, zeros > 0, zeros + 1, files)
    data = SpeechSet(store, {}, None, 0, 0, 1, silence=levels // 2)
    clips = np.split(every.astype(np.int64), np.cumsum(lengths)[:-1])
    return SimpleNamespace(dataset=lambda split: data, sample_rate=100), [torch.from_numpy(clip) for clip in clips]


def test_figures_of_audio_do_not_depend_on_padding():
    """Of two speakers the other one is every swapped label, so that each figure is a sum over two clips by hand."""
    torch.manual_seed(0)
    network = WaveNet(5, channels=8, dilations=[1, 2], sample_rate=100)
    model = ConditionalModel(network, {"speaker": ClassEmbedding(2, num_classes=2)}, "film").double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    data, clips = clips_of([3, 9], levels=5)
    with torch.no_grad():
        of = [[model.log_prob(clip[None, None], {"speaker": torch.tensor([label])}).item() for label in (0, 1)]
              for clip in clips]  # fmt: skip
    true, other = torch.tensor([of[0][0], of[1][1]]), torch.tensor([of[0][1], of[1][0]])
    assert (true - other).abs().min() > 0.1
    found = likelihood(model, data, batch_size=2)
    assert found.examples == 2
    assert found.nats == pytest.approx(-true.mean().item())
    assert found.bits_per_dim == pytest.approx(-true.sum().item() / (12 * math.log(2)))
    assert found.others == {"speaker": (1, 1)}
    assert found.swapped == {"speaker": pytest.approx(-other.sum().item() / (12 * math.log(2)))}
    assert found.marginal_nats == pytest.approx(-(torch.logaddexp(true, other) - math.log(2)).mean().item())
    assert found.bayes_accuracy == pytest.approx((true > other).double().mean().item())
