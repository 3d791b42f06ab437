"""The draw: parameters of a step to values, whatever engine computed the parameters; and the progress it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from tqdm import tqdm

from condgen.models.contract import LikelihoodNetwork, audio, streaming

if TYPE_CHECKING:
    Bar: TypeAlias = tqdm[None]

Temper: TypeAlias = Mapping[str, Any]  # options of a distribution's `tempered`; empty for the distribution itself


class Given(NamedTuple):
    """Levels to keep, (samples or 1, channels, positions), and at which positions, (positions,)."""

    levels: Tensor
    known: list[bool]


class Draw:
    """Turns the parameters of steps into values, for one batch, and adds up their log-probability.

    Args:
        network: network that gives the output family and the place of each step.
        noise: uniforms, (batch, steps, uniforms per step); step `first_noise` comes first.
        temper: options of `tempered` for the distribution to draw from; empty to draw from the model's own.
        given: levels to keep; or `None`.
        lengths: positions of each row; `None` where there is no end to wait for.
        bar: progress bar, told of each step.
        first_noise: step that the noise begins with.
    """

    def __init__(
        self,
        network: LikelihoodNetwork,
        noise: Tensor,
        temper: Temper,
        given: Given | None,
        lengths: Sequence[int] | None,
        bar: Bar,
        first_noise: int = 0,
    ) -> None:
        self.network, self.noise, self.temper, self.given, self.bar = network, noise, temper, given, bar
        self.first_noise, self.groups = first_noise, network.output.groups
        self.log_prob = torch.zeros(noise.shape[0], dtype=torch.float64, device=noise.device)
        self.ends = None if lengths is None or len(set(lengths)) == 1 else torch.tensor(lengths, device=noise.device)
        # A network that can take a known beginning in at once starts behind it.
        primed = given if streaming(network) else None
        self.first = 0 if primed is None else next(i for i, known in enumerate([*primed.known, False]) if not known)

    def canvas(self, shape: tuple[int, ...]) -> Tensor:
        """Return (batch, *shape) levels, blank but for what is known before the first step."""
        x = torch.full((len(self.noise), *shape), self.network.blank, device=self.noise.device)
        if self.first and self.given is not None:
            x[..., : self.first] = self.given.levels[..., : self.first]
        return x

    def __call__(self, step: int, parameters: Tensor) -> Tensor:
        """Choose the values of a step, (batch, channels per step), from its (batch, parameters per step)."""
        position, (_, channels, _) = step // self.groups, self.network.locate(step)
        if self.given is not None and position < len(self.given.known) and self.given.known[position]:
            values = self.given.levels[:, channels, position].expand(len(self.noise), -1)
        else:
            distribution = self.network.output(parameters)
            tempered = distribution.tempered(**self.temper) if self.temper else distribution
            values = tempered.from_uniform(self.noise[:, step - self.first_noise])
        return self.keep(range(step, step + 1), parameters[..., None], values[..., None])[..., 0]

    def keep(self, steps: range, parameters: Tensor, values: Tensor) -> Tensor:
        """Score values and blank those behind a row's end.

        Args:
            steps: steps that were drawn.
            parameters: parameters of these, (batch, parameters per step, steps).
            values: levels, (batch, channels per step, steps).
        """
        log_prob = self.network.output(parameters).log_prob(values)
        log_prob = log_prob if log_prob.ndim == 2 else log_prob.sum(1)
        if self.given is not None:
            known = [step // self.groups < len(self.given.known) and self.given.known[step // self.groups]
                     for step in steps]  # fmt: skip
            log_prob = log_prob.masked_fill(torch.tensor(known, device=log_prob.device), 0)
        active: float = values.shape[0] * len(steps)
        if self.ends is not None:
            positions = torch.arange(steps.start, steps.stop, device=self.ends.device) // self.groups
            goes_on = positions < self.ends[:, None]
            values = torch.where(goes_on[:, None], values, self.network.blank)
            log_prob, active = log_prob.masked_fill(~goes_on, 0), int(goes_on.sum())
        self.log_prob += log_prob.sum(1)
        self.bar.update(active / self.groups)
        return values

    def finished(self, rows: Sequence[int] | None = None) -> Tensor:
        """Return the log-probabilities of all that was drawn, (batch,).

        Args:
            rows: names of the rows of the batch in an error.

        Raises:
            FloatingPointError: one is not a finite number, so the model's parameters were not.
        """
        broken = torch.nonzero(~self.log_prob.isfinite()).flatten().tolist()
        if broken:
            named = ", ".join(str(row if rows is None else rows[row]) for row in broken)
            raise FloatingPointError(
                f"the model's answers for sample {named} are no finite numbers: look at its weights and conditions"
            )
        return self.log_prob


class RealTimeBar(tqdm):
    """A progress bar over samples of audio that also says how fast time passes in them.

    The real-time factor is seconds of audio per second of work, over all rows of the batch.
    """

    sample_rate = 1

    @property
    def format_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = super().format_dict
        rate = found["n"] / found["elapsed"] if found["elapsed"] else 0.0
        return {**found, "postfix": f"{rate / self.sample_rate:.3g} × real time"}


def progress_bar(network: LikelihoodNetwork, positions: int | None, progress: bool, engine: str) -> Bar:
    """Make the progress bar of a run over so many positions of all samples, by an engine."""
    heard = audio(network)
    kind = tqdm if heard is None else type("Bar", (RealTimeBar,), {"sample_rate": heard.sample_rate})
    unit, desc = "pixel" if heard is None else "sample", f"sampling ({engine})"
    return kind(total=positions, delay=2, desc=desc, unit=unit, disable=None if progress else True, leave=False)
