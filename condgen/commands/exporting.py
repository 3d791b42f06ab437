"""What `condgen export` writes, of a checkpoint that is open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from condgen import __version__, exported
from condgen.checkpoint import Checkpoint
from condgen.commands.export_card import Said, card_of
from condgen.commands.going_on import epochs_done
from condgen.commands.model_card import figures_of
from condgen.pretrained import CARD

NOTHING = Said(None, None, None, None)


def write_model(
    folder: Path, name: str, checkpoint: Checkpoint, weights: exported.Bits = "16-bit", seconds: float | None = None,
    report: Mapping[str, Any] | None = None, said: Said = NOTHING,
) -> None:  # fmt: skip
    """Write a model with its card.

    Args:
        folder: folder that is there.
        name: name of the model, for the card.
        checkpoint: checkpoint of the model.
        weights: precision of matrices.
        seconds: length of audio where nothing says it.
        report: report of `condgen evaluate`.
        said: words of whoever exports it.
    """
    facts = {
        "condgen": __version__, "checkpoint": checkpoint.sha256, "weights": weights, "seconds": seconds,
        "training": {"epochs": epochs_done(checkpoint.content), "steps": checkpoint.content.get("global_step", 0),
                     "scores": figures_of(checkpoint.content)},
    }  # fmt: skip
    data = {"_class_path": checkpoint.data_path, **checkpoint.data_settings} if checkpoint.has_data else None
    config = exported.configuration(checkpoint.content, data, facts)
    exported.write(folder, config, checkpoint.model().state_dict(), weights)
    (folder / CARD).write_text(card_of(name, checkpoint, weights, report, said), encoding="utf-8")
