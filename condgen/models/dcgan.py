"""The networks of a conditional DCGAN, for images and for audio, for every conditioning mechanism.

Sources: Radford et al., "Unsupervised Representation Learning with DCGAN", 2016; Mirza and Osindero, "Conditional
Generative Adversarial Nets", 2014 (concatenation); Donahue et al., "Adversarial Audio Synthesis" (WaveGAN), 2019, for
the body in one dimension.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm as normalise_spectrum

from condgen.conditioning.film import FIXED, FiLM, Film, GammaBeta, Norm, film_layers
from condgen.conditioning.self_conditioning import SelfConditioned, SqueezeExcitation
from condgen.described import described
from condgen.models.dcgan_body import Make, Padding, body
from condgen.quantization import Companding, Quantization

NORM: tuple[Make, Make] = (nn.BatchNorm1d, nn.BatchNorm2d)


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
