"""condgen: conditional generative models of audio and images. `condgen.load(FILE)` opens a trained one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from condgen.loaded import load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: `import condgen` shall not wait for PyTorch.
    if name == "load":
        from condgen.loaded import load

        return load
    raise AttributeError(f"module 'condgen' has no attribute '{name}'")
