"""An independent classifier: trained only on real training data, it reads what a model generates."""

from __future__ import annotations

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler
from tqdm import tqdm

from condgen.data.batch import as_is
from condgen.data.images import ImageSet


class ImageClassifier(nn.Module):
    """A small convolutional network. Its last hidden layer gives the features for distances.

    Args:
        shape: channels, height and width of the images.
        levels: whole levels per channel.
        condition: condition whose classes it reads.
        classes: number of classes.
    """

    def __init__(self, shape: tuple[int, int, int], levels: int, condition: str, classes: int) -> None:
        super().__init__()
        self.levels, self.condition, self.classes = levels, condition, classes
        channels, height, width = shape
        if min(height, width) < 4:
            raise ValueError(f"images of {height} × {width} are too small for the classifier, which needs 4 × 4")
        self.hidden = nn.Sequential(
            *_block(channels, 32), *_block(32, 64), nn.MaxPool2d(2), *_block(64, 64), nn.MaxPool2d(2), nn.Flatten(),
            nn.Dropout(0.3), nn.Linear(64 * (height // 4) * (width // 4), 64), nn.ReLU(),
        )  # fmt: skip
        self.output = nn.Linear(64, classes)

    def features(self, x: Tensor) -> Tensor:
        """Map levels (batch, channels, height, width) to the last hidden layer, (batch, 64)."""
        return self.hidden(x.float() * (2 / (self.levels - 1)) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map levels (batch, channels, height, width) to logits, (batch, classes)."""
        return self.output(self.features(x))

    @torch.no_grad()
    def classify(self, x: Tensor, batch_size: int = 500) -> tuple[Tensor, Tensor]:
        """Read images: features (images, 64) and the most probable class of each, (images,)."""
        features = torch.cat([self.features(part) for part in x.split(batch_size)])
        return features, self.output(features).argmax(1)

    def accuracy(self, x: Tensor, asked: Tensor) -> float:
        """Return the share of images read as the class asked for."""
        return float((self.classify(x)[1] == asked).double().mean())


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


def shift(x: Tensor) -> Tensor:
    """Shift each batch by at most a pixel, so that the classifier does not depend on exact positions."""
    down, right = torch.randint(-1, 2, (2,)).tolist()
    return torch.roll(x, (down, right), dims=(2, 3))


def train_classifier(
    data: ImageSet, levels: int, condition: str, classes: int, steps: int = 1000, seed: int = 0
) -> ImageClassifier:
    """Train a classifier on real images.

    Args:
        data: real training images with class ids.
        levels: whole levels per channel.
        condition: condition to read.
        classes: number of its classes.
        steps: training steps, of 128 images each, over which the learning rate falls to 0.
        seed: seed of the weights and the order.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = tuple(data.images.x.shape[1:])
        classifier = ImageClassifier(shape, levels, condition, classes)  # type: ignore[arg-type]
        sampler = RandomSampler(data, replacement=True, num_samples=steps * 128)
        loader = DataLoader(data, batch_size=128, sampler=sampler, collate_fn=as_is)
        optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        others = rank_zero_only.rank != 0  # type: ignore[attr-defined]  # of several processes, which all do this
        for x, conditions, _ in tqdm(loader, f"classifier of {condition}", delay=2, leave=False, disable=others):
            loss = F.cross_entropy(classifier(shift(x)), conditions[condition].long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return classifier.eval()
