"""Remarks of Lightning that a command leaves out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

REMARKS = (
    "does not have many workers",
    "LeafSpec",
    "in eval mode at the start of training",
    "pre-optimization state",
    "LightningCLI's args parameter",
    "dirpath has changed",
    "The WeightAveraging state cannot be restored",
    "callbacks used to create the checkpoint",
    "smaller than the logging interval",
    "is not supported by the model summary",
)
UNWANTED = (
    "Tip", "will override existing callbacks", "Loading `train_dataloader`", "TPU available", "`Trainer.fit` stopped"
)  # fmt: skip


@contextmanager
def quiet(level: int = logging.INFO) -> Iterator[None]:
    """Leave out remarks of Lightning that no user of condgen can act on, and those below a level of logging."""
    logger = logging.getLogger("pytorch_lightning.utilities.rank_zero")

    def wanted(record: logging.LogRecord) -> bool:
        return record.levelno >= level and not any(remark in record.getMessage() for remark in UNWANTED)

    with warnings.catch_warnings():
        for remark in REMARKS:
            warnings.filterwarnings("ignore", f"(?s).*{remark}")
        logger.addFilter(wanted)
        try:
            yield
        finally:
            logger.removeFilter(wanted)
