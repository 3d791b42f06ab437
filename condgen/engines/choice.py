"""Engines: ways to run an autoregressive network over its steps. All give the same samples.

An engine is a function `advance(network, film, state, values, steps, draw) -> (drawn, state)`. It takes the FiLM
parameters of a batch, the network's state before the first of the steps, the values drawn just before it, (batch,
channels per step) or `None`, and the `Draw` that chooses values; it returns what it drew, (batch, channels per step,
steps), and the state after it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_registry
from torch.nn.utils import parametrize

from condgen.conditioning import FiLM, FiLMParameters
from condgen.conditioning.film import ChannelNorm
from condgen.engines import graph_pixelcnn, graph_wavenet
from condgen.engines.draw import Draw
from condgen.models import PixelCNN, WaveNet
from condgen.models.convolutions import CausalConv1d, CausalConv2d
from condgen.models.pixelcnn import GatedBlock
from condgen.models.wavenet import GatedLayer

Precision = Literal["float32", "bfloat16"]
Advance = Callable[[Any, FiLMParameters, Any, Tensor | None, range, Draw], tuple[Tensor, Any]]


@dataclass(frozen=True)
class Engine:
    """An engine that was chosen.

    Attributes:
        name: as in `ENGINES`.
        why: it was chosen, in a few words.
        advance: runs it; `None` for `naive`, which has no state.
    """

    name: str
    why: str
    advance: Advance | None

    def __str__(self) -> str:
        return f"engine '{self.name}' ({self.why})"

    def fill(self, network: Any, film: FiLMParameters, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
        """Draw what is missing of a canvas, (batch, channels, *size).

        What is known before the first step is filled in already; `network.prime` takes it in at once.
        """
        if not steps:
            return canvas
        if self.advance is None:
            return naive(network, film, canvas, steps, draw)
        first, groups = steps.start, network.output.groups
        state = network.prime(canvas[..., :first], film) if first else network.start(len(canvas))
        values = canvas[..., first - 1] if first else None
        drawn, _ = self.advance(network, film, state, values, steps, draw)
        filled = canvas.flatten(2).clone()
        filled[..., first : steps.stop // groups] = drawn.unflatten(-1, (-1, groups)).permute(0, 3, 1, 2).flatten(1, 2)
        return filled.view(canvas.shape)


def naive(network: Any, film: FiLMParameters, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
    """Run the whole network once a step. Slow and plain: the definition that other engines are tested against."""
    x = canvas.clone()
    for step in steps:
        position, channels, parameters = network.locate(step)
        x[(slice(None), channels, *position)] = draw(step, network(x, film)[(slice(None), parameters, *position)])
    return x


def cached(
    network: Any, film: FiLMParameters, state: Any, values: Tensor | None, steps: range, draw: Draw
) -> tuple[Tensor, Any]:
    """Run `network.step`, which keeps what earlier steps computed: plain PyTorch, for every model and device."""
    drawn = []
    for step in steps:
        parameters, state = network.step(values, film, state)
        values = draw(step, parameters)
        drawn.append(values)
    return torch.stack(drawn, dim=-1), state


def compiled(
    network: Any, film: FiLMParameters, state: Any, values: Tensor | None, steps: range, draw: Draw,
    precision: Precision = "float32",
) -> tuple[Tensor, Any]:  # fmt: skip
    """Run kernels in numba; see `condgen.engines.compiled`."""
    from condgen.engines import compiled_pixelcnn, compiled_wavenet  # numba takes a second to import

    module: Any = compiled_wavenet if isinstance(network, WaveNet) else compiled_pixelcnn
    advanced: tuple[Tensor, Any] = module.advance(network, film, state, values, steps, draw, precision)
    return advanced


def graph(
    network: Any, film: FiLMParameters, state: Any, values: Tensor | None, steps: range, draw: Draw
) -> tuple[Tensor, Any]:
    """Replay a step that was captured as a CUDA graph; on the CPU the same step runs as it is. See `graph`."""
    module: Any = graph_wavenet if isinstance(network, WaveNet) else graph_pixelcnn
    advanced: tuple[Tensor, Any] = module.advance(network, film, state, values, steps, draw)
    return advanced


def triton(
    network: Any, film: FiLMParameters, state: Any, values: Tensor | None, steps: range, draw: Draw,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Any]:  # fmt: skip
    """Run a kernel in Triton; see `condgen.engines.triton_wavenet`."""
    from condgen.engines import triton_wavenet  # Triton is not everywhere

    advanced: tuple[Tensor, Any] = triton_wavenet.advance(network, film, state, values, steps, draw, dtype)
    return advanced


ENGINES: dict[str, Advance | None] = {
    "cached": cached,
    "naive": None,
    "compiled": compiled,
    "compiled_bfloat16": partial(compiled, precision="bfloat16"),
    "graph": graph,
    "triton": triton,
}
NAMES = ["auto", *ENGINES]
NO_TEMPER: Mapping[str, Any] = {}


def choose(name: str, network: Any, temper: Mapping[str, Any] = NO_TEMPER) -> Engine:
    """Choose the engine for a network: the named one or, for `auto`, the fastest exact one.

    An engine that does not fit gives way to `cached`, with a warning where it was asked for by name.

    Args:
        name: of the engine, or `auto`.
        network: the network.
        temper: options of `tempered` that it is to draw with.

    Raises:
        ValueError: there is no engine of that name.
    """
    if name not in NAMES:
        raise ValueError(f"unknown engine '{name}'; known: {', '.join(NAMES)}")
    device = next(network.parameters()).device
    wanted = name if name != "auto" else "graph" if device.type == "cuda" else "compiled"
    obstacle = OBSTACLES[wanted](network, temper) if wanted in OBSTACLES else None
    if obstacle:
        if name != "auto":
            warnings.warn(f"engine '{name}' cannot sample this model ({obstacle}); using 'cached'", stacklevel=3)
        return Engine("cached", f"'{wanted}' is out: {obstacle}", cached)
    return Engine(wanted, why(wanted, device) if name == "auto" else "as asked", ENGINES[wanted])


def why(name: str, device: torch.device) -> str:
    """Say how an engine that was chosen runs."""
    return f"CUDA graphs on {device}" if name == "graph" else f"numba, {torch.get_num_threads()} thread(s)"


def not_compiled(network: nn.Module, temper: Mapping[str, Any]) -> str | None:
    """Say why the compiled engine cannot run a network, if it cannot."""
    weight = next(network.parameters())
    if type(network) not in (WaveNet, PixelCNN):
        return f"it has no kernel for {type(network).__name__}"
    if weight.device.type != "cpu":
        return f"it runs on the CPU and the model is on {weight.device}"
    if any(parameter.dtype != torch.float32 for parameter in network.parameters()):
        return f"it computes in float32 and the weights are {str(weight.dtype).removeprefix('torch.')}"
    return unusable("numba", "kernels") or altered(network)


def not_graph(network: nn.Module, temper: Mapping[str, Any]) -> str | None:
    """Say why the graph engine cannot run a network, if it cannot."""
    if type(network) not in (WaveNet, PixelCNN):
        return f"it has no step for {type(network).__name__}"
    return altered(network)


def not_triton(network: nn.Module, temper: Mapping[str, Any]) -> str | None:
    """Say why the Triton engine cannot run a network, if it cannot."""
    if type(network) is not WaveNet:
        return f"it has no kernel for {type(network).__name__}"
    if network.output.name != "categorical" or network.layers[0].film.norm != "none":
        return "it draws from categorical outputs, of networks without a normalisation"
    if temper.get("top_k") is not None or temper.get("top_p") is not None:
        return "it knows no top_k and no top_p"
    if any(parameter.dtype != torch.float32 for parameter in network.parameters()):
        return "it computes in float32"
    without = unusable("Triton", "triton_wavenet")
    if without:
        return without
    from condgen.engines.triton_wavenet import interpreted, too_large

    if not interpreted() and next(network.parameters()).device.type != "cuda":
        return "it needs a CUDA device"
    return too_large(network) or altered(network)


def unusable(name: str, module: str) -> str | None:
    """Say why a module with kernels cannot be used, if it cannot: what compiles them is missing, broken or off."""
    try:
        import_module(f"condgen.engines.{module}")
    except Exception as error:  # such packages check what is installed beside them, and raise what they like
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        return f"{name} cannot be used: {cause}"
    return None


# What networks are made of. Engines with steps of their own know what these compute, and nothing else.
PARTS = (
    WaveNet, PixelCNN, GatedLayer, GatedBlock, CausalConv1d, CausalConv2d, FiLM, ChannelNorm, nn.Linear, nn.Embedding,
    nn.Conv2d, nn.ReLU, nn.Dropout, nn.Identity, nn.Sequential, nn.ModuleList,
)  # fmt: skip
HEAD = [nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


def altered(network: nn.Module) -> str | None:
    """Say what of a network has been altered, if anything: it would not be heeded."""
    if module_registry._global_forward_hooks or module_registry._global_forward_pre_hooks:
        return "hooks on all modules would not run"
    for name, module in network.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            return "hooks on the network's modules would not run"
        if "parametrizations" in name.split("."):
            continue
        if parametrize.type_before_parametrizations(module) not in PARTS or {"forward", "step"} & set(vars(module)):
            return f"it has been altered: '{name}' is not what it was built of"
    if isinstance(network, WaveNet) and [parametrize.type_before_parametrizations(m) for m in network.head] != HEAD:
        return "it has been altered: 'head' is not what it was built of"
    return None


OBSTACLES: dict[str, Callable[[nn.Module, Mapping[str, Any]], str | None]] = {
    "compiled": not_compiled,
    "compiled_bfloat16": not_compiled,
    "graph": not_graph,
    "triton": not_triton,
}
