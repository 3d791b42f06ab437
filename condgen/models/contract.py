"""What the rest of condgen requires of a network. Your own network that has these members can be trained, evaluated and
sampled like those of condgen; `condgen.models.ConditionalModel` checks it once, when the model is built, and names all
that is missing in one message.

Every network is an `nn.Module`. It knows no conditions: it receives FiLM parameters, and says where they act.

```python
import torch
from torch import nn
from torch.nn import functional as F
from condgen.conditioning import ClassEmbedding, FiLM, GammaBeta, film_layers
from condgen.distributions import output_family
from condgen.models import ConditionalModel
from condgen.sampling import sample


class RasterGRU(nn.Module):
    '''Gray images, pixel by pixel in raster order: a GRU, FiLM, and the logits of every level.'''

    agrees_with_data = ("shape", "levels")  # compared with the data before training
    dim, blank, sample_rate = "dim", 0, None  # bits are counted per dim; blank pixels are 0; it is no audio

    def __init__(self, shape: tuple[int, int, int], levels: int, width: int = 32) -> None:
        super().__init__()
        self.shape, self.levels, self.output = shape, levels, output_family("categorical", 1, levels)
        self.enter, self.gru = nn.Embedding(levels + 1, width), nn.GRU(width, width, batch_first=True)
        self.film, self.head = FiLM(width, dims=1), nn.Linear(width, self.output.parameters)

    def forward(self, x, film=None):  # levels to parameters, each from the pixels before it
        before = F.pad(x.flatten(1)[:, :-1].long(), (1, 0), value=self.levels)
        h = torch.relu(self.film(self.gru(self.enter(before))[0].transpose(1, 2), self.film_of(film, 0)))
        return self.head(h.transpose(1, 2)).transpose(1, 2).unflatten(-1, self.shape[1:])

    @property
    def film_layers(self):
        return film_layers(self)

    def film_of(self, film, layer):  # (γ, β) of a FiLM layer, by its place in `film_layers`
        return (film or {}).get("film", GammaBeta())

    def checked(self, film):  # refuses FiLM parameters that do not fit
        return film or {}

    def canvas(self, length=None, film=None):  # what is to be drawn
        return self.shape

    def num_steps(self, canvas):  # in how many steps
        return canvas[1] * canvas[2]

    def locate(self, step):  # and which position, channels and parameters each of them draws
        return divmod(step, self.shape[2]), slice(0, 1), slice(None)


own = ConditionalModel(RasterGRU((1, 8, 8), 17), {"digit": ClassEmbedding(names=list("0123456789"))}, "film")
digits = sample(own, {"digit": torch.tensor([3, 7])}, engine="naive").x
```

With `start` and `step`, which go on from a state, it is drawn from faster, by the engine `cached`. In a configuration
it goes by its class path, in a module of the current folder, such as `network: {class_path: mynet.RasterGRU}` where the
data know the rest; its checkpoints are opened with `--trust mynet`. Encoders are the same, by
`condgen.conditioning.contract`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

from torch import Tensor, nn

from condgen.conditioning.film import FiLM, Film, GammaBeta
from condgen.distributions import OutputFamily
from condgen.quantization import Quantization

State = Any  # each network decides what it carries from step to step


class FiLMedNetwork(Protocol):
    """A network that FiLM parameters modulate.

    Attributes:
        film_layers: FiLM layers by name, in the order of use.
        levels: whole levels of the data, 0 … levels − 1.
        sample_rate: samples of audio per second; `None` for images.
        agrees_with_data: names of attributes that must equal those of the data, such as `shape` and `levels`.
    """

    @property
    def film_layers(self) -> dict[str, FiLM]: ...
    @property
    def levels(self) -> int: ...
    @property
    def sample_rate(self) -> int | None: ...
    @property
    def agrees_with_data(self) -> tuple[str, ...]: ...
    def film_of(self, film: Film | None, layer: int) -> GammaBeta:
        """Return (γ, β) of a FiLM layer by its place in `film_layers`; both are fixed if there are none."""
        ...

    def __call__(self, x: Tensor, film: Film | None = None) -> Tensor: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...


class LikelihoodNetwork(FiLMedNetwork, Protocol):
    """A network that predicts each value of x from the values before it: `network(x, film)` maps levels,
    (batch, channels, *size), to parameters of p(x), (batch, parameters, *size). Samples are drawn step by step.

    Attributes:
        output: family of distributions that the parameters belong to.
        dim: name of the unit per which bits are counted: `dim` (a channel of a pixel) or `sample`.
        blank: level of positions that are not drawn, or not yet.
    """

    @property
    def output(self) -> OutputFamily: ...
    @property
    def dim(self) -> str: ...
    @property
    def blank(self) -> int: ...
    def checked(self, film: Film | None) -> Film:
        """Return FiLM parameters; refuse those of another network or another size with a ValueError."""
        ...

    def canvas(self, length: int | None = None, film: Film | None = None) -> tuple[int, ...]:
        """Return channels and size of the sample to be drawn; `length` is in samples, for audio."""
        ...

    def num_steps(self, canvas: tuple[int, ...]) -> int:
        """Count the steps that draw a whole canvas."""
        ...

    def locate(self, step: int) -> tuple[tuple[int, ...], slice, slice]:
        """Return the position, the channels and the parameters that a step draws. A step depends only on earlier
        steps, and all steps together cover the canvas exactly once."""
        ...


class SequentialNetwork(LikelihoodNetwork, Protocol):
    """A likelihood network that can continue from a state, which makes sampling fast."""

    def start(self, batch: int) -> State:
        """Return the state before the first step."""
        ...

    def step(self, values: Tensor | None, film: Film | None, state: State) -> tuple[Tensor, State]:
        """Map the values of the previous step, (batch, channels per step), and a state, which is not changed, to this
        step's parameters, (batch, parameters per step), equal to those of `network(x, film)`; and to the next state."""
        ...


