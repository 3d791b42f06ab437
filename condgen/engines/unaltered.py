"""Whether a network is still what it was built of: engines with steps of their own know what that computes, and no
more."""

from __future__ import annotations

from typing import cast

from torch import nn
from torch.nn.modules import module as module_registry
from torch.nn.utils import parametrize

from condgen.conditioning import FiLM
from condgen.conditioning.film import ChannelNorm
from condgen.models import PixelCNN, WaveNet
from condgen.models.convolutions import CausalConv1d, CausalConv2d
from condgen.models.pixelcnn import GatedBlock
from condgen.models.wavenet import GatedLayer

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
    return None


def head_of(network: WaveNet) -> tuple[nn.Linear, nn.Linear]:
    """Return the two linear layers of a WaveNet's head, which has not been altered."""
    _, first, _, second = network.head
    return cast(nn.Linear, first), cast(nn.Linear, second)


def altered_wavenet(network: WaveNet) -> str | None:
    """Say what of a WaveNet has been altered, if anything; its head can have other parts in it than it was built of."""
    if [parametrize.type_before_parametrizations(module) for module in network.head] != HEAD:
        return altered(network) or "it has been altered: 'head' is not what it was built of"
    return altered(network)
