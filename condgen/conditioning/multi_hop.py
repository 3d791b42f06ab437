"""Multi-hop generation: layer by layer, the FiLM generator attends to the tokens of a condition anew.

Source: Strub et al., "Visual Reasoning with Multi-hop Feature Modulation", ECCV 2018, section 3.2.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning.film_generator import FiLMGenerator


class MultiHop(nn.Module):
    """Memories of a condition's tokens, one for each FiLM layer:

        e_k = Σ_t softmax_t(s_t · Q_k m_{k−1} / √features) s_t,   m_k = LayerNorm(e_k).

    m_0 is what the encoder says of the whole; s_t is the state of token t, and what only pads a row has no weight. The
    heads that follow write (γ_k, β_k) from m_k.

    Args:
        features: length of the states and of the memories.
        layers: number of FiLM layers.
    """

    def __init__(self, features: int, layers: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(layers, features, features))
        nn.init.normal_(self.query, std=features**-0.5)

    def forward(self, whole: Tensor, states: Tensor, present: Tensor) -> Tensor:
        """Attend once for each layer.

        Args:
            whole: features of the whole condition, (batch, features).
            states: features per token, (batch, features, tokens).
            present: booleans, (batch, tokens): false for what only pads a row.

        Returns:
            The memories, (batch, features, layers).

        Raises:
            ValueError: a row has no token.
        """
        if not torch.compiler.is_exporting() and not present.any(1).all():
            raise ValueError(f"row {int((~present.any(1)).nonzero()[0])} has no token to attend to")
        memory, memories = whole, []
        for query in self.query:
            scores = torch.einsum("bft,bf->bt", states, memory @ query.T) * states.shape[1] ** -0.5
            weights = scores.masked_fill(~present, -torch.inf).softmax(1)
            # Padding may hold anything, numbers that are not finite included: it is left out before the sum as well.
            kept = states.masked_fill(~present[:, None], 0)
            memory = F.layer_norm(torch.einsum("bft,bt->bf", kept, weights), states.shape[1:2])
            memories.append(memory)
        return torch.stack(memories, -1)


# The generator of FiLM parameters that puts such a memory between each encoder of tokens and its heads. All else, and
# conditions without tokens, are as in `FiLMGenerator`.
MultiHopGenerator = partial(FiLMGenerator, memory=MultiHop)
