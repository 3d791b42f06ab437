"""Speech with named conditions, as a Lightning data module."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from condgen.conditioning import DataCondition
from condgen.data.batch import Batch, NoExamples, Split, as_is, splits_of
from condgen.data.class_order import ordered
from condgen.data.clips import Clip, SpeechSource
from condgen.data.decoding import LONGEST
from condgen.data.faults import NAMED, for_each_group
from condgen.data.features import FrameFeature, ReferenceFeature, as_reference
from condgen.data.headers import check_headers
from condgen.data.hyperparameters import store_hyperparameters
from condgen.data.levels import Normalise
from condgen.data.others import Others
from condgen.data.padding import padded, padded_lengths, padding_told
from condgen.data.recordings import RecordingReader
from condgen.data.resumable import Order, ResumableLoader, TrainingRows, batches_given, generator_of, shuffled
from condgen.data.store import ClipStore, require_clips, store_name, write_store
from condgen.described import described
from condgen.quantization import Companding, Quantization

FORMAT = 5  # raise it when the stored content changes for the same settings


class SpeechSet(Dataset[Batch]):
    """Prepared clips, fetched a batch at a time: whole, or a random crop of each.

    Args:
        store: store of the clips.
        features: frame features of the store by the name of their condition.
        crop: samples of each clip to score; `None` for all.
        context: samples before a crop that are given but not scored.
        lookahead: samples after a crop that are given but not scored.
        unit: grid of crops in samples: each begins at a multiple of it, so that frames and samples stay aligned.
        silence: level that pads shorter clips; padding is not scored.
        length: samples of every example: the beginning of a longer clip, or a clip and silence; `None` for whole clips.
        beginnings: share of crops that are taken from the beginning of their clip, besides those that fall there.
        padded_to: lengths of batches in rising order: each is padded to the first that holds its longest clip; none for
            no more padding than that clip needs.
        others: choice of the other clip in which a feature is measured that is not one of the clip itself, by the name
            of its condition; see `condgen.data.features.ReferenceFeature`.
    """

    def __init__(
        self,
        store: ClipStore,
        features: dict[str, FrameFeature],
        crop: int | None,
        context: int,
        lookahead: int,
        unit: int,
        silence: int,
        length: int | None = None,
        beginnings: float = 0.0,
        padded_to: np.ndarray | None = None,
        others: Mapping[str, Others] | None = None,
    ) -> None:
        self.length, self.beginnings, self.others = length, beginnings, dict(others or {})
        self.padded_to = np.zeros(0, int) if padded_to is None else padded_to
        self.store, self.features, self.crop, self.context = store, features, crop, context
        self.lookahead, self.unit, self.silence = lookahead, unit, silence

    def __len__(self) -> int:
        return len(self.store.files)

    @property
    def lengths(self) -> np.ndarray:
        """Samples of each clip, (clips,)."""
        return np.diff(self.store.ends)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        windows = [self._window(int(self.lengths[i]), generator_of(i, "crop")) for i in indices]
        longest = self.length or padded(max(end - begin for begin, _, _, end in windows), self.padded_to)
        levels = torch.full((len(indices), 1, longest), self.silence, dtype=torch.long)
        scored = torch.zeros(len(indices), longest, dtype=torch.bool)
        own = {name: feature for name, feature in self.features.items() if name not in self.others}
        frames = {name: torch.zeros(len(indices), f.size, longest // f.hop) for name, f in own.items()}
        for row, (i, (begin, first, last, end)) in enumerate(zip(indices, windows, strict=True)):
            offset = int(self.store.ends[i])
            levels[row, 0, : end - begin] = _copied(self.store.levels[offset + begin : offset + end])
            scored[row, first - begin : last - begin] = True
            for name, f in own.items():
                cut = self.store.frames[name][(offset + begin) // f.hop : (offset + end) // f.hop]
                frames[name][row, :, : len(cut)] = _copied(cut).T
        ids = {name: torch.from_numpy(values[list(indices)]) for name, values in self.store.ids.items()}
        shown = {name: self._shown(name, choose(indices)) for name, choose in self.others.items()}
        return Batch(levels, {**ids, **frames, **shown}, scored)

    def _shown(self, name: str, rows: Sequence[int]) -> Tensor:
        """Return the frames of other clips, (rows, size, frames): always as many, with zeros behind the last."""
        feature = cast(ReferenceFeature, self.features[name])
        frames = torch.zeros(len(rows), feature.size, feature.longest)
        for i, row in enumerate(rows):
            begin, end = (int(place) // feature.hop for place in self.store.ends[row : row + 2])
            cut = self.store.frames[name][begin : min(end, begin + feature.longest)]
            frames[i, :, : len(cut)] = _copied(cut).T
        return frames

    def _window(self, length: int, rng: torch.Generator | None) -> tuple[int, int, int, int]:
        """Choose where a crop begins, where scoring begins and ends, and where the crop ends."""
        length = min(length, self.length or length)
        if self.crop is None or length <= self.crop:
            return 0, 0, length, length
        # Drawn also from beyond both ends and moved inside; otherwise the ends of clips would hardly ever be scored.
        place = int(torch.randint(-self.crop // self.unit, length // self.unit + 1, (), generator=rng))
        beginning = float(torch.rand((), generator=rng)) < self.beginnings
        first = 0 if beginning else min(max(0, self.unit * place), length - self.crop)
        last = first + self.crop
        return max(0, first - self.context), first, last, min(length, last + self.lookahead)


def by_length(lengths: np.ndarray, batch_size: int) -> Order:
    """Return an order in which the clips of a batch are of similar length, and the batches are shuffled.

    Args:
        lengths: samples of each clip, (clips,).
        batch_size: clips per batch, of all processes together.
    """

    def order(rng: torch.Generator) -> list[int]:
        drawn = torch.randperm(len(lengths), generator=rng).numpy()
        pool = 50 * batch_size
        runs = [drawn[i : i + pool] for i in range(0, len(drawn), pool)]
        ordered = np.concatenate([run[np.argsort(lengths[run], kind="stable")] for run in runs])
        batches = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
        # The last batch may be short; it stays last, otherwise all batches after it would be cut differently.
        places = [*torch.randperm(len(batches) - 1, generator=rng).tolist(), len(batches) - 1]
        return [int(row) for i in places for row in batches[i]]

    return order


@described
class Speech(pl.LightningDataModule):
    """Batches of speech: levels (batch, 1, time), conditions, and a mask of the samples that are scored.

    The first use of a source prepares its clips (reads, trims, normalises, measures and quantizes them) and stores the
    result; later uses with the same settings and files map it into memory.

    Args:
        source: source of the clips.
        sample_rate: samples per second.
        levels: whole levels per sample.
        companding: spacing of the levels of amplitude: `mu_law` or `linear`.
        features: frame features by the name of their condition.
        resample: conversion of clips with another rate, done if true; otherwise such clips are refused.
        normalise: kind of normalisation: `peak`, `loudness` or `none`; see `RecordingReader`.
        trim: threshold in dB below the peak; quieter parts at either end of a clip are dropped. `None` to drop nothing.
        remove_dc: removal of each clip's mean, before all else, done if true.
        mono: mean of the channels, taken if true; otherwise files of several channels are refused.
        longest: seconds that a file may last; longer ones are refused before they are decoded.
        crop: samples of each clip to score in training, a random run; `None` for whole clips.
        context: samples before a crop that are given but not scored; at least the model's receptive field.
        lookahead: samples after a crop that are given but not scored, for encoders that look at neighbouring frames.
        beginnings: share of crops that are taken from the beginning of their clip, besides those that fall there by
            chance. Every sample that is drawn begins as a clip does, while of crops a few in a hundred would.
        length: samples of every example, for adversarial generators: the beginning of a longer clip, or a clip
            followed by silence, which is not scored. `None` for whole clips or crops.
        batch_size: clips per batch.
        num_workers: processes that load; clips are mapped into memory, so 0 is fast.
        cache: folder for prepared clips.
        class_names: names of the classes by condition, in the order of their ids, where that is not the source's: a
            model may know more classes than the source has, or in another order.
    """

    def __init__(
        self,
        source: SpeechSource,
        sample_rate: int = 16000,
        levels: int = 256,
        companding: Companding = "mu_law",
        features: dict[str, FrameFeature] | None = None,
        resample: bool = False,
        normalise: Normalise = "peak",
        trim: float | None = None,
        remove_dc: bool = True,
        mono: bool = False,
        longest: float = LONGEST,
        crop: int | None = None,
        context: int = 0,
        lookahead: int = 0,
        beginnings: float = 0.25,
        length: int | None = None,
        batch_size: int = 8,
        num_workers: int = 0,
        cache: str = "data/prepared",
        class_names: dict[str, list[str]] | None = None,
    ) -> None:
        super().__init__()
        store_hyperparameters(self)
        self.names = ordered(source.names, class_names or {})
        self.source, self.features = source, dict(features or {})
        self.sample_rate, self.levels, self.companding = sample_rate, levels, companding
        self.quantization = Quantization(levels, companding)
        self.reader = RecordingReader(sample_rate, resample, normalise, trim, remove_dc, mono, longest)
        twice = sorted(set(self.features) & set(source.names))
        if twice:
            raise ValueError(f"{', '.join(twice)} is the name of a feature and of a class; rename the feature")
        for name, feature in self._references.items():
            if feature.of not in source.names:
                raise ValueError(f"feature '{name}' shows another clip of the same {feature.of}, and the data have no "
                                 f"'{feature.of}'; they have {', '.join(source.names) or 'no classes'}")  # fmt: skip
        self.unit = math.lcm(*(feature.hop for feature in self.features.values()))
        for name, samples, least in (("crop", crop, 1), ("context", context, 0), ("lookahead", lookahead, 0),
                                     ("length", length, 1)):  # fmt: skip
            if samples is not None and samples < least:
                raise ValueError(f"{name} {samples} is not at least {least}")
            if samples is not None and samples % self.unit:
                raise ValueError(f"{name} {samples} is not a multiple of {self.unit}, the samples of a whole frame")
        if not 0 <= beginnings <= 1:
            raise ValueError(f"beginnings {beginnings} is not a share between 0 and 1")
        if length is not None and crop is not None:
            raise ValueError(
                f"length {length} and crop {crop} cannot both be given: examples have a fixed length or are crops"
            )
        self.crop, self.context, self.lookahead, self.length = crop, context, lookahead, length
        self.beginnings = beginnings
        self.seed: int | None = None
        self.batch_size, self.num_workers = batch_size, num_workers
        self.cache = Path(cache)
        self.stores: dict[Split, ClipStore] = {}

    @property
    def conditions(self) -> dict[str, DataCondition]:
        """The conditions that clips have, by name: classes and frame features."""
        classes = {name: DataCondition(names, given="class") for name, names in self.names.items()}
        # The frames of another clip are not in time with the audio.
        return classes | {n: DataCondition(f.names, f.size, None if n in self._references else f.hop, f.given)
                          for n, f in self.features.items()}  # fmt: skip

    @property
    def _references(self) -> dict[str, ReferenceFeature]:
        """The features that are measured in another clip, by name."""
        found = {name: as_reference(feature) for name, feature in self.features.items()}
        return {name: feature for name, feature in found.items() if feature is not None}

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Channels and samples of an example; `None` if examples differ in length."""
        return None if self.length is None else (1, self.length)

    def prepare_data(self) -> None:
        """Prepare what the trainer's stage needs and is not yet stored.

        Raises:
            Faults: clips are bad. All splits were tried, and the good clips are kept for a second call.
        """
        splits = splits_of(self.trainer.state.fn if self.trainer else None)
        for split in splits:
            self._clips(split)  # an empty one is found before another is prepared
        for_each_group(self._prepare, splits)

    def setup(self, stage: str | None = None) -> None:
        """Map what the stage needs (`fit`, `validate`, `test`, or everything) into memory."""
        for split in splits_of(stage):
            if split not in self.stores:
                self.read(split)
        if stage == "fit" and self.length is None:
            rank_zero_info(padding_told(self._held("train"), self.padded_lengths("train")))

    def read(self, split: Split) -> None:
        """Map one split into memory, prepared before if it is not yet stored.

        Raises:
            NoExamples: it has no clips.
            Faults: clips are bad; the message names them.
        """
        self.stores[split] = ClipStore.open(self._prepare(split))

    def _clips(self, split: Split) -> list[Clip]:
        clips = self.source.clips(split)
        if not clips:
            raise NoExamples(f"the {split} split of {type(self.source).__name__} has no clips")
        return clips

    def _prepare(self, split: Split) -> Path:
        clips = self._clips(split)
        settings = {
            "format": FORMAT, "reader": {k: v for k, v in vars(self.reader).items() if k != "longest"},
            "levels": self.levels, "companding": self.companding, "names": self.names,
            "features": {n: [type(f).__name__, _settings(f)] for n, f in self.features.items()}, "unit": self.unit,
        }  # fmt: skip
        require_clips(clips)
        kind = f"{type(self.source).__name__.lower()}-{split}"
        folder = self.cache / f"{kind}-{store_name(clips, settings)}"
        if not folder.exists():
            check_headers(clips, self.reader)
            if not self.cache.exists():
                rank_zero_info(f"prepared clips are kept in a new folder, {self.cache.absolute()}, for later runs; "
                               "--data.cache DIR names another place")  # fmt: skip
            write_store(folder, clips, self.reader, self.quantization, self.features, self.names, self.unit,
                        f"preparing {split}", self.cache / f".{kind}-{store_name([], settings)}")  # fmt: skip
            self._say_what_was_done(split, ClipStore.open(folder))
        return folder

    def _say_what_was_done(self, split: Split, store: ClipStore) -> None:
        seconds, dropped, mixed = len(store.levels) / self.sample_rate, store.dropped.sum(), (store.channels > 1).sum()
        why = "" if self.reader.trim is None else f"trimming at {self.reader.trim:g} dB and "
        down = f"; {mixed} of several channels were mixed down to one" if mixed else ""
        rank_zero_info(f"{split}: {len(store.files)} clips, {seconds:.0f} s; {why}cutting to whole frames dropped "
                       f"{dropped:.1f} s ({dropped / (seconds + dropped):.1%}){down}")  # fmt: skip
        silent = [store.files[i] for i in np.flatnonzero(store.silent)]
        if silent:
            more = f" and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
            rank_zero_warn(f"{split}: silence, no peak above −80 dB, in {len(silent)} of {len(store.files)} clips; its "
                           f"level stays: {', '.join(silent[:NAMED])}{more}")  # fmt: skip

    def class_ids(self, split: Split) -> dict[str, Tensor]:
        """Return the class ids of one split by condition, (clips,) each, after `setup`."""
        return {name: torch.from_numpy(np.array(ids)) for name, ids in self.stores[split].ids.items()}

    def dataset(self, split: Split, padded_to: np.ndarray | None = None) -> SpeechSet:
        """Return one split, after `setup`; only training is cropped. For `padded_to`, see `SpeechSet`."""
        crop, store = self.crop if split == "train" else None, self.stores[split]
        others = {name: Others(torch.from_numpy(np.array(store.ids[feature.of])), self.names[feature.of],
                               split == "train", f"the {split} split, by {feature.of},")
                  for name, feature in self._references.items()}  # fmt: skip
        return SpeechSet(
            store, self.features, crop, self.context, self.lookahead, self.unit, self.quantization.silence, self.length,
            self.beginnings, padded_to, others,
        )  # fmt: skip

    def padded_lengths(self, split: Split) -> np.ndarray:
        """Return the lengths of the batches of a split's loader, after `setup`, in rising order."""
        return padded_lengths(self._held(split)) if self.length is None else np.array([self.length])

    def _held(self, split: Split) -> np.ndarray:
        """Return how many samples of each clip a batch may hold, of all splits at hand: they share their lengths."""
        lengths = np.concatenate([np.diff(store.ends) for store in self.stores.values()])
        crop = self.crop if split == "train" else None
        return lengths if crop is None else np.minimum(lengths, self.context + crop + self.lookahead)

    def state_dict(self) -> dict[str, int | None]:
        """Return the seed of the training order, so that a resumed run continues in the same order."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, int | None]) -> None:
        """Take the seed of the training order from a checkpoint."""
        self.seed = state_dict["seed"]

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._loader("test")

    def _loader(self, split: Split) -> DataLoader[Batch]:
        data = self.dataset(split, self.padded_lengths(split))
        lengths = data.lengths if data.crop is None else np.minimum(data.lengths, data.crop)
        options: dict[str, Any] = {"batch_size": self.batch_size, "collate_fn": as_is, "num_workers": self.num_workers,
                                   "persistent_workers": self.num_workers > 0,
                                   # So that copies to the device overlap with its work.
                                   "pin_memory": torch.cuda.is_available()}  # fmt: skip
        if split != "train":
            return DataLoader(data, sampler=np.argsort(lengths, kind="stable").tolist(), **options)
        self.seed = torch.initial_seed() if self.seed is None else self.seed
        processes = 1 if self.trainer is None else self.trainer.world_size
        order = by_length(lengths, self.batch_size * processes) if self.length is None else shuffled(len(data))
        rows = TrainingRows(len(data), order, self.seed, self.batch_size, self.trainer)
        return ResumableLoader(data, lambda: batches_given(self.trainer), sampler=rows, **options)


def _settings(feature: FrameFeature) -> dict[str, Any]:
    """Return what decides the frames of a feature, without a record of how it was built."""
    return {name: value for name, value in vars(feature).items() if not name.startswith("_")}


def _copied(array: np.ndarray) -> Tensor:
    """Copy a stretch out of a read-only memory map."""
    return torch.from_numpy(np.array(array))
