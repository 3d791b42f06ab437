"""Whether a network is compiled for training."""

from __future__ import annotations

import os
import shutil

from pytorch_lightning.utilities import rank_zero_info
from torch import nn

from condgen.training.precision import BF16, FP16


def compile_for_training(network: nn.Module, wanted: bool | None, precision: str, fixed: bool) -> None:
    """Compile a network, in place, if that is wanted or, where nothing is said, if it gains.

    It gains where every batch has one shape, since each new one would be compiled anew, and in 16 bits, where products
    are so fast that everything between them counts.

    Args:
        network: network that is trained.
        wanted: choice of the user; `None` for none.
        precision: trainer's precision.
        fixed: shape of batches, the same for all if true.

    Raises:
        ValueError: it is wanted and there is no C++ compiler.
    """
    able = any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++", "cl"))
    if wanted and not able:
        raise ValueError("model.compile needs a C++ compiler and there is none; set model.compile to false")
    if wanted or (wanted is None and able and fixed and precision in (*BF16, *FP16)):
        rank_zero_info("the network is compiled, which takes a minute; --model.compile false trains without")
        network.compile()
