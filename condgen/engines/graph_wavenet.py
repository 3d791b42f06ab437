"""The graph engine for WaveNet: one step over rings that stay where they are.

What a layer hears from the past is known before the step begins. So the past taps of all layers are one gather and one
batched product; only the present tap, the gate and the residual go layer by layer; the skip paths are one product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from condgen.conditioning import Film, FiLMParameters
from condgen.engines.draw import Draw
from condgen.engines.folding import Folded, Places, apply, apply_before, fold
from condgen.engines.graph import Replayed
from condgen.engines.rings import Rings
from condgen.engines.tape import Tape, chooser, turn_size, turns
from condgen.models.convolutions import gate
from condgen.models.wavenet import WaveNetState


def advance(
    network: Any, film: FiLMParameters, state: WaveNetState, values: Tensor | None, steps: range, draw: Draw
) -> tuple[Tensor, WaveNetState]:
    """Draw a run of samples; see `condgen.engines.choice`."""
    weight, rows = network.head[1].weight, len(draw.noise)
    size = turn_size(steps, bytes_per_step(network, rows, network.frames(film) > 0))
    tape = Tape.blank(network, rows, steps, size, weight.dtype, weight.device)
    window = Window(network, film, size, steps.start)
    rings = Rings.of(network, state)
    h = torch.zeros_like(state.past[0][-1]) if values is None else network._entered(values[:, 0]).clone()
    step = stepper(network, rings, window, tape, h, chooser(draw, tape, steps.stop))
    run, drawn = Replayed(step, weight.device), []
    for turn in turns(steps, size, weight.device):
        tape.begin(turn)
        window.show(turn)
        run(len(turn))
        drawn.append(tape.keep(turn, draw))
    return torch.cat(drawn, dim=-1), rings.state(steps.stop)


def bytes_per_step(network: Any, rows: int, local: bool) -> float:
    """Estimate what a step of a turn takes in buffers: its parameters and, if there are frames, its share of these."""
    features = 3 * len(network.layers) * network.layers[0].conv.weight.shape[1] / network.hop if local else 0
    return float(rows * (network.output.parameters + features) * network.head[1].weight.element_size())


class Window:
    """The frames of FiLM parameters that a turn lies in.

    Args:
        network: the network.
        film: (γ, β) per FiLM layer for the whole clip.
        size: steps of a turn, at most.
        first: the step that the first turn begins with.
    """

    def __init__(self, network: Any, film: FiLMParameters, size: int, first: int) -> None:
        self.network, self.film, self.hop = network, network.checked(film), network.hop
        self.local = network.frames(film) > 0
        frames = (size - 1) // self.hop + 2 if self.local else 1
        self.places = Places(fold_frames(network, self.film, range(first, first + 1)), frames)

    def show(self, turn: range) -> None:
        """Move on to a turn."""
        if self.local:
            self.places.load(fold_frames(self.network, self.film, turn))

    def at(self, tape: Tape) -> Folded:
        """Pick the parameters of the next step, (layers, batch or 1, 2 · hidden)."""
        return self.places.at(tape.step // self.hop - tape.first // self.hop)


def fold_frames(network: Any, film: Film, turn: range) -> Folded:
    """Fold the frames of FiLM parameters that a turn lies in; one that is global serves all."""
    frames, layers = slice(turn.start // network.hop, (turn.stop - 1) // network.hop + 1), network.layers
    framed = [network.film_of(film, i).frames(frames) for i in range(len(layers))]
    return fold(framed, [layer.conv.bias for layer in layers], layers[0].film.norm != "none")


@dataclass(frozen=True)
class Weights:
    """The weights, laid out for whole products.

    Attributes:
        past: of all taps but the present one, (layers, taps · channels, 2 · hidden).
        present: of the present tap, (channels, 2 · hidden) per layer.
        residual: weight, (hidden, channels), and bias per layer, but for the last layer.
        skip: of all layers, scaled, (layers · hidden, skip).
        skip_bias: their sum, scaled, (skip,).
    """

    past: Tensor
    present: list[Tensor]
    residual: list[tuple[Tensor, Tensor]]
    skip: Tensor
    skip_bias: Tensor

    @classmethod
    def of(cls, network: Any) -> Weights:
        """Take them from a network."""
        layers, scale = network.layers, network.skip_scale
        out = [(layer.output.weight, layer.output.bias, layer.channels) for layer in layers]
        return cls(
            torch.stack([layer.conv.weight[:-1].transpose(1, 2).flatten(0, 1) for layer in layers]),
            [layer.conv.weight[-1].T for layer in layers],
            [(weight[:channels].T, bias[:channels]) for weight, bias, channels in out[:-1]],
            torch.cat([weight[channels:].T for weight, _, channels in out]) * scale,
            torch.stack([bias[channels:] for _, bias, channels in out]).sum(0) * scale,
        )


def stepper(
    network: Any, rings: Rings, window: Window, tape: Tape, h: Tensor, choose: Callable[[Tensor], Tensor]
) -> Callable[[], None]:
    """Return a function that draws the next sample; `h`, (batch, channels), is what the first layer hears next."""
    weights, film = Weights.of(network), network.layers[0].film
    normalise = film.normalise if film.norm != "none" else None

    def step() -> None:
        folded, x, heard, gated = window.at(tape), h, [], []
        before = apply_before(torch.bmm(rings.past(tape.step), weights.past), folded, normalise is not None)
        for i, present in enumerate(weights.present):
            heard.append(x)
            gated.append(gate(apply(before, x, present, folded, i, normalise), -1))
            if i < len(weights.residual):
                weight, bias = weights.residual[i]
                x = torch.addmm(x, gated[-1], weight) + bias
        rings.write(tape.step, torch.stack(heard))
        parameters = network.head(torch.addmm(weights.skip_bias, torch.cat(gated, dim=1), weights.skip))
        h.copy_(network._entered(choose(parameters)[:, 0]))
        tape.step.add_(1)

    return step
