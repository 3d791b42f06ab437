"""Images of whole levels with named conditions, as a Lightning data module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from condgen.conditioning import DataCondition
from condgen.conditioning.contract import missing, require
from condgen.data.batch import Batch, NoExamples, Split, as_is, splits_of
from condgen.data.class_order import ordered, renumbered
from condgen.data.faults import for_each_group
from condgen.data.features import FrameFeature
from condgen.data.hyperparameters import store_hyperparameters
from condgen.data.others import Others
from condgen.data.resumable import ResumableLoader, TrainingRows, batches_given, generator_of, shuffled
from condgen.described import described


class Labelled(NamedTuple):
    """One split of a source.

    Attributes:
        x: levels, (images, channels, height, width), uint8.
        conditions: class ids per condition, (images,) each.
        binarize: binarization at every fetch, done if true: each pixel is 1 with probability level / 255.
        captions: ids of words per caption, (images, tokens) each, with 0 behind the last; see `CaptionedSource`.
    """

    x: Tensor
    conditions: dict[str, Tensor]
    binarize: bool = False
    captions: Mapping[str, Tensor] = {}  # a proxy could go to no other process


def as_labelled(found: object, whose: str) -> Labelled:
    """Return what a source loaded as `Labelled`: (levels, {condition: class ids}), in a tuple or a list.

    Args:
        found: answer of `load`.
        whose: words for the split and its source, in errors.

    Raises:
        ValueError: it is something else, or there are not as many ids as images; the message says what belongs there.
    """
    parts = list(found) if isinstance(found, tuple | list) else [found]
    x, given = [*parts, None][:2]
    named = isinstance(given, Mapping) and all(isinstance(ids, Tensor) for ids in given.values())
    if len(parts) not in (2, 3, 4) or not isinstance(x, Tensor) or x.ndim != 4 or not named:
        kinds = ", ".join(f"{tuple(p.shape)}" if isinstance(p, Tensor) else type(p).__name__ for p in parts)
        raise ValueError(f"{whose} is to be levels, (images, channels, height, width), and {{condition: class ids}}, "
                         f"tensors all; this one is ({kinds}); see condgen.data.Labelled")  # fmt: skip
    captions = cast(Mapping[str, Tensor], [*parts, {}, {}][3])
    labelled = Labelled(x, dict(cast(Mapping[str, Tensor], given)), any(parts[2:3]), captions)
    for name, ids in (labelled.conditions | dict(labelled.captions)).items():
        if len(ids) != len(x):
            raise ValueError(f"{whose} has {len(x)} images and {len(ids)} class ids of '{name}': one per image")
    return labelled


class ImageSource(Protocol):
    """A source of images. Its constructor reads no more than it needs to know their shape; `load` reads them.

    Attributes:
        shape: channels, height and width.
        levels: whole levels per channel.
        names: class names per condition, in the order of their ids.
    """

    shape: tuple[int, int, int]
    levels: int
    names: dict[str, list[str]]

    def load(self, split: Split) -> Labelled:
        """Read one split."""
        ...


class CaptionedSource(ImageSource, Protocol):
    """A source of images that captions describe.

    Attributes:
        words: words that occur, per caption, in the order of their ids, which begin with 1.
    """

    words: dict[str, list[str]]


def words_of(source: ImageSource) -> dict[str, list[str]]:
    """Return the words of a source's captions; none of a source without captions."""
    return {} if missing(source, CaptionedSource) else cast(CaptionedSource, source).words


class ImageSet(Dataset[Batch]):
    """Images in memory, fetched a batch at a time.

    Args:
        images: levels and class ids.
        thumbnail: side of the squares averaged for the condition `thumbnail`; 0 for none. See `Images`.
        others: choice of the other image that is the condition `picture`; `None` for none.
        levels: whole levels per channel, which `picture` is divided by.
    """

    def __init__(self, images: Labelled, thumbnail: int = 0, others: Others | None = None, levels: int = 256) -> None:
        self.images, self.thumbnail, self.others, self.levels = images, thumbnail, others, levels

    def __len__(self) -> int:
        return len(self.images.x)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        rows = torch.as_tensor(indices)
        x, ids = self._fetched(indices, "levels"), {**self.images.conditions, **self.images.captions}
        conditions = {name: of[rows] for name, of in ids.items()}
        if self.thumbnail:
            conditions["thumbnail"] = F.avg_pool2d(x.float(), self.thumbnail)
        if self.others is not None:
            conditions["picture"] = self._fetched(self.others(indices), "picture").float() / (self.levels - 1)
        return Batch(x, conditions)

    def _fetched(self, rows: Sequence[int], purpose: str) -> Tensor:
        """Return levels, binarized if that is to be done."""
        x = self.images.x[torch.as_tensor(rows)]
        if not self.images.binarize:
            return x
        drawn = [torch.rand(x.shape[1:], generator=generator_of(row, purpose)) for row in rows]
        return (torch.stack(drawn) * 255 < x).byte()


def few_of_each(images: Labelled, count: int) -> Labelled:
    """Keep so many images of each class, or of each combination of classes, drawn once and for all.

    A larger number keeps all that a smaller one does.
    """
    drawn = torch.randperm(len(images.x), generator=torch.Generator().manual_seed(0))
    ids = torch.stack([torch.zeros_like(drawn), *images.conditions.values()], 1)[drawn]
    _, kinds = ids.unique(dim=0, return_inverse=True)
    kept = torch.cat([drawn[kinds == kind][:count] for kind in kinds.unique()]).sort().values
    conditions, captions = ({name: of[kept] for name, of in part.items()}
                            for part in (images.conditions, images.captions))  # fmt: skip
    return images._replace(x=images.x[kept], conditions=conditions, captions=captions)


