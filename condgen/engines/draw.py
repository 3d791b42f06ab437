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

# Options to draw with: those of a distribution's `tempered`, and `guidance`; empty for the distribution itself.
Temper: TypeAlias = Mapping[str, Any]


class Given(NamedTuple):
    """Levels to keep, (samples or 1, channels, positions), and at which positions, (positions,)."""

    levels: Tensor
    known: list[bool]


class Draw:
    """Turns the parameters of steps into values, for one batch, and adds up their log-probability.

    With guidance w, each sample takes two rows of the batch, first with its conditions and then without: it is
    drawn from the logits (1 + w) · first − w · second, both rows go on from its value, and it is scored by the first.

    Attributes:
        each: rows of the batch per sample, 1 or 2.
        noise: uniforms of every row, (batch, steps, uniforms per step).

    Args:
        network: network that gives the output family and the place of each step.
        noise: uniforms, (samples, steps, uniforms per step); step `first_noise` comes first.
        temper: options to draw with; empty to draw from the model's own distribution.
        given: levels to keep; or `None`.
        lengths: positions of each sample; `None` where there is no end to wait for.
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
        self.network, self.bar, self.first_noise, self.groups = network, bar, first_noise, network.output.groups
        self.guidance: float = temper.get("guidance", 0.0)
        self.each = 2 if self.guidance else 1
        self.temper = {name: option for name, option in temper.items() if name != "guidance"}
        self.noise = self.by_row(noise)
        self.given = None if given is None else given._replace(levels=self.by_row(given.levels))
        self.log_prob = torch.zeros(len(self.noise), dtype=torch.float64, device=noise.device)
        alike = lengths is None or len(set(lengths)) == 1
        self.ends = None if alike else self.by_row(torch.tensor(lengths, device=noise.device))
        # A network that can take a known beginning in at once starts behind it.
        primed = given if streaming(network) else None
        self.first = 0 if primed is None else next(i for i, known in enumerate([*primed.known, False]) if not known)

    def by_row(self, samples: Tensor) -> Tensor:
        """Repeat what there is of each sample for each of its rows."""
        return samples if self.each == 1 or len(samples) == 0 else samples.repeat_interleave(self.each, 0)

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
            values = self.choose(parameters, self.noise[:, step - self.first_noise])
        return self.keep(range(step, step + 1), parameters[..., None], values[..., None])[..., 0]

    def choose(self, parameters: Tensor, uniform: Tensor) -> Tensor:
        """Map parameters, (batch, parameters per step), and uniforms to values, guided and tempered."""
        if self.guidance:
            present, absent = parameters[::2], parameters[1::2]
            parameters = (present + self.guidance * (present - absent)).repeat_interleave(2, 0)
        distribution = self.network.output(parameters)
        tempered = distribution.tempered(**self.temper) if self.temper else distribution
        values: Tensor = tempered.from_uniform(uniform)
        return values

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
        self.bar.update(active / self.groups / self.each)
        return values

    def finished(self, rows: Sequence[int] | None = None) -> Tensor:
        """Return the log-probabilities of all that was drawn, (samples,).

        Args:
            rows: names of the samples in an error.

        Raises:
            FloatingPointError: one is not a finite number, so the model's parameters were not.
        """
        log_prob = self.log_prob.unflatten(0, (-1, self.each))
        broken = torch.nonzero(~log_prob.isfinite().all(1)).flatten().tolist()
        if broken:
            named = ", ".join(str(row if rows is None else rows[row]) for row in broken)
            raise FloatingPointError(
                f"the model's answers for sample {named} are no finite numbers: look at its weights and conditions"
            )
        return log_prob[:, 0]


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
