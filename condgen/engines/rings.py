"""Rings: the last inputs of WaveNet's layers in one buffer, each layer's written round and round in its own part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from condgen.models import WaveNet
from condgen.models.wavenet import WaveNetState


@dataclass(frozen=True)
class Rings:
    """A ring per layer: what the layer heard at step t stands in slot t mod its length.

    Attributes:
        bank: inputs in the slots of all layers, (slots, rows, channels).
        firsts: slot that each ring begins with, (layers,).
        lengths: lengths of the rings, (layers,).
        backs: steps that each past tap of a layer looks back, furthest first, (layers, taps).
        reaches: steps that the furthest tap of each layer looks back.
    """

    bank: Tensor
    firsts: Tensor
    lengths: Tensor
    backs: Tensor
    reaches: list[int]

    @classmethod
    def of(cls, network: WaveNet, state: WaveNetState, spare: int = 0) -> Rings:
        """Lay a state out, with some spare slots in each ring."""
        last, layers = state.past[0][-1], network.layers
        reaches = [layer.conv.reach for layer in layers]
        taps = range(layers[0].conv.kernel_size - 1, 0, -1)
        backs = torch.tensor([[tap * layer.conv.dilation for tap in taps] for layer in layers])
        lengths = torch.tensor(reaches) + spare
        bank = last.new_zeros(int(lengths.sum()), *last.shape)
        firsts = lengths.cumsum(0) - lengths
        rings = cls(bank, firsts.to(last.device), lengths.to(last.device), backs.to(last.device), reaches)
        for slots, past in zip(rings.slots(state.step), state.past, strict=True):
            bank[slots] = torch.stack(past)
        return rings

    def slots(self, step: int) -> list[Tensor]:
        """List where each layer's last inputs before a step stand, oldest first."""
        device = self.bank.device
        starts = zip(self.firsts.tolist(), self.lengths.tolist(), self.reaches, strict=True)
        return [first + torch.arange(step - reach, step, device=device) % length for first, length, reach in starts]

    def state(self, step: int) -> WaveNetState:
        """Return the state before a step."""
        return WaveNetState(step, tuple(self.bank[slots].unbind() for slots in self.slots(step)))

    def past(self, step: Tensor) -> Tensor:
        """Gather what every tap hears at a step, (1,): (layers, batch, taps · channels)."""
        slots = self.firsts[:, None] + (step - self.backs) % self.lengths[:, None]
        heard = self.bank.index_select(0, slots.flatten()).unflatten(0, slots.shape)
        return heard.transpose(1, 2).flatten(2)

    def write(self, step: Tensor, heard: Tensor) -> None:
        """Keep what every layer heard at a step, (layers, batch, channels)."""
        self.bank.index_copy_(0, self.firsts + step % self.lengths, heard)
