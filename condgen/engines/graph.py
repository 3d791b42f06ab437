"""The graph engine: a step with all its state in fixed buffers on the device, captured once and replayed.

A step of a small network is hundreds of short kernels, and Python takes longer to launch each than a GPU to run it.
Captured as a CUDA graph, many steps are one launch. The step knows nothing of it: on another device it runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

WARM = 3  # runs before a capture, in which libraries choose algorithms and allocate what they need
UNROLLED = 8  # steps in one graph


def how(network: nn.Module) -> str:
    """Say how steps run."""
    return f"CUDA graphs on {next(network.parameters()).device}"


class Replayed:
    """Runs a step many times: from CUDA graphs, or as it is where there are none.

    Args:
        step: function that runs one step, reading and writing only fixed buffers on `device`.
        device: device of the buffers.
        unrolled: number of steps in one graph.
    """

    def __init__(self, step: Callable[[], None], device: torch.device, unrolled: int = UNROLLED) -> None:
        self.step, self.device, self.unrolled = step, device, unrolled
        self.warm, self.graphs = 0, dict[int, torch.cuda.CUDAGraph]()

    def __call__(self, count: int) -> None:
        """Run the step so many times."""
        if self.device.type != "cuda":
            for _ in range(count):
                self.step()
            return
        first = min(count, WARM - self.warm)
        self._warm_up(first)
        for size, times in zip((self.unrolled, 1), divmod(count - first, self.unrolled), strict=True):
            for _ in range(times):
                self._captured(size).replay()

    def _warm_up(self, count: int) -> None:
        """Run the first steps, which count like all others, on a stream of their own, as PyTorch asks for."""
        if not count:
            return
        with torch.cuda.device(self.device):
            main, side = torch.cuda.current_stream(), torch.cuda.Stream()
            side.wait_stream(main)
            with torch.cuda.stream(side):
                for _ in range(count):
                    self.step()
            main.wait_stream(side)
        self.warm += count

    def _captured(self, size: int) -> torch.cuda.CUDAGraph:
        """Return the graph of so many steps, captured when first asked for; a capture computes nothing."""
        if size not in self.graphs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.device(self.device), torch.cuda.graph(graph):
                for _ in range(size):
                    self.step()
            self.graphs[size] = graph
        return self.graphs[size]
