"""The precision of training: chosen where nothing is said, refused where small steps or hours would be lost."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

COARSE = ("16-true", "bf16-true", "transformer-engine", "transformer-engine-float16")
BF16, FP16 = ("bf16-mixed", "bf16"), ("16-mixed", "16")  # by their names in Lightning
WORTH = 1.2  # times the rate of float32: processors that have bf16 reach 2 and more, those that emulate it 0.8 at most


class Bf16(NamedTuple):
    """Whether a device multiplies in bf16, and how that is known, in words."""

    fast: bool
    why: str


def check_precision(precision: str) -> None:
    """Refuse a trainer's precision in which small steps of the weights, and of their running average, are lost.

    Raises:
        ValueError: weights have 16 bits or fewer; the message says what to use.
    """
    if precision in COARSE:
        raise ValueError(f"trainer.precision {precision} keeps weights in 16 bits or fewer, which lose small steps "
                         "of Adam and of averages: use bf16-mixed, 16-mixed, 32-true or 64-true")  # fmt: skip


def require_fast(precision: str, device: str) -> None:
    """Refuse bf16 on a device that emulates it, as most processors older than 2020 do, 30 times slower.

    Args:
        precision: trainer's precision.
        device: type of the device that trains. On a CPU, Lightning takes bf16 for 16-mixed.

    Raises:
        ValueError: the device emulates it; the message says what to use.
    """
    if precision in BF16 or (precision in FP16 and device == "cpu"):
        found = bf16(device)
        if found is not None and not found.fast:
            raise ValueError(f"trainer.precision {precision}: {found.why}; use 32-true, or leave it out")


def default_precision(device: str) -> tuple[str, str]:
    """Choose the precision in which a device trains likelihood models fastest; return it, and why in words."""
    found = bf16(device)
    if found is None:
        return "32-true", f"bf16 has not been tried on {device}"
    return "bf16-mixed" if found.fast else "32-true", found.why


def device_of(accelerator: object) -> str:
    """Return the type of device that a trainer's accelerator, such as `auto`, stands for."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if accelerator == "cpu" or found is None else found.type


def bf16(device: str) -> Bf16 | None:
    """Find out whether a type of device multiplies in bf16; `None` for types that are not known."""
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return Bf16(fast, f"{torch.cuda.get_device_name()} {'multiplies in bf16' if fast else 'emulates bf16'}")
    if device != "cpu":
        return None
    gain = seconds(torch.float32) / seconds(torch.bfloat16)
    return Bf16(gain > WORTH, f"this processor multiplies in bf16 {gain:.2g} times as fast as in float32")


def seconds(dtype: torch.dtype, size: int = 512, repeats: int = 3) -> float:
    """Time a matrix product on the CPU: the least of some repeats, after one that is not counted."""
    x, taken = torch.ones(size, size, dtype=dtype), []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        x @ x
        taken.append(time.perf_counter() - start)
    return min(taken[1:])
