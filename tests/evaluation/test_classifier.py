"""The classifier: any image size, and one class for each image."""

import torch

from condgen.evaluation.classifier import ImageClassifier


def test_the_classifier_takes_any_image_size_and_reads_a_class():
    classifier = ImageClassifier((3, 9, 7), 256, "class", 4, steps=1).eval()
    features, read = classifier.classify(torch.randint(0, 256, (5, 3, 9, 7)))
    assert features.shape == (5, 64)
    assert read.shape == (5,)
    assert 0 <= classifier.accuracy(torch.randint(0, 256, (5, 3, 9, 7)), read) <= 1
