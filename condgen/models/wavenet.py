"""WaveNet with global and local conditions.

Source: van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016 (sections by their numbers there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm as normalise_weight

from condgen.conditioning.film import (
    FIXED,
    FiLM,
    Film,
    GammaBeta,
    Norm,
    check_parameters,
    film_layers,
    require_causal,
)
from condgen.described import described
from condgen.distributions import Output, output_family
from condgen.models.convolutions import CausalConv1d, gate
from condgen.quantization import Companding, Quantization


class ConditionConv(nn.Module):
    """What a condition adds after a layer's convolution when it is concatenated to the layer's input.

    Before the start of a clip the audio is padded with zeros, but the condition with its first frame. So a global
    condition adds a constant, and concatenation equals a bias.

    Args:
        features: channels of the condition's features.
        out_channels: output channels of the layer's convolution.
        kernel_size: taps of the layer's convolution.
        dilation: dilation of the layer's convolution.
        hop: positions per frame; conditions with frames need 1, because the taps of one position would see two frames.
    """

    def __init__(self, features: int, out_channels: int, kernel_size: int, dilation: int, hop: int) -> None:
        super().__init__()
        self.conv, self.hop = CausalConv1d(features, out_channels, kernel_size, dilation, bias=False), hop

    def forward(self, z: Tensor) -> Tensor:
        """Map (batch, features) to (batch, out_channels), or (batch, features, time) to (batch, out_channels, time)."""
        if z.ndim == 2:
            return F.linear(z, self.conv.weight.sum(0))
        if self.hop != 1:
            raise ValueError("conditioning 'concat' needs local conditions at the sample rate: set the network's hop "
                             f"(now {self.hop}) to 1 and multiply the encoder's factor by {self.hop}")  # fmt: skip
        held = torch.cat([z[..., :1].expand(-1, -1, self.conv.reach), z], dim=-1)
        return self.conv(held.transpose(1, 2)).transpose(1, 2)[..., self.conv.reach :]


class GatedLayer(nn.Module):
    """One layer: dilated causal convolution, FiLM, gate, then 1 × 1 to the residual and the skip path (section 2.3).

    With `conditioning: bias` this is z = tanh(W_f ∗ x + V_f h) ⊙ σ(W_g ∗ x + V_g h) of section 2.5.

    Args:
        channels: channels of the residual path.
        hidden: features after the gate; half of those before it.
        skip: channels of the skip path.
        kernel_size: taps of the convolution.
        dilation: positions between two taps.
        residual: residual path, present if true; the last layer feeds only the skip path.
        hop: positions per frame of local conditions.
        norm: normalisation before FiLM.
        dropout: share of gated features set to zero in training.
        weight_norm: weight normalisation, used if true: length and direction of the weights are learned separately.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        skip: int,
        kernel_size: int,
        dilation: int,
        residual: bool,
        hop: int,
        norm: Norm,
        dropout: float,
        weight_norm: bool,
    ) -> None:
        super().__init__()
        self.channels = channels if residual else 0
        like = partial(ConditionConv, out_channels=2 * hidden, kernel_size=kernel_size, dilation=dilation, hop=hop)
        self.conv = CausalConv1d(channels, 2 * hidden, kernel_size, dilation)
        self.film = FiLM(2 * hidden, norm, dims=1, like=like, hop=hop)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, self.channels + skip)
        if weight_norm:
            normalise_weight(self.conv, dim=1)
            normalise_weight(self.output)

    def forward(self, x: Tensor, film: GammaBeta) -> tuple[Tensor, Tensor]:
        """Map (batch, time, channels) to the next layer's input, of the same shape, and (batch, time, skip)."""
        y = self.film(self.conv(x).transpose(1, 2), film).transpose(1, 2)
        return self._paths(x, self.output(self.dropout(gate(y, -1))))

    def step(self, x: Tensor, past: tuple[Tensor, ...], film: GammaBeta) -> tuple[Tensor, Tensor]:
        """Map one position, (batch, channels), with the convolution's past inputs; see `CausalConv1d.step`."""
        y = self.film(self.conv.step(x, past)[..., None], film)[..., 0]
        return self._paths(x, self.output(gate(y)))

    def _paths(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if not self.channels:
            return x, y
        residual, skip = y.split([self.channels, y.shape[-1] - self.channels], dim=-1)
        return x + residual, skip


@dataclass(frozen=True)
class WaveNetState:
    """What `WaveNet.step` carries from one step to the next. A value: a step returns a new one and copies no tensor.

    Attributes:
        step: number of steps taken.
        past: last inputs of each layer, oldest first, each (batch, channels).
    """

    step: int
    past: tuple[tuple[Tensor, ...], ...]

    def select(self, rows: Tensor) -> WaveNetState:
        """Select some rows of the batch."""
        return WaveNetState(self.step, tuple(tuple(x[rows] for x in layer) for layer in self.past))

    def tensors(self) -> dict[str, Tensor]:
        """Return the state as plain tensors, to be saved."""
        return {"step": torch.tensor(self.step)} | {
            f"past.{i}": torch.stack(layer) for i, layer in enumerate(self.past)
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> WaveNetState:
        """Rebuild a state from what `tensors` returned."""
        layers = sum(name.startswith("past.") for name in tensors)
        if not layers:
            raise ValueError("there are no layers in it")
        return cls(int(tensors["step"]), tuple(tensors[f"past.{i}"].unbind() for i in range(layers)))


@described
class WaveNet(nn.Module):
    """WaveNet: whole levels of a waveform to the parameters of their output distribution.

    Args:
        levels: whole levels of each sample, such as 256 for 8 bits.
        output: `categorical` (softmax), `logistic_mixture`, or `gaussian`; the last two for many levels.
        mixtures: components of the logistic mixture.
        input: form in which the previous level enters: `embedding`, or `scalar`, a number in [−1, 1].
        channels: channels of the residual path.
        hidden: features after each gate; `None` for `channels`.
        skip: channels of the skip path; `None` for `channels`.
        head: features of the two-layer head; `None` for `skip`.
        layers: number of gated layers.
        stacks: number of runs of layers; in each run, dilations double from 1. Ignored if `dilations` is given.
        dilations: dilation of each layer, in place of `layers` and `stacks`.
        kernel_size: taps of every convolution.
        dropout: share of gated features set to zero in training.
        norm: `none` or `channel`; the norms that take statistics over positions would break causality.
        weight_norm: weight normalisation, used if true: length and direction of the weights are learned separately.
        hop: samples per frame of local conditions, after their encoders.
        sample_rate: samples per second.
        companding: spacing of the levels of amplitude: `mu_law` or `linear`.
    """

    agrees_with_data = ("levels", "sample_rate", "companding")
    dim = "sample"

    def __init__(
        self,
        levels: int = 256,
        output: Output = "categorical",
        mixtures: int = 10,
        input: Literal["embedding", "scalar"] = "embedding",
        channels: int = 64,
        hidden: int | None = None,
        skip: int | None = None,
        head: int | None = None,
        layers: int = 30,
        stacks: int = 3,
        dilations: list[int] | None = None,
        kernel_size: int = 2,
        dropout: float = 0.0,
        norm: Norm = "none",
        weight_norm: bool = False,
        hop: int = 1,
        sample_rate: int = 16000,
        companding: Companding = "mu_law",
    ) -> None:
        super().__init__()
        require_causal(norm)
        if input not in ("embedding", "scalar"):
            raise ValueError(f"unknown input '{input}'; known: embedding, scalar")
        dilations = _dilations(layers, stacks) if dilations is None else list(dilations)
        hidden, skip = (channels if size is None else size for size in (hidden, skip))
        head = skip if head is None else head
        sizes = {"channels": channels, "hidden": hidden, "skip": skip, "head": head, "kernel_size": kernel_size,
                 "hop": hop, "sample_rate": sample_rate, "mixtures": mixtures,
                 "shortest dilation": min(dilations, default=0)}  # fmt: skip
        for name, size in sizes.items():
            least = 2 if name == "kernel_size" else 1
            if size < least:
                raise ValueError(f"{name} {size} is not at least {least}")
        self.levels, self.hop, self.sample_rate, self.companding = levels, hop, sample_rate, companding
        self.quantization = Quantization(levels, companding)
        self.output = output_family(output, 1, levels, mixtures)
        self.channels = channels
        self.input = nn.Embedding(levels, channels) if input == "embedding" else nn.Linear(1, channels)
        layer = partial(GatedLayer, channels, hidden, skip, kernel_size, hop=hop, norm=norm, dropout=dropout,
                        weight_norm=weight_norm)  # fmt: skip
        last = len(dilations) - 1
        made = (layer(dilation=d, residual=i < last) for i, d in enumerate(dilations))
        self.layers = cast(Sequence[GatedLayer], nn.ModuleList(made))
        self.skip_scale = len(dilations) ** -0.5
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(skip, head), nn.ReLU(), nn.Linear(head, self.output.parameters))

    @property
    def film_layers(self) -> dict[str, FiLM]:
        """The FiLM layers by name: one in each gated layer."""
        return film_layers(self)

    def film_of(self, film: Film | None, layer: int) -> GammaBeta:
        """Return (γ, β) of a FiLM layer; both are fixed if there are none."""
        return FIXED if film is None else film.get(f"layers.{layer}.film", FIXED)

    @property
    def receptive_field(self) -> int:
        """The number of earlier samples that an output depends on."""
        return 1 + sum(layer.conv.reach for layer in self.layers)

    @property
    def receptive_field_ms(self) -> float:
        """The receptive field in milliseconds."""
        return 1000 * self.receptive_field / self.sample_rate

    @property
    def blank(self) -> int:
        """The level of silence, for positions that are not drawn."""
        return self.quantization.silence

    @staticmethod
    def frames(film: Film | None) -> int:
        """Count the frames of FiLM parameters; 0 if all are global."""
        parts = (part for pair in (film or {}).values() for part in pair.parts.values() if part.ndim > 2)
        return max((part.shape[-1] for part in parts), default=0)

    def canvas(self, length: int | None = None, film: Film | None = None) -> tuple[int, int]:
        """Return channels and samples of the audio to be drawn: `length`, or what the local conditions cover.

        Raises:
            ValueError: there is neither, or the conditions are shorter than `length`.
        """
        frames = self.frames(film)
        covered = frames * self.hop if frames else None
        if covered is None and length is None:
            raise ValueError("no local condition says how long the audio should be: give a length in samples")
        if length is not None and length < 1:
            raise ValueError(f"length {length} is not at least 1 sample")
        if covered is not None and length is not None and length > covered:
            raise ValueError(f"length {length} is more than the local conditions cover: "
                             f"{frames} frames × hop {self.hop} = {covered} samples")  # fmt: skip
        return 1, int(covered or length or 0)

    def forward(self, x: Tensor, film: Film | None = None) -> Tensor:
        """Compute the parameters of every sample from the samples before it.

        Args:
            x: levels, (batch, 1, time).
            film: (γ, β) per FiLM layer, or `None` for an unconditional pass.

        Returns:
            Parameters for `output`, (batch, parameters, time).
        """
        if x.ndim != 3 or x.shape[1] != 1:
            raise ValueError(f"this WaveNet takes levels of (batch, 1, time), not {tuple(x.shape)}")
        parameters, _ = self._run(self._shifted(x), self.checked(film))
        return parameters.transpose(1, 2)

    def _run(self, h: Tensor, film: Film) -> tuple[Tensor, list[Tensor]]:
        """Run all layers on (batch, time, channels): parameters, (batch, time, parameters); and each layer's input."""
        # At hop 1, FiLM would broadcast a single frame over all samples.
        frames, time = self.frames(film), h.shape[1]
        if frames and frames * self.hop != time:
            raise ValueError(f"the local conditions are for {frames} frames × hop {self.hop} ≠ {time} samples")
        skips: Tensor | float = 0.0
        inputs = []
        for i, layer in enumerate(self.layers):
            inputs.append(h)
            h, skip = layer(h, self.film_of(film, i))
            skips = skips + skip
        return self.head(skips * self.skip_scale), inputs

    def _shifted(self, x: Tensor) -> Tensor:
        """Turn levels, (batch, 1, time), into the first layer's input: the previous sample; before the first, 0."""
        return F.pad(self._entered(x[:, 0, :-1]), (0, 0, 1, 0))

    def _entered(self, levels: Tensor) -> Tensor:
        """Map levels of any shape to (*shape, channels)."""
        if isinstance(self.input, nn.Embedding):
            return self.input(levels.long())
        return self.input((levels.to(self.input.weight.dtype) * (2 / (self.levels - 1)) - 1)[..., None])

    def checked(self, film: Film | None) -> Film:
        """Refuse FiLM parameters that belong to another network, or whose local parts differ in length."""
        check_parameters(self.film_layers, film or {}, axes=3)
        parts = [part for pair in (film or {}).values() for part in pair.parts.values() if part.ndim > 2]
        frames = sorted({part.shape[-1] for part in parts})
        if len(frames) > 1:
            raise ValueError(f"FiLM parameters of {', '.join(map(str, frames))} frames: all must be equally long")
        return film or {}

    def num_steps(self, canvas: tuple[int, ...]) -> int:
        """Count the steps that draw a canvas: one per sample."""
        return canvas[1]

    def locate(self, step: int) -> tuple[tuple[int], slice, slice]:
        """Return the time, the channels and the parameters that a step draws."""
        return (step,), slice(0, 1), slice(None)

    def start(self, batch: int) -> WaveNetState:
        """Return the state before the first step."""
        weight = next(self.head.parameters())
        zero = torch.zeros(batch, self.channels, dtype=weight.dtype, device=weight.device)
        return WaveNetState(0, tuple((zero,) * layer.conv.reach for layer in self.layers))

    def prime(self, x: Tensor, film: Film | None = None) -> WaveNetState:
        """Return the state after stepping over given levels, (batch, 1, time), computed for all of them at once."""
        film, time = self.checked(film), x.shape[-1]
        if not time:
            return self.start(len(x))
        frames = -(-time // self.hop)
        covered = {name: pair.frames(slice(frames)) for name, pair in film.items()}
        _, inputs = self._run(self._shifted(F.pad(x, (0, frames * self.hop - time))), covered)
        past = []
        for layer, h in zip(self.layers, inputs, strict=True):
            reach = layer.conv.reach
            kept = F.pad(h[:, max(0, time - reach) : time], (0, 0, max(0, reach - time), 0))
            past.append(kept.unbind(1))
        return WaveNetState(time, tuple(past))

    def step(self, values: Tensor | None, film: Film | None, state: WaveNetState) -> tuple[Tensor, WaveNetState]:
        """Compute the parameters of the next sample.

        Args:
            values: levels drawn at the previous step, (batch, 1); `None` at the first.
            film: (γ, β) per FiLM layer for the whole clip, or `None`.
            state: state that the previous step returned, `start(batch)`, or `prime(x, film)`.

        Returns:
            The parameters of this step, (batch, parameters), equal to those of `forward` at its place; and the next
            state.
        """
        film = self.checked(film) if state.step == 0 else film or {}
        h = torch.zeros_like(state.past[0][-1]) if values is None else self._entered(values[:, 0])
        skips: Tensor | float = 0.0
        past = []
        for i, layer in enumerate(self.layers):
            before = state.past[i]
            past.append((*before[1:], h) if before else ())
            h, skip = layer.step(h, before, self.film_of(film, i).at(state.step // self.hop))
            skips = skips + skip
        return self.head(skips * self.skip_scale), WaveNetState(state.step + 1, tuple(past))


def _dilations(layers: int, stacks: int) -> list[int]:
    """Divide layers into stacks, in each of which dilations double from 1."""
    if layers < 1 or stacks < 1 or layers % stacks:
        raise ValueError(f"layers {layers} do not divide into {stacks} stacks")
    return [2**i for _ in range(stacks) for i in range(layers // stacks)]
