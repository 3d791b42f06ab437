"""What a Lightning module was built from, stored in its checkpoints."""

from __future__ import annotations

import inspect
import warnings
from typing import Any


def store_hyperparameters(module: Any) -> None:
    """Store what a module is built from. Call it in `__init__`, right after `super().__init__()`.

    On the command line that is plain data, from which a checkpoint rebuilds its module. A module built by hand from
    parts stores nothing: the parts are no plain data, and a checkpoint must load without running code.
    """
    frame = inspect.currentframe()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is an instance of `nn.Module`.*")
        module.save_hyperparameters(logger=False, frame=frame and frame.f_back)
    if "_class_path" not in module.hparams:
        module.hparams.clear()
