"""Class ids and the names that they stand for: what every encoder of classes knows, whatever it keeps per class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from condgen.conditioning.agreement import agree, beyond, refuse_kind, remedy
from condgen.conditioning.contract import DataCondition
from condgen.conditioning.names import find_class, split_words


@dataclass(frozen=True)
class ClassIds:
    """The classes of an encoder.

    Attributes:
        names: names of the classes, in the order of their ids.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, encoder: str, names: list[str] | None, num_classes: int | None) -> ClassIds:
        """Take the names of classes, or number them.

        Args:
            encoder: name of the encoder, for errors.
            names: names; `None` for their numbers.
            num_classes: number of classes; `None` for as many as there are names.

        Raises:
            ValueError: neither is given, or they differ.
        """
        if names is None and num_classes is None:
            raise ValueError(f"{encoder} needs the names of the classes or their number (num_classes)")
        if names is not None and num_classes not in (None, len(names)):
            raise ValueError(f"{encoder}: {len(names)} names but num_classes is {num_classes}")
        return cls(tuple(names) if names is not None else tuple(str(i) for i in range(int(num_classes or 0))))

    @staticmethod
    def completed(arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Take the names of the classes from the data if neither the names nor their number are given."""
        if arguments.get("names") is not None or arguments.get("num_classes") is not None:
            return dict(arguments)
        if data.names is None or data.kind not in ("a class", "an array"):
            raise ValueError(f"needs the names of classes, and the data give {data.kind}{remedy(data)}")
        return {**arguments, "names": data.names}

    def checked(self, ids: Tensor) -> Tensor:
        """Return ids, (batch,) of whole numbers, in 64 bits.

        Raises:
            ValueError: they are none of these classes'.
        """
        if ids.ndim != 1 or ids.is_floating_point():
            raise ValueError(f"class ids are (batch,) whole numbers; got {tuple(ids.shape)} of {ids.dtype}")
        wrong = beyond(ids, len(self.names))
        if wrong:
            raise ValueError(f"class ids {wrong} are out of range: there are {len(self.names)} classes, 0 to "
                             f"{len(self.names) - 1} ({', '.join(self.names)})")  # fmt: skip
        return ids.long()

    def check(self, data: DataCondition) -> None:
        """Compare the classes with the data's."""
        refuse_kind("a class", data, data.kind not in ("a class", "an array"))
        agree("the model's classes are", list(self.names), "the data's are", data.names)

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Read a class, a list `a,b,c` of classes, or `all`; see `condgen.conditioning.names`."""
        names = list(self.names)
        if text in names:
            return [(text, torch.tensor(names.index(text)))]
        ids = range(len(names)) if text == "all" else [find_class(names, w) for w in split_words(names, text)]
        return [(names[i], torch.tensor(i)) for i in ids]
