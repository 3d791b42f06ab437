"""The tape: what a device draws on its own, many steps a turn, and where it is in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from condgen.distributions import OutputFamily
from condgen.engines.draw import Draw

TURN = 0.1  # seconds after which Python hears from the device
MOST = 2048  # steps a turn
BYTES = 2**28  # that a turn's buffers take, roughly


@dataclass(frozen=True)
class Tape:
    """Buffers that stay where they are, so that a captured step finds them.

    Attributes:
        step: step that comes next, (1,).
        first: step that the turn began with, (1,).
        parameters: parameters of each step of the turn, (steps, rows, parameters per step).
        values: values drawn from them, (steps, rows, channels per step).
    """

    step: Tensor
    first: Tensor
    parameters: Tensor
    values: Tensor

    @classmethod
    def blank(
        cls, output: OutputFamily, rows: int, first: int, size: int, dtype: torch.dtype, device: torch.device
    ) -> Tape:
        """Make a tape for turns of at most `size` steps, the first of which begins at some step."""
        at = torch.full((1,), first, device=device)
        parameters, channels = output.parameters // output.groups, output.channels // output.groups
        return cls(
            at.clone(),
            at.clone(),
            torch.zeros(size, rows, parameters, dtype=dtype, device=device),
            torch.zeros(size, rows, channels, dtype=torch.long, device=device),
        )

    def begin(self, turn: range) -> None:
        """Set the counters to the beginning of a turn."""
        self.step.fill_(turn.start)
        self.first.fill_(turn.start)

    def write(self, parameters: Tensor, values: Tensor) -> None:
        """Record a step, (rows, parameters or channels per step)."""
        here = self.step - self.first
        self.parameters.index_copy_(0, here, parameters[None])
        self.values.index_copy_(0, here, values[None])

    def keep(self, turn: range, draw: Draw) -> Tensor:
        """Score a turn; return its values, (batch, channels per step, steps)."""
        rows = len(draw.noise)
        parameters, values = (x[: len(turn), :rows].permute(1, 2, 0) for x in (self.parameters, self.values))
        return draw.keep(turn, parameters, values).clone()


def chooser(draw: Draw, tape: Tape, stop: int) -> Callable[[Tensor], Tensor]:
    """Return a function that draws a step's values on the device and records them; see `Draw.__call__`."""
    known, given = by_step(draw, stop)

    def choose(parameters: Tensor) -> Tensor:
        values = draw.choose(parameters, draw.noise.index_select(1, tape.step - draw.first_noise)[:, 0])
        if known is not None and given is not None:
            values = torch.where(known.index_select(0, tape.step), given.index_select(0, tape.step)[0], values)
        tape.write(parameters, values)
        return values

    return choose


def by_step(draw: Draw, stop: int) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Lay out what is given by steps: whether it is known, (steps,), and levels, (steps, rows or 1, channels per step).

    Where nothing is given, both are `None`.
    """
    if draw.given is None:
        return None, None
    levels, device = draw.given.levels, draw.noise.device
    known = torch.zeros(stop, dtype=torch.bool, device=device)
    given = torch.zeros(stop, len(levels), levels.shape[1] // draw.groups, dtype=torch.long, device=device)
    marks = torch.tensor(draw.given.known, dtype=torch.bool, device=device).repeat_interleave(draw.groups)[:stop]
    steps = levels.unflatten(1, (draw.groups, -1)).permute(3, 1, 0, 2).flatten(0, 1)[: len(marks)]
    known[: len(marks)], given[: len(marks)] = marks, steps
    return known, given


class Turns:
    """Cuts steps into turns of about a tenth of a second, and waits for the device after each.

    Args:
        steps: steps to cut.
        most: largest number of steps in a turn.
        device: device to wait for.
        size: steps of the first turn; afterwards, steps of the turn that would come next.
    """

    def __init__(self, steps: range, most: int, device: torch.device, size: int = 1) -> None:
        self.steps, self.most, self.device, self.size = steps, most, device, size

    def __iter__(self) -> Iterator[range]:
        start = self.steps.start
        while start < self.steps.stop:
            begin = time.perf_counter()
            turn = range(start, min(start + min(self.size, self.most), self.steps.stop))
            yield turn
            wait(self.device)
            start, seconds = turn.stop, max(time.perf_counter() - begin, 1e-6)
            self.size = max(1, min(2 * len(turn), int(len(turn) * TURN / seconds)))


def wait(device: torch.device) -> None:
    """Wait for a device. Else Python would run ahead: the bar would show what is only queued, and Ctrl-C would wait."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def turn_size(steps: range, bytes_per_step: float) -> int:
    """Say how many steps a turn may have."""
    return min(len(steps), max(1, min(MOST, int(BYTES / bytes_per_step))))
