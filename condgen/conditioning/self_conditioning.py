"""Self-conditioning: (γ, β) written from a network's own features, and published layers that are nothing else.

Each function or module here maps features to a `GammaBeta`; `film` or `SelfConditioned` applies it. Those that look at
other positions than their own would show an autoregressive model what it is to predict: `require_causal_network`
refuses them there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from condgen.conditioning.film import GammaBeta, film

Writer = Callable[[Tensor], GammaBeta]
EPSILON = 1e-5  # of PyTorch's normalisations


class SqueezeExcitation(nn.Module):
    """γ of each feature map from the means of all: s = σ(W₂ relu(W₁ mean(x) + b₁) + b₂), and β fixed at 0.

    Source: Hu et al., "Squeeze-and-Excitation Networks", 2018, equations 2 to 4.

    Args:
        channels: channels of the features.
        reduction: ratio r of the channels to the hidden units.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        if reduction < 1:
            raise ValueError(f"reduction {reduction} of squeeze-and-excitation is not at least 1")
        hidden = max(1, channels // reduction)
        self.squeeze, self.excite = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> GammaBeta:
        """Read (batch, channels, *size)."""
        return GammaBeta(torch.sigmoid(self.excite(torch.relu(self.squeeze(x.flatten(2).mean(2))))))


def adaptive_instance_norm(style: Tensor) -> GammaBeta:
    """Write γ and β that give instance-normalised features the standard deviation and mean of a style's.

    Source: Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", 2017,
    equation 8. The variance is the biased one, as in PyTorch's instance norm, so that a style of its own changes
    nothing.

    Args:
        style: features of the style, (batch, channels, *size).
    """
    flat = style.flatten(2)
    return GammaBeta((flat.var(2, correction=0) + EPSILON).sqrt(), flat.mean(2))


class Highway(nn.Module):
    """γ = T and β = (1 − T) ⊙ x for what H makes of x, by T = σ(W_T x + b_T) at every position: T ⊙ H(x) + (1 − T) ⊙ x.

    Source: Srivastava et al., "Highway Networks", 2015, equation 3.

    Args:
        channels: channels of x and of H(x).
        bias: bias b_T at the start; below 0, the layer at first hands x on.
    """

    def __init__(self, channels: int, bias: float = -2.0) -> None:
        super().__init__()
        self.transform = nn.Linear(channels, channels)
        nn.init.constant_(self.transform.bias, bias)

    def forward(self, x: Tensor) -> GammaBeta:
        """Read (batch, channels, *size)."""
        share = torch.sigmoid(self.transform(x.movedim(1, -1)).movedim(-1, 1))
        return GammaBeta(share, (1 - share) * x)


def gated_linear_unit(gate: Tensor) -> GammaBeta:
    """Write γ = σ(gate): film(a, σ(b)) is the gated linear unit a ⊗ σ(b).

    Source: Dauphin et al., "Language Modeling with Gated Convolutional Networks", 2017, equation 1.

    Args:
        gate: half b of the features, (batch, channels, *size).
    """
    return GammaBeta(torch.sigmoid(gate))


def lstm_gates(gates: Tensor) -> tuple[GammaBeta, GammaBeta]:
    """Write what an LSTM does to its cell c, c' = FiLM(c; f, i ⊙ g), and to its output, h' = FiLM(tanh c'; o, 0).

    Source: Gers et al., "Learning to Forget", 2000, as in `torch.nn.LSTMCell`.

    Args:
        gates: numbers before the nonlinearities, (batch, 4 · features), in PyTorch's order i, f, g, o.

    Returns:
        cell: (γ, β) of the cell.
        output: (γ, β) of the squashed cell.
    """
    i, f, g, o = gates.chunk(4, 1)
    return GammaBeta(torch.sigmoid(f), torch.sigmoid(i) * torch.tanh(g)), GammaBeta(torch.sigmoid(o))


class DynamicLayerNorm(nn.Module):
    """γ and β of a layer norm from the utterance itself: a = mean_t tanh(W h_t + b), γ = W_γ a + b_γ, β = W_β a + b_β.

    Source: Kim et al., "Dynamic Layer Normalization for Adaptive Neural Acoustic Modeling in Speech Recognition", 2017,
    equations 7 to 9.

    Args:
        features: channels of what is summed up, the layer's input h.
        channels: channels of what is normalised.
        summary: length of a.
    """

    def __init__(self, features: int, channels: int, summary: int) -> None:
        super().__init__()
        self.summarise = nn.Linear(features, summary)
        self.gamma, self.beta = nn.Linear(summary, channels), nn.Linear(summary, channels)
        nn.init.ones_(self.gamma.bias)
        nn.init.zeros_(self.beta.bias)

    def summary(self, h: Tensor) -> Tensor:
        """Sum up (batch, features, time) as (batch, summary). The paper also rewards its variance over utterances."""
        return torch.tanh(self.summarise(h.transpose(1, 2))).mean(1)

    def forward(self, h: Tensor) -> GammaBeta:
        """Read (batch, features, time)."""
        a = self.summary(h)
        return GammaBeta(self.gamma(a), self.beta(a))


def gated_attention(document: Tensor, query: Tensor, present: Tensor | None = None) -> GammaBeta:
    """Write, for each token d_i of a document, γ = Σ_j softmax_j(d_i · q_j) q_j, and β fixed at 0.

    Source: Dhingra et al., "Gated-Attention Readers for Text Comprehension", 2017, equations 4 to 6.

    Args:
        document: features, (batch, channels, tokens).
        query: features of the query, (batch, channels, tokens of the query).
        present: booleans, (batch, tokens of the query): false for what only pads a row; `None` for none of that.

    Raises:
        ValueError: a row has no token.
    """
    scores = torch.einsum("bci,bcj->bij", document, query)
    if present is not None and not present.any(1).all():
        raise ValueError(f"row {int((~present.any(1)).nonzero()[0])} has no token to attend to")
    scores = scores if present is None else scores.masked_fill(~present[:, None], -torch.inf)
    return GammaBeta(torch.einsum("bij,bcj->bci", scores.softmax(2), query))


class SelfConditioned(nn.Module):
    """A layer that features condition by themselves: x ↦ γ(x) ⊙ x + β(x).

    Args:
        writer: function or module from features to (γ, β).
    """

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.writer = writer

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, *size) to the same shape."""
        pair = self.writer(x)
        return film(x, pair.gamma, pair.beta)


def _looks_around(writer: object) -> bool:
    while isinstance(writer, partial):
        writer = writer.func
    return writer is adaptive_instance_norm or isinstance(writer, SqueezeExcitation | DynamicLayerNorm)


def require_causal_network(network: nn.Module) -> None:
    """Refuse an autoregressive network in which a position sees later ones through self-conditioning.

    Raises:
        ValueError: it has such a layer; the message names it.
    """
    for name, module in network.named_modules():
        writer = module.writer if isinstance(module, SelfConditioned) else module
        if _looks_around(writer):
            kind = type(writer).__name__ if isinstance(writer, nn.Module) else "adaptive_instance_norm"
            raise ValueError(
                f"{kind} in '{name}' takes its statistics over positions, so an output would see later inputs; an "
                "autoregressive model takes self-conditioning that looks at one position alone, such as Highway"
            )
