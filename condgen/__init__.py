"""condgen: conditional generative models of audio and images. `condgen.load(MODEL)` opens a trained one.

How it is cut; each line imports only from itself and the lines above it:

| | |
| --- | --- |
| `condgen.conditioning` | FiLM layers, their parameters as a value, the FiLM generator, condition encoders |
| `condgen.distributions`, `condgen.quantization` | what networks put out, and the grid of levels |
| `condgen.models` | PixelCNN, WaveNet, DCGAN: one paper, one file; what is asked of a network of your own |
| `condgen.engines` | ways to draw step after step, and the table of them |
| `condgen.sampling` | `sample`, `stream`, `push_forward`; noise by (seed, index) |
| `condgen.data` | image and speech sources, features, the front end, Lightning data modules |
| `condgen.evaluation` | likelihood, quality of samples, pictures, sound |
| `condgen.training` | Lightning modules, and what every run is given |
| `condgen.checkpoint`, `condgen.exported` | what a checkpoint holds, and a model that is handed on |
| `condgen.loaded` | a trained model to use |
| `condgen.pretrained` | small trained models that come with condgen |
| `condgen.commands` | the command line |

Training and the data modules know Lightning; sampling from a checkpoint does without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from condgen.loaded import load

__all__ = ["__version__", "load"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: `import condgen` shall not wait for PyTorch.
    if name == "load":
        from condgen.loaded import load

        return load
    raise AttributeError(f"module 'condgen' has no attribute '{name}'")
