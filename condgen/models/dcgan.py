"""The networks of a conditional DCGAN, for images and for audio, for every conditioning mechanism.

Sources: Radford et al., "Unsupervised Representation Learning with DCGAN", 2016; Mirza and Osindero, "Conditional
Generative Adversarial Nets", 2014 (concatenation); Donahue et al., "Adversarial Audio Synthesis" (WaveGAN), 2019, for
the body in one dimension.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm as normalise_spectrum

from condgen.conditioning.film import FIXED, FiLM, Film, GammaBeta, Norm, film_layers
from condgen.conditioning.self_conditioning import SelfConditioned, SqueezeExcitation
from condgen.described import described
from condgen.quantization import Companding, Quantization

Padding = Literal["zeros", "reflect", "replicate", "circular"]
Make = Callable[..., nn.Module]
CONV: tuple[Make, Make] = (nn.Conv1d, nn.Conv2d)
CONV_TRANSPOSE: tuple[Make, Make] = (nn.ConvTranspose1d, nn.ConvTranspose2d)
NORM: tuple[Make, Make] = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Body:
    """Sizes of a DCGAN's maps: `start`, then `stride` times larger at each of `layers` layers.

    Attributes:
        shape: channels and size of the data.
        channels: channels of the largest hidden map; each smaller one has twice as many, up to eight times.
        kernel_size: kernel size of every strided convolution.
        stride: stride of every strided convolution.
        start: size of the smallest map.
        layers: number of strided convolutions.
        padding_mode: padding of strided convolutions; transposed ones always pad with zeros.
    """

    shape: tuple[int, ...]
    channels: int
    kernel_size: int
    stride: int
    start: tuple[int, ...]
    layers: int
    padding_mode: Padding = "zeros"

    @property
    def dims(self) -> int:
        """Axes of size: 1 for audio, 2 for images."""
        return len(self.shape) - 1

    def width(self, layer: int) -> int:
        """Channels of the hidden map after `layer` enlargements."""
        return self.channels * min(8, 2 ** (self.layers - 1 - layer))

    def size(self, layer: int) -> tuple[int, ...]:
        """Size of the map after `layer` enlargements."""
        return tuple(s * self.stride**layer for s in self.start)

    def up(self, in_channels: int, out_channels: int, bias: bool = True) -> nn.Module:
        """Make the transposed convolution that multiplies the size by the stride."""
        over = self.stride - self.kernel_size + 2 * self._padding
        make = CONV_TRANSPOSE[self.dims - 1]
        return make(in_channels, out_channels, self.kernel_size, self.stride, self._padding, over, bias=bias)

    def down(self, in_channels: int, out_channels: int, bias: bool = True) -> nn.Module:
        """Make the convolution that divides the size by the stride."""
        make = CONV[self.dims - 1]
        return make(in_channels, out_channels, self.kernel_size, self.stride, self._padding, bias=bias,
                    padding_mode=self.padding_mode)  # fmt: skip

    def unfold(self, in_channels: int, out_channels: int, bias: bool = True) -> nn.Module:
        """Make the transposed convolution from a single position to the smallest map: a linear map per position."""
        return CONV_TRANSPOSE[self.dims - 1](in_channels, out_channels, self.start, bias=bias)

    @property
    def _padding(self) -> int:
        return (self.kernel_size - self.stride + 1) // 2


def body(
    shape: tuple[int, ...],
    channels: int,
    kernel_size: int | None = None,
    stride: int | None = None,
    start: int = 4,
    padding_mode: Padding = "zeros",
) -> Body:
    """Fit a body to data: 4 × 4 kernels of stride 2 for images, 25 taps of stride 4 for audio, unless said otherwise.

    It begins with `start` positions or a few more: 8 × 8, 32 × 32 and 64 × 64 with 4 × 4, MNIST's 28 × 28 with 7 × 7.

    Raises:
        ValueError: no such start leads to the size, or the kernel is smaller than the stride.
    """
    size = tuple(shape[1:])
    if len(size) not in (1, 2):
        raise ValueError(f"a DCGAN takes images (channels, height, width) or audio (1, samples); got {tuple(shape)}")
    kernel_size, stride = kernel_size or (25, 4)[len(size) - 1], stride or (4, 2)[len(size) - 1]
    if stride < 2 or kernel_size < stride:
        raise ValueError(f"kernel_size {kernel_size} must be at least the stride {stride}, and that at least 2")
    for name, value in (("start", start), ("channels", channels)):
        if value < 1:
            raise ValueError(f"{name} {value} is not at least 1")
    least = start * stride
    layers = max(1, int(math.log(max(1, min(size) / start), stride) + 1e-9))
    unit = stride**layers
    if min(size) < least or any(s % unit for s in size):
        nearest = " × ".join(str(max(least, round(s / unit) * unit)) for s in size)
        raise ValueError(
            f"a DCGAN of stride {stride} and start {start} takes sizes of at least {least}, here multiples of {unit}; "
            f"got {' × '.join(map(str, size))}: resize or crop the data, to {nearest} for instance"
        )
    return Body(tuple(shape), channels, kernel_size, stride, tuple(s // unit for s in size), layers, padding_mode)


@described
class Generator(nn.Module):
    """DCGAN generator: noise to data in [−1, 1]. Linear map, normalisation, FiLM, ReLU; the last layer ends in tanh.

    Args:
        shape: channels and size of the data; one axis of size for audio, two for images.
        noise: length of the noise vector.
        channels: channels of the largest hidden map; each smaller one has twice as many, up to eight times.
        norm: normalisation before FiLM. With `batch`, `conditioning: film` is conditional batch norm.
        labels: layers on which conditions act: `every` hidden layer, or only the `first`. With `conditioning: concat`,
            `first` is the label concatenated to the noise, and `every` is the original conditional DCGAN except for
            its last layer.
        kernel_size: kernel size of the strided convolutions; `None` for 4 (images) or 25 (audio).
        stride: stride of the strided convolutions; `None` for 2 (images) or 4 (audio).
        start: least size of the smallest map, which decides the number of layers.
        levels: whole levels of the data, to which samples are rounded.
        companding: spacing of the levels of audio, `mu_law` or `linear`; see `Quantization`. Images are linear.
        sample_rate: samples of audio per second; `None` for images.
        squeeze: reduction of the squeeze-and-excitation that follows every hidden layer; 0 for none.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        noise: int = 64,
        channels: int = 32,
        norm: Norm = "batch",
        labels: Literal["first", "every"] = "every",
        kernel_size: int | None = None,
        stride: int | None = None,
        start: int = 4,
        levels: int = 256,
        companding: Companding = "linear",
        sample_rate: int | None = None,
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        if labels not in ("first", "every"):
            raise ValueError(f"unknown labels '{labels}'; known: first, every")
        if noise < 1:
            raise ValueError(f"noise {noise} is not at least 1")
        self.shape, self.noise, self.labels = tuple(shape), noise, labels
        self.quantization = Quantization(levels, companding)
        self.levels, self.companding, self.sample_rate = levels, companding, sample_rate
        audio = len(self.shape) == 2
        self.agrees_with_data = ("shape", "levels", *(("companding", "sample_rate") if audio else ()))
        self.body = fit = body(self.shape, channels, kernel_size, stride, start)
        widths = [fit.width(i) for i in range(fit.layers)]
        # A layer with a norm gets its bias from the norm or from the FiLM generator.
        plain = norm == "none"
        self.convs = nn.ModuleList([fit.unfold(noise, widths[0], plain)])
        self.convs.extend(fit.up(a, b, plain) for a, b in itertools.pairwise(widths))
        self.output = fit.up(widths[-1], fit.shape[0])
        self.films = nn.ModuleList(self._film(i, widths[i], norm) for i in range(fit.layers))
        self.squeezes = squeezes(widths, squeeze)

    def _film(self, layer: int, width: int, norm: Norm) -> nn.Module:
        """Make the layer after a convolution: FiLM, or a norm with affine where no condition acts."""
        fit = self.body
        if layer and self.labels == "first":
            return _affine(norm, width, fit.dims)
        make = fit.up if layer else fit.unfold
        like = partial(_like, make, width)
        return FiLM(width, norm, fit.dims, like=like, size=fit.size(layer - 1) if layer else (1,) * fit.dims)

    @property
    def film_layers(self) -> dict[str, FiLM]:
        """The FiLM layers by name."""
        return film_layers(self)

    def film_of(self, film: Film | None, layer: int) -> GammaBeta:
        """Return (γ, β) of a FiLM layer; see `FiLMedNetwork`."""
        return (film or {}).get(f"films.{layer}", FIXED)

    def forward(self, z: Tensor, film: Film | None = None) -> Tensor:
        """Map noise, (batch, noise), to data, (batch, *shape).

        Args:
            z: noise.
            film: (γ, β) per FiLM layer, or `None`.
        """
        x = z.reshape(*z.shape, *(1,) * self.body.dims)
        for i, (conv, layer) in enumerate(zip(self.convs, self.films, strict=True)):
            y = conv(x)
            x = torch.relu(layer(y, self.film_of(film, i)) if isinstance(layer, FiLM) else layer(y))
            x = self.squeezes[i](x) if self.squeezes else x
        return torch.tanh(self.output(x))


