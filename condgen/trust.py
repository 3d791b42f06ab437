"""What a checkpoint may name. A checkpoint is data, and the classes in it are looked at before anything is imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

TASKS = ("condgen.training.LikelihoodTask", "condgen.training.AdversarialTask")
DATA_MODULES = ("condgen.data.Images", "condgen.data.Speech")
# The classes that may stand in the arguments of tasks and data modules, by the argument. None of them takes other
# classes, so that their own arguments are numbers, words and lists of these.
NETWORKS = ("condgen.models.PixelCNN", "condgen.models.WaveNet", "condgen.models.Generator",
            "condgen.models.Discriminator")  # fmt: skip
PARTS = {
    "network": NETWORKS,
    "discriminator": NETWORKS,
    "conditions": tuple(
        f"condgen.conditioning.{name}"
        for name in ("ClassEmbedding", "FeatureVector", "FeatureMap", "FrameSequence", "LinguisticSequence")
    ),
    "source": tuple(
        f"condgen.data.{name}"
        for name in ("CIFAR10", "MNIST", "Digits", "FashionMNIST", "Folder", "VCTK", "AudioFolder", "Espeak",
                     "FreeSpokenDigits", "LJSpeech", "Manifest", "SpeechCommands")
    ),
    "features": ("condgen.data.Linguistic", "condgen.data.MelSpectrogram", "condgen.data.Position"),
}  # fmt: skip
SEVERAL = ("conditions", "features")  # mappings from names to classes
INSTANTIATOR = "pytorch_lightning.cli.instantiate_module"  # what Lightning's own command line writes


class Named(NamedTuple):
    """A class that a checkpoint names.

    Attributes:
        path: class path.
        argument: argument that the class stands in.
        allowed: classes of condgen that may stand there.
    """

    path: str
    argument: str
    allowed: tuple[str, ...]

    @property
    def module(self) -> str:
        """Module of the class."""
        return self.path.rpartition(".")[0] or self.path

    def is_trusted(self, trust: Iterable[str]) -> bool:
        """Tell whether the class is of a trusted module, or of one inside it."""
        return any(self.module == module or self.module.startswith(f"{module}.") for module in trust)


def check(settings: Mapping[str, Any], classes: tuple[str, ...], trust: Iterable[str] = ()) -> list[Named]:
    """Check the arguments of a task or a data module as plain data.

    Args:
        settings: arguments by name; `_class_path` names the class itself.
        classes: classes of condgen that `_class_path` may name.
        trust: modules, any class of which may be named.

    Returns:
        The classes that are of trusted modules.

    Raises:
        ValueError: another class is named, or something stands where a class should; the message says what to do.
    """
    if settings.get("_instantiator", INSTANTIATOR) != INSTANTIATOR:
        raise ValueError(
            f"names {settings['_instantiator']!r} as what builds its classes: nothing of condgen writes that"
        )
    named = [*_named({"class_path": settings.get("_class_path")}, "_class_path", classes)]
    for argument, value in settings.items():
        if argument in PARTS and value is not None:
            for part in _parts(argument, value):
                if not isinstance(part, Mapping) or "class_path" not in part:
                    raise ValueError(f"names no class in {argument}, but {part!r}: nothing of condgen writes that")
        named += _named(value, argument, PARTS.get(argument, ()))
    foreign = [found for found in named if found.path not in found.allowed]
    for found in foreign:
        if not found.is_trusted(trust):
            raise ValueError(
                f"names the class {found.path} in {found.argument}, which is not one of condgen's for that: if you "
                f'know this class and trust it, add --trust {found.module} (in Python trust=["{found.module}"])'
            )
    return foreign


def _parts(argument: str, value: Any) -> list[Any]:
    return list(value.values()) if argument in SEVERAL and isinstance(value, Mapping) else [value]


def _named(tree: Any, argument: str, allowed: tuple[str, ...]) -> Iterator[Named]:
    """Find the classes that plain data name, at every depth; also in words that would be read as such data."""
    if isinstance(tree, Mapping):
        if "class_path" in tree:
            yield Named(str(tree["class_path"]), argument, allowed)
        for value in tree.values():
            yield from _named(value, argument, allowed)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _named(value, argument, allowed)
    elif isinstance(tree, str) and "class_path" in tree:
        yield Named(tree, argument, ())
