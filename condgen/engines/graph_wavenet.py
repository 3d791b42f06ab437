"""The graph engine for WaveNet: one step over rings that stay where they are.

What a layer hears from the past is known before the step begins. So the past taps of all layers are one gather and one
batched product; only the present tap, the gate and the residual go layer by layer; the skip paths are one product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from condgen.conditioning import Film
from condgen.engines import raster
from condgen.engines.draw import Draw, Temper
from condgen.engines.folding import Folded, Places, apply, apply_before, fold
from condgen.engines.graph import Replayed, how
from condgen.engines.rings import Rings
from condgen.engines.tape import Tape, Turns, chooser, turn_size
from condgen.engines.unaltered import altered_wavenet, head_of
from condgen.models import WaveNet
from condgen.models.convolutions import bias_of, gate
from condgen.models.wavenet import WaveNetState


@dataclass(frozen=True)
class GraphWaveNet:
    """The engine; see `condgen.engines.choice.Engine`.

    Attributes:
        network: network that it read.
        weights: weights, laid out for whole products.
    """

    network: WaveNet
    weights: Weights

    @property
    def how(self) -> str:
        """Say how it runs."""
        return how(self.network)

    @classmethod
    def obstacle(cls, network: WaveNet, temper: Temper) -> str | None:
        """Say why it cannot run a network, if it cannot."""
        return altered_wavenet(network)

    @classmethod
    def prepare(cls, network: WaveNet) -> GraphWaveNet:
        """Lay a network's weights out."""
        return cls(network, Weights.of(network))

    def fill(self, film: Film, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
        """Draw a canvas; see `condgen.engines.choice`."""
        return raster.fill(self, self.network, film, canvas, steps, draw)

    def resume(self, film: Film, state: WaveNetState, values: Tensor | None) -> GraphWaveNetRun:
        """Go on from a state; see `condgen.engines.choice`."""
        film = self.network.checked(film)
        heard = torch.zeros_like(state.past[0][-1]) if values is None else self.network._entered(values[:, 0])
        now = fold_frames(self.network, film, range(state.step, state.step + 1))
        return GraphWaveNetRun(self, film, now, Rings.of(self.network, state), heard, state.step)


@dataclass(frozen=True)
class GraphWaveNetRun:
    """A run; see `condgen.engines.choice.Run`.

    Attributes:
        engine: engine that runs it.
        film: (γ, β) per FiLM layer for the whole clip.
        folded: folded parameters of the frame that it began with.
        rings: last inputs of each layer.
        heard: input of the first layer at the next step, (batch, channels).
        step: step that comes next.
        turn: number of steps between two reports of the device to Python.
    """

    engine: GraphWaveNet
    film: Film
    folded: Folded
    rings: Rings
    heard: Tensor
    step: int
    turn: int = 1

    def advance(self, steps: range, draw: Draw) -> tuple[Tensor, GraphWaveNetRun]:
        """Take some steps more."""
        network, device, dtype = self.engine.network, self.heard.device, self.heard.dtype
        local = network.frames(self.film) > 0
        size = turn_size(steps, bytes_per_step(network, len(draw.noise), local))
        tape = Tape.blank(network.output, len(draw.noise), steps.start, size, dtype, device)
        window = Window(network, self.film, self.folded, size)
        rings, h = replace(self.rings, bank=self.rings.bank.clone()), self.heard.clone()
        step = stepper(self.engine, rings, window, tape, h, chooser(draw, tape, steps.stop))
        run, turns, values = Replayed(step, device), Turns(steps, size, device, self.turn), []
        for turn in turns:
            tape.begin(turn)
            window.show(turn)
            run(len(turn))
            values.append(tape.keep(turn, draw))
        after = replace(self, rings=rings, heard=h, step=steps.stop, turn=turns.size)
        return torch.cat(values, dim=-1), after

    def state(self) -> WaveNetState:
        """Return the network's state."""
        return self.rings.state(self.step)


def bytes_per_step(network: WaveNet, rows: int, local: bool) -> float:
    """Estimate what a step of a turn takes in buffers: its parameters and, if there are frames, its share of these."""
    features = 3 * len(network.layers) * network.layers[0].conv.weight.shape[1] / network.hop if local else 0
    return float(rows * (network.output.parameters + features) * head_of(network)[0].weight.element_size())


class Window:
    """The frames of FiLM parameters that a turn lies in.

    Args:
        network: network that they belong to.
        film: (γ, β) per FiLM layer for the whole clip.
        folded: parameters of one frame.
        size: largest number of steps in a turn.
    """

    def __init__(self, network: WaveNet, film: Film, folded: Folded, size: int) -> None:
        self.network, self.film, self.hop = network, film, network.hop
        self.local = network.frames(film) > 0
        self.places = Places(folded, (size - 1) // self.hop + 2 if self.local else 1)

    def show(self, turn: range) -> None:
        """Move on to a turn."""
        if self.local:
            self.places.load(fold_frames(self.network, self.film, turn))

    def at(self, tape: Tape) -> Folded:
        """Pick the parameters of the next step, (layers, batch or 1, 2 · hidden)."""
        return self.places.at(tape.step // self.hop - tape.first // self.hop)


def fold_frames(network: WaveNet, film: Film, turn: range) -> Folded:
    """Fold the frames of FiLM parameters that a turn lies in; one that is global serves all."""
    frames, layers = slice(turn.start // network.hop, (turn.stop - 1) // network.hop + 1), network.layers
    framed = [network.film_of(film, i).frames(frames) for i in range(len(layers))]
    return fold(framed, [bias_of(layer.conv) for layer in layers], layers[0].film.norm != "none")


@dataclass(frozen=True)
class Weights:
    """The weights, laid out for whole products.

    Attributes:
        past: weights of all taps but the present one, (layers, taps · channels, 2 · hidden).
        present: weights of the present tap, (channels, 2 · hidden) per layer.
        residual: weight, (hidden, channels), and bias of the residual path, per layer except the last.
        skip: weights of the skip paths of all layers, scaled, (layers · hidden, skip).
        skip_bias: sum of the skip paths' biases, scaled, (skip,).
    """

    past: Tensor
    present: list[Tensor]
    residual: list[tuple[Tensor, Tensor]]
    skip: Tensor
    skip_bias: Tensor

    @classmethod
    def of(cls, network: WaveNet) -> Weights:
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
    engine: GraphWaveNet, rings: Rings, window: Window, tape: Tape, h: Tensor, choose: Callable[[Tensor], Tensor]
) -> Callable[[], None]:
    """Return a function that draws the next sample; `h`, (batch, channels), is what the first layer hears next."""
    network, weights, film = engine.network, engine.weights, engine.network.layers[0].film
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
