"""Which options of sampling go with which kind of model."""

from __future__ import annotations

from typing import Any

from condgen.models.conditional import Model, as_likelihood

UNSET: dict[str, Any] = {
    "temperature": 1.0,
    "guidance": 0.0,
    "film_guidance": 0.0,
    "engine": "auto",
    "keep_rows": 0,
}  # else None


def refuse_foreign(model: Model, truncation: float | None, **likelihood: Any) -> None:
    """Refuse options that the model's sampler does not have.

    Args:
        model: model to draw from.
        truncation: option of adversarial generators.
        likelihood: options of likelihood models.

    Raises:
        ValueError: one is set; the message names it and what to use.
    """
    if as_likelihood(model) is not None:
        if truncation is not None:
            raise ValueError("--truncation is for adversarial generators, and this checkpoint holds a "
                             f"{type(model.network).__name__}: use --temperature")  # fmt: skip
        return
    for name, value in likelihood.items():
        if value != UNSET.get(name):
            reason = "the size of what it draws is fixed" if name == "seconds" else "that is for likelihood models"
            raise ValueError(f"this checkpoint holds an adversarial generator, which takes no --{name}: {reason}; of "
                             "what decides how samples are drawn, it takes --truncation and --seed")  # fmt: skip
