"""Recordings that are given one by one, as a source: all of them are for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from condgen.data.batch import NoExamples, Split
from condgen.data.clips import Clip


class GivenClips:
    """Clips that somebody has listed.

    Args:
        clips: clips.
        names: names of the classes by condition, in the order of their ids.
    """

    def __init__(self, clips: Sequence[Clip], names: Mapping[str, Sequence[str]]) -> None:
        self._clips = list(clips)
        self.names = {name: list(known) for name, known in names.items()}
        self.phonemes = sorted({phoneme.symbol for clip in clips for phoneme in clip.phonemes or ()})

    def clips(self, split: Split) -> list[Clip]:
        """List one split.

        Raises:
            NoExamples: it has no clips.
        """
        if split != "train" or not self._clips:
            raise NoExamples(f"there are no clips for the {split} split")
        return list(self._clips)
