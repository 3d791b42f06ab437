"""Remarks of Lightning that a command leaves out."""

from __future__ import annotations

import logging
import warnings


def quiet() -> None:
    """Leave out remarks of Lightning that no user of condgen can act on."""
    for remark in (
        "does not have many workers",
        "LeafSpec",
        "in eval mode at the start of training",
        "pre-optimization state",
        "LightningCLI's args parameter",
        "dirpath has changed",
        "The WeightAveraging state cannot be restored",
        "callbacks used to create the checkpoint",
        "smaller than the logging interval",
    ):
        warnings.filterwarnings("ignore", f"(?s).*{remark}")
    unwanted = ("Tip", "will override existing callbacks")
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: not any(remark in record.getMessage() for remark in unwanted)
    )
