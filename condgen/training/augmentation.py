"""Differentiable augmentation: random changes of all that a discriminator sees, so that few examples last longer.

Source: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020, section 3.3. Real and
generated examples are changed by draws of one distribution, in the discriminator's loss and in the generator's, and
gradients flow through. Where real examples alone were changed, the generator would learn the changes; where the
generator's loss saw none, its gradients would come from a discriminator that was never taught to judge such data.

The conditions stay as they are, which is right as long as a change leaves what they say: they are of whole examples,
classes for the most part, so that no frame and no map is moved against its data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from torch.nn import functional as F

from condgen.data.batch import ConditionedData
from condgen.models.conditional import ConditionalGenerator
from condgen.models.contract import FiLMedNetwork

Change = Literal["level", "filter", "shift", "cutout"]
# Training examples of a class, below which augmentation is on by itself. Measured: with 80 it cures a collapse; with
# 700, in a short run whose discriminator does not yet know them by heart, it costs variety. See recipes/README.md.
FEW = 200


def shift(x: Tensor, share: float) -> Tensor:
    """Move each example along each axis by up to a share of its size, and fill with 0: grey, or silence."""
    for axis in range(2, x.ndim):
        size, most = x.shape[axis], round(share * x.shape[axis])
        starts = torch.randint(2 * most + 1, (len(x), 1), device=x.device)
        padded = F.pad(x.movedim(axis, -1), (most, most))
        places = (starts + torch.arange(size, device=x.device)).reshape(-1, *(1,) * (x.ndim - 2), size)
        x = padded.gather(-1, places.expand(*padded.shape[:-1], size)).movedim(-1, axis)
    return x


def cutout(x: Tensor, share: float) -> Tensor:
    """Set a box of each example to 0, of a share of its size along each axis, anywhere: a part may lie outside."""
    inside = torch.ones_like(x[:, :1])
    for axis in range(2, x.ndim):
        size, side = x.shape[axis], round(share * x.shape[axis])
        starts = torch.randint(-(side // 2), size + 1 - (side + 1) // 2, (len(x), 1), device=x.device)
        places = torch.arange(size, device=x.device) - starts
        within = ((places >= 0) & (places < side)).to(x)
        inside = inside * within.reshape(len(x), *(size if a == axis else 1 for a in range(1, x.ndim)))
    return x * (1 - inside)


def colour(x: Tensor, strength: float) -> Tensor:
    """Change each image's brightness by up to half of ±1, its saturation up to twofold and its contrast by half."""
    brightness, saturation, contrast = (strength * uniform(x, most) for most in (0.5, 1.0, 0.5))
    x = x + brightness
    grey = x.mean(1, keepdim=True)
    x = grey + (1 + saturation) * (x - grey)
    mean = x.mean(tuple(range(1, x.ndim)), keepdim=True)
    return mean + (1 + contrast) * (x - mean)


def gain(x: Tensor, decibels: float) -> Tensor:
    """Make each example louder or softer by up to so many decibels."""
    return x * 10 ** (uniform(x, decibels) / 20)


def tilt(x: Tensor, most: float) -> Tensor:
    """Filter each waveform by a three-tap filter without delay, of gain 1 + a·cos ω with |a| up to `most`: duller or
    brighter."""
    neighbours = F.pad(x, (1, 0))[..., :-1] + F.pad(x, (0, 1))[..., 1:]
    return x + uniform(x, most) / 2 * neighbours


def uniform(x: Tensor, most: float) -> Tensor:
    """Draw a number from −most to most for each example, to be multiplied with it."""
    return most * (2 * torch.rand(len(x), *(1,) * (x.ndim - 1), device=x.device, dtype=x.dtype) - 1)


# The values of images are those of the paper's policy `color,translation,cutout`.
IMAGES: Mapping[Change, Callable[[Tensor], Tensor]] = {
    "level": partial(colour, strength=1.0),
    "shift": partial(shift, share=1 / 8),
    "cutout": partial(cutout, share=1 / 2),
}
SOUND: Mapping[Change, Callable[[Tensor], Tensor]] = {
    "level": partial(gain, decibels=6.0),
    "filter": partial(tilt, most=0.5),
    "shift": partial(shift, share=1 / 8),
    "cutout": partial(cutout, share=1 / 8),
}
USUAL: Sequence[Change] = ("level", "filter", "shift")  # of sound, whose words lose what is cut out


class Augmentation:
    """Random changes, drawn anew for every example from PyTorch's generator.

    Args:
        network: network whose data are changed: images, or sound where it has a sample rate.
        changes: names of the changes, in their order; none of them for the identity.

    Raises:
        ValueError: a change is unknown for such data, or named twice.
    """

    def __init__(self, network: FiLMedNetwork, changes: Sequence[Change]) -> None:
        known = IMAGES if network.sample_rate is None else SOUND
        for name in changes:
            if name not in known:
                kind = "images" if network.sample_rate is None else "sound"
                raise ValueError(f"augment: {kind} have no '{name}'; known: {', '.join(known)}")
        if len(set(changes)) < len(changes):
            raise ValueError(f"augment: {', '.join(changes)} names a change twice")
        self.changes = tuple(changes)
        self.functions = [known[name] for name in changes]

    def __call__(self, x: Tensor) -> Tensor:
        """Change data in [−1, 1], (batch, *shape)."""
        for function in self.functions:
            x = function(x)
        return x


def choose(model: ConditionalGenerator, data: ConditionedData | None) -> Augmentation:
    """Choose the usual changes where a class has few training examples, none elsewhere, and say so in one line.

    Where a condition is no class, nobody but the user knows which changes would contradict it (a loudness does not
    survive `level`), and there are none either.

    Args:
        model: generator that is trained.
        data: data module after `setup`; `None` where there is none.
    """
    rarest = None if data is None else fewest(model, data)
    if rarest is None or rarest[1] >= FEW or any(e.classes is None for e in model.encoders.values()):
        return Augmentation(model.network, ())
    chosen = Augmentation(model.network, tuple(IMAGES) if model.network.sample_rate is None else USUAL)
    rank_zero_info(f"augment: {', '.join(chosen.changes)} of all that the discriminator sees change at random, since "
                   f"{rarest[0]} has {rarest[1]:,} training examples, fewer than {FEW:,}; --model.augment [] for "
                   "none")  # fmt: skip
    return chosen


def fewest(model: ConditionalGenerator, data: ConditionedData) -> tuple[str, int] | None:
    """Return the class of a model that has the fewest training examples, in words, with their number.

    Classes without examples do not count; all data are one class where the model has none. `None` where there are no
    examples.
    """
    counts = {"the data set": len(data.dataset("train"))}
    ids = {name: found for name, found in data.class_ids("train").items() if name in model.encoders}
    for name, found in ids.items():
        number = torch.bincount(found, minlength=len(data.names[name])).tolist()
        counts |= {f"{name} {c}": count for c, count in zip(data.names[name], number, strict=True)}
    return min(((name, count) for name, count in counts.items() if count), key=lambda item: item[1], default=None)