class AudioNetwork(FiLMedNetwork, Protocol):
    """A network of waveforms.

    Attributes:
        sample_rate: samples per second.
        quantization: grid of levels that stand for amplitudes.
    """

    @property
    def sample_rate(self) -> int: ...
    @property
    def quantization(self) -> Quantization: ...


class StreamingNetwork(SequentialNetwork, AudioNetwork, Protocol):
    """A sequential network for audio of any length.

    Attributes:
        hop: samples per frame of local conditions.
        receptive_field: samples that an output depends on.
        receptive_field_ms: receptive field in milliseconds.
    """

    @property
    def hop(self) -> int: ...
    @property
    def receptive_field(self) -> int: ...
    @property
    def receptive_field_ms(self) -> float: ...
    def frames(self, film: Film | None) -> int:
        """Count the frames of FiLM parameters; 0 if all are global."""
        ...

    def prime(self, x: Tensor, film: Film | None = None) -> State:
        """Return the state after stepping over given levels, (batch, 1, time)."""
        ...


class GeneratorNetwork(FiLMedNetwork, Protocol):
    """A generator: `network(z, film)` maps noise, (batch, noise), to data in [−1, 1], (batch, *shape).

    Attributes:
        shape: channels and size of the data.
        noise: length of the noise vector.
        quantization: grid that samples are rounded to.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def noise(self) -> int: ...
    @property
    def quantization(self) -> Quantization: ...


class DiscriminatorNetwork(Protocol):
    """A discriminator: maps data, (batch, *shape), to scores, (batch,), and features, (batch, features).

    Attributes:
        film_layers: FiLM layers by name, in the order of use.
        shape: channels and size of the data.
        features: length of the feature vector.
    """

    @property
    def film_layers(self) -> dict[str, FiLM]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def features(self) -> int: ...
    def __call__(self, x: Tensor, film: Film | None = None) -> tuple[Tensor, Tensor]: ...


def audio(network: FiLMedNetwork) -> AudioNetwork | None:
    """Return a network as one for audio; `None` if it is for images."""
    return None if network.sample_rate is None else cast(AudioNetwork, network)


def streaming(network: LikelihoodNetwork) -> StreamingNetwork | None:
    """Return a likelihood network as one for audio; `None` if it is for images."""
    return None if network.sample_rate is None else cast(StreamingNetwork, network)