@described
class Discriminator(nn.Module):
    """DCGAN discriminator: data to features and a realness score. Convolution, normalisation, FiLM, leaky ReLU.

    Args:
        shape: channels and size of the data.
        channels: channels of the largest hidden map; each smaller one has twice as many, up to eight times.
        norm: normalisation before FiLM; the first layer has none. Batch norm mixes real and fake: `none` is safer.
        spectral_norm: spectral normalisation, used if true: every weight, laid out as a matrix with a row per output
            channel, is divided by its largest singular value. It bounds how steep the network is, but not by 1: taps
            that overlap let a convolution stretch its input by more than its matrix does.
        phase_shuffle: largest random shift of each hidden map in training, in positions, for audio (WaveGAN); 0 for
            none.
        kernel_size: kernel size of the convolutions; see `Generator`.
        stride: stride of the convolutions; see `Generator`.
        start: least size of the smallest map; see `Generator`.
        padding_mode: padding of the convolutions. With anything but `zeros`, `concat` is exactly `bias`.
        squeeze: reduction of the squeeze-and-excitation that follows every hidden layer; 0 for none.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: int = 32,
        norm: Norm = "none",
        spectral_norm: bool = False,
        phase_shuffle: int = 0,
        kernel_size: int | None = None,
        stride: int | None = None,
        start: int = 4,
        padding_mode: Padding = "zeros",
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        if phase_shuffle < 0:
            raise ValueError(f"phase_shuffle {phase_shuffle} is not at least 0")
        self.shape, self.phase_shuffle = tuple(shape), phase_shuffle
        self.body = fit = body(self.shape, channels, kernel_size, stride, start, padding_mode)
        widths = [fit.shape[0], *(fit.width(i) for i in reversed(range(fit.layers)))]
        norms: list[Norm] = ["none", *[norm] * (fit.layers - 1)]
        wrapped = normalise_spectrum if spectral_norm else _same
        self.convs = nn.ModuleList(
            wrapped(fit.down(a, b, n == "none")) for a, b, n in zip(widths[:-1], widths[1:], norms, strict=True)
        )
        sizes = [fit.size(i) for i in reversed(range(1, fit.layers + 1))]
        self.films = nn.ModuleList(
            FiLM(w, n, fit.dims, like=partial(_like, fit.down, w), size=size)
            for w, n, size in zip(widths[1:], norms, sizes, strict=True)
        )
        self.squeezes = squeezes(widths[1:], squeeze)
        self.features = widths[-1] * math.prod(fit.start)
        self.output = wrapped(nn.Linear(self.features, 1))

    @property
    def film_layers(self) -> dict[str, FiLM]:
        """The FiLM layers by name."""
        return film_layers(self)

    def film_of(self, film: Film | None, layer: int) -> GammaBeta:
        """Return (γ, β) of a FiLM layer; see `FiLMedNetwork`."""
        return (film or {}).get(f"films.{layer}", FIXED)

    def forward(self, x: Tensor, film: Film | None = None) -> tuple[Tensor, Tensor]:
        """Map data, (batch, *shape), to scores, (batch,), and to the flattened smallest map, (batch, features)."""
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"this discriminator takes data of {self.shape}, not of {tuple(x.shape[1:])}")
        for i, (conv, layer) in enumerate(zip(self.convs, self.films, strict=True)):
            x = F.leaky_relu(layer(conv(x), self.film_of(film, i)), 0.2)
            x = self.squeezes[i](x) if self.squeezes else x
            if self.phase_shuffle and self.training and i + 1 < len(self.convs):
                x = shuffle_phase(x, self.phase_shuffle)
        features = x.flatten(1)
        return self.output(features)[:, 0], features


def squeezes(widths: Sequence[int], reduction: int) -> nn.ModuleList:
    """Make the squeeze-and-excitation after each hidden layer, of so many channels; an empty list for reduction 0."""
    if reduction < 0:
        raise ValueError(f"squeeze {reduction} is not at least 0")
    return nn.ModuleList(SelfConditioned(SqueezeExcitation(width, reduction)) for width in widths if reduction)


def shuffle_phase(x: Tensor, most: int) -> Tensor:
    """Shift each row of (batch, channels, time) by −most … most positions, at random, reflecting at the ends.

    Source: Donahue et al., "Adversarial Audio Synthesis", 2019, section 3.3. It keeps a discriminator from recognising
    generated audio by the phase of the artefacts that transposed convolutions leave.
    """
    shifts = torch.randint(-most, most + 1, (len(x), 1, 1), device=x.device)
    places = torch.arange(x.shape[-1], device=x.device) + shifts
    last = x.shape[-1] - 1
    reflected = last - (last - places.abs()).abs()
    return x.gather(-1, reflected.expand_as(x))


def _like(make: Make, out_channels: int, in_channels: int) -> nn.Module:
    return make(in_channels, out_channels, bias=False)


def _same(module: nn.Module) -> nn.Module:
    return module


def _affine(norm: Norm, channels: int, dims: int) -> nn.Module:
    makers: dict[str, Make] = {"none": nn.Identity, "batch": partial(NORM[dims - 1], channels)}
    if norm not in makers:
        raise ValueError(f"labels 'first' goes with norm none or batch, not '{norm}'")
    return makers[norm]()
