"""The classifier: any image size, and one class for each image."""

import torch

from condgen.data.images import ImageSet, Labelled
from condgen.evaluation.classifier import ImageClassifier, train_classifier


def test_the_classifier_takes_any_image_size_and_reads_a_class():
    classifier = ImageClassifier((3, 9, 7), 256, "class", 4).eval()
    features, read = classifier.classify(torch.randint(0, 256, (5, 3, 9, 7)))
    assert features.shape == (5, 64)
    assert read.shape == (5,)
    assert 0 <= classifier.accuracy(torch.randint(0, 256, (5, 3, 9, 7)), read) <= 1


def test_training_shows_a_bar_and_ends_with_a_classifier_that_reads(monkeypatch):
    """Dark images of one class and bright ones of the other."""
    bars = []
    monkeypatch.setattr("condgen.evaluation.classifier.tqdm", lambda loader, text, **_: bars.append(text) or loader)
    ids = torch.arange(64) % 2
    x = (200 * ids[:, None, None, None] + torch.randint(0, 50, (64, 1, 8, 8))).byte()
    before = torch.get_rng_state()
    classifier = train_classifier(ImageSet(Labelled(x, {"shade": ids})), 256, "shade", 2, steps=8)
    assert bars == ["classifier of shade"]
    assert not classifier.training
    assert classifier.accuracy(x, ids) == 1
    assert torch.equal(torch.get_rng_state(), before)
