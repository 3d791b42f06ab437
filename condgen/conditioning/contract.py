"""What the rest of condgen requires of an encoder, and the check that an object fulfils such a contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, cast

from torch import Tensor

Scope = Literal["global", "local", "spatial"]
Given = Literal["class", "audio", "text", "length", "caption", "picture", "reference", "array"]
KINDS: dict[Given, str] = {"class": "a class", "caption": "words", "picture": "a picture", "reference": "a recording"}
Contract = TypeVar("Contract")


@dataclass(frozen=True)
class DataCondition:
    """What a data module says about a condition that it provides.

    Attributes:
        names: names of the classes, phonemes or words in the order of their ids; `None` if there are none.
        size: numbers per frame; `None` for a condition without frames.
        hop: samples of audio per frame; `None` for a condition without frames.
        given: source that `condgen sample` makes the condition from: the name of a `class`; an `audio` file, of which
            every frame is rendered; a `text`; only the `length`; a `caption`; a `picture`; a `reference`, a recording
            that shows a voice; or an `array`.
        channels: channels of a map; `None` for a condition that is none.
        factor: ratio of an image's size to the map's.
    """

    names: list[str] | None = None
    size: int | None = None
    hop: int | None = None
    given: Given = "array"
    channels: int | None = None
    factor: int = 1

    @property
    def kind(self) -> str:
        """The kind of condition, in words."""
        return KINDS.get(self.given) or ("an array" if self.size is None else "frames")


def require_condition(name: str, known: Mapping[str, DataCondition]) -> DataCondition:
    """Return what data say about a condition of a model.

    Raises:
        ValueError: the data do not give it; the message says what they give, and what to do.
    """
    if name not in known:
        raise ValueError(f"the model has the condition '{name}', which the data do not give; they give: "
                         f"{', '.join(known) or 'none'}. Leave '{name}' out of model.conditions, or use data that "
                         "have it")  # fmt: skip
    return known[name]


class Encoder(Protocol):
    """Turns one condition into features: an `nn.Module` that maps (batch, …) to (batch, features, *size).

    Attributes:
        features: channels of the result.
        scope: `global`, `local` (frames) or `spatial` (a map).
        classes: number of classes if it takes class ids, else `None`.
        names: names of the classes, or of the entries of a vector; `None` if it takes no names on the command line.
        around: frames to either side that a frame's features depend on; 0 if there are no frames.
        named_axes: axis along which the names lie, by parameter, such as 0 for the rows of `embedding.weight`; empty if
            no parameter belongs to a name. `--weights` carries these over by name.
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
    @property
    def named_axes(self) -> Mapping[str, int]: ...
    def __call__(self, condition: Tensor) -> Tensor: ...

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Return the constructor's arguments, with those that are left out filled in where the data know them."""
        ...

    def check(self, data: DataCondition, hop: int) -> None:
        """Raise a ValueError that says what differs if the data do not fit; `hop` is the network's."""
        ...

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Parse a word of the command line into pairs of a label and a condition without the batch axis.

        Raises:
            ValueError: the word is not valid; the message continues "condition 'NAME' " and says what is.
        """
        ...


class TokenEncoder(Encoder, Protocol):
    """An encoder that also gives a state per token, such as the words of a caption, to be attended to."""

    def states(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a generator attends to.

        Args:
            condition: tensor of the condition, as the encoder itself takes it.

        Returns:
            states: features per token, (batch, features, tokens).
            present: booleans, (batch, tokens): false for what only pads a row to the longest.
        """
        ...


class PictureEncoder(Encoder, Protocol):
    """An encoder of whole pictures, (batch, channels, height, width) of numbers from 0 to 1, such as files hold.

    Attributes:
        channels: channels of the pictures.
        smallest: least height and width.
    """

    @property
    def channels(self) -> int: ...
    @property
    def smallest(self) -> int: ...


def members(contract: type) -> list[str]:
    """List the public members that a Protocol and those it extends require, sorted."""
    declared = [name for part in contract.__mro__ if part is not object and part.__module__ != "typing"
                for name in (*vars(part).get("__annotations__", {}), *vars(part))]  # fmt: skip
    return sorted({name for name in declared if not name.startswith("_")})


def missing(candidate: object, contract: type) -> list[str]:
    """List the members of a Protocol that an object lacks."""
    return [name for name in members(contract) if not hasattr(candidate, name)]


def require(candidate: object, contract: type[Contract]) -> Contract:
    """Return an object that fulfils a contract.

    Args:
        candidate: object to check.
        contract: Protocol that it must fulfil.

    Raises:
        ValueError: it lacks members; the message names all of them and says where they are described.
    """
    lacks = missing(candidate, contract)
    if lacks:
        raise ValueError(
            f"{type(candidate).__name__} has no {', '.join(lacks)}, which the contract {contract.__name__} requires; "
            f"{contract.__module__} says what each means"
        )
    return cast(Contract, candidate)
