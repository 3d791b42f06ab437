"""What the rest of condgen asks of an encoder; and whether an object keeps a contract, said in one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, cast

from torch import Tensor

Scope = Literal["global", "local", "spatial"]
Contract = TypeVar("Contract")


@dataclass(frozen=True)
class DataCondition:
    """What data say of a condition that they give.

    Attributes:
        names: names of the classes, or of the phonemes, in the order of their ids; `None` where there are neither.
        size: numbers per frame; `None` but for frames.
        hop: samples of audio per frame; `None` but for frames.
        given: what it is made from when one samples: the name of a `class`, an `audio` file, a `text`, the `length`
            alone, or an `array`.
    """

    names: list[str] | None = None
    size: int | None = None
    hop: int | None = None
    given: Literal["class", "audio", "text", "length", "array"] = "array"


class Encoder(Protocol):
    """Turns one condition into features: an `nn.Module` that maps (batch, …) to (batch, features, *size).

    Attributes:
        features: channels of the result.
        scope: `global`, `local` (frames) or `spatial` (a map).
        classes: number of classes, where it takes class ids; else `None`.
        names: names of the classes, or of the entries of a vector; `None` where it takes none on the command line.
        around: frames to either side that a frame's features depend on; 0 where there are no frames.
    """

    @property
    def features(self) -> int: ...
    @property
    def scope(self) -> Scope: ...
    @property
    def classes(self) -> int | None: ...
    @property
    def names(self) -> list[str] | None: ...
    @property
    def around(self) -> int: ...
    def __call__(self, condition: Tensor) -> Tensor: ...

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Return its constructor's arguments, with what they leave out and the data know filled in."""
        ...

    def check(self, data: DataCondition, hop: int) -> None:
        """Refuse data that do not fit with a ValueError that says what differs; `hop` is the network's."""
        ...

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Read a word of the command line: pairs of a label and a condition without the batch axis.

        Raises:
            ValueError: it cannot; the message goes on after "condition 'NAME' ", and names what can be said.
        """
        ...


def members(contract: type) -> list[str]:
    """List the public members that a Protocol and those it extends ask for, sorted."""
    declared = [name for part in contract.__mro__ if part is not object and part.__module__ != "typing"
                for name in (*vars(part).get("__annotations__", {}), *vars(part))]  # fmt: skip
    return sorted({name for name in declared if not name.startswith("_")})


def missing(candidate: object, contract: type) -> list[str]:
    """List the members of a Protocol that an object lacks."""
    return [name for name in members(contract) if not hasattr(candidate, name)]


def require(candidate: object, contract: type[Contract]) -> Contract:
    """Return an object that keeps a contract.

    Args:
        candidate: object to look at.
        contract: Protocol that it has to keep.

    Raises:
        ValueError: it lacks members; the message names all of them, and where they are described.
    """
    lacks = missing(candidate, contract)
    if lacks:
        raise ValueError(
            f"{type(candidate).__name__} has no {', '.join(lacks)}, which a {contract.__name__} needs; "
            f"{contract.__module__} says what each means"
        )
    return cast(Contract, candidate)