@described
class Images(pl.LightningDataModule):
    """Batches of images: (levels (batch, channels, height, width), {condition: (batch, …)}).

    Args:
        source: source of the images.
        batch_size: images per batch.
        thumbnail: side of the squares over which the image is averaged for the condition `thumbnail`; 0 for no such
            condition. A model with a `FeatureMap` of that name learns to enlarge images.
        num_workers: processes that load; images are in memory, so 0 is fast.
        examples_per_class: number of training examples kept of each class, to see what a model makes of few; all if
            left out.
        class_names: names of the classes by condition, in the order of their ids, where that is not the source's: a
            model may know more classes than the source has, or in another order.
        picture_of: class condition for the condition `picture`: another image of the same class, with numbers from 0
            to 1, drawn anew whenever an example is trained on; left out, there is no such condition. A model with an
            `ImageEncoder` of that name is shown what to draw, and not told.
    """

    sample_rate = None
    crop = None
    features: ClassVar[Mapping[str, FrameFeature]] = {}  # images have no frames

    def __init__(
        self,
        source: ImageSource,
        batch_size: int = 64,
        thumbnail: int = 0,
        num_workers: int = 0,
        examples_per_class: int | None = None,
        class_names: dict[str, list[str]] | None = None,
        picture_of: str | None = None,
    ) -> None:
        super().__init__()
        require(source, ImageSource)
        store_hyperparameters(self)
        self.names = ordered(source.names, class_names or {})
        _, height, width = source.shape
        if thumbnail < 0 or (thumbnail and (height % thumbnail or width % thumbnail)):
            raise ValueError(f"thumbnail {thumbnail} does not divide images of {height} × {width}")
        if examples_per_class is not None and examples_per_class < 1:
            raise ValueError(f"examples_per_class {examples_per_class} is not at least 1")
        if picture_of is not None and picture_of not in source.names:
            raise ValueError(f"picture_of '{picture_of}' is no class condition of the data; those are: "
                             f"{', '.join(source.names) or 'none'}")  # fmt: skip
        self.examples_per_class, self.picture_of = examples_per_class, picture_of
        self.source, self.batch_size, self.thumbnail, self.num_workers = source, batch_size, thumbnail, num_workers
        self.splits: dict[Split, Labelled] = {}
        self.seed: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.source.shape

    @property
    def levels(self) -> int:
        """Whole levels per channel."""
        return self.source.levels

    @property
    def conditions(self) -> dict[str, DataCondition]:
        """The conditions that examples have, by name."""
        found = {name: DataCondition(names, given="class") for name, names in self.names.items()}
        found |= {name: DataCondition(words, given="caption") for name, words in words_of(self.source).items()}
        if self.thumbnail:
            found["thumbnail"] = DataCondition(channels=self.shape[0], factor=self.thumbnail)
        if self.picture_of:
            found["picture"] = DataCondition(channels=self.shape[0], given="picture")
        return found

    def setup(self, stage: str | None = None) -> None:
        """Read what the stage needs (`fit`, `validate`, `test`, or everything).

        Raises:
            Faults: images are bad. All these splits were tried.
        """
        for_each_group(self.read, [split for split in splits_of(stage) if split not in self.splits])

    def read(self, split: Split) -> None:
        """Read one split.

        Raises:
            NoExamples: it has no images.
        """
        whose = f"the {split} split of {type(self.source).__name__}"
        loaded = as_labelled(self.source.load(split), whose)
        if split == "train" and not len(loaded.x):
            raise NoExamples(f"{whose} has no images")
        # A source may give ids of 8 bits, in which 256 is no number.
        wide = {name: ids.long() for name, ids in loaded.conditions.items()}
        loaded = loaded._replace(conditions=renumbered(wide, self.source.names, self.names))
        few = self.examples_per_class if split == "train" else None
        self.splits[split] = loaded if few is None else few_of_each(loaded, few)

    def class_ids(self, split: Split) -> dict[str, Tensor]:
        """Return the class ids of one split by condition, (images,) each, after `setup`."""
        return self.splits[split].conditions

    def dataset(self, split: Split) -> ImageSet:
        """Return one split, after `setup`."""
        images, of = self.splits[split], self.picture_of
        others = None if of is None else Others(images.conditions[of], self.names[of], split == "train",
                                                f"the {split} split, by {of},")  # fmt: skip
        return ImageSet(images, self.thumbnail, others, self.levels)

    def state_dict(self) -> dict[str, int | None]:
        """Return the seed of the training order, so that a resumed run continues in the same order."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, int | None]) -> None:
        """Take the seed of the training order from a checkpoint."""
        self.seed = state_dict["seed"]

    def train_dataloader(self) -> DataLoader[Batch]:
        data = self.dataset("train")
        self.seed = torch.initial_seed() if self.seed is None else self.seed
        return ResumableLoader(
            data,
            lambda: batches_given(self.trainer),
            batch_size=self.batch_size,
            sampler=TrainingRows(len(data), shuffled(len(data)), self.seed, self.batch_size, self.trainer),
            collate_fn=as_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),  # so that copies to the device overlap with its work
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._loader("test")

    def _loader(self, split: Split) -> DataLoader[Batch]:
        return DataLoader(
            self.dataset(split),
            batch_size=self.batch_size,
            collate_fn=as_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),  # so that copies to the device overlap with its work
        )
