"""Export the kept checkpoints with the present version, and draw from each: `python tests/exports/make.py [FOLDER]`.

Without a folder, they go beside this file, as `VERSION/KIND`; `tests/test_kept_exports.py` opens all that lie here. Run
and commit it once for each version that is released; never make those of an earlier one anew.
"""

import sys
from pathlib import Path

import numpy as np

import condgen
from condgen.cli import main
from condgen.loaded import load

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
ASKED = {
    "pixelcnn_digits": {"digit": ["3", "8"], "engine": "cached"},
    "wavenet_fsdd": {"speaker": "george", "digit": ["0", "1"], "seconds": 0.01, "engine": "cached"},
    "cdcgan_digits": {"digit": ["3", "8"]},
}


def drawn(folder, kind):
    """Draw from an exported model: levels, and their log-probabilities (none of a generator)."""
    samples = load(folder).sample(**ASKED[kind], seed=1)
    return {"x": samples.x.numpy()} | ({} if samples.log_prob is None else {"log_prob": samples.log_prob.numpy()})


def make(place):
    """Write an export of every kind, with what it draws in `drawn.npz`."""
    for kind in ASKED:
        folder = place / condgen.__version__ / kind
        if main(["export", str(CHECKPOINTS / f"{kind}.format1.ckpt"), "--out", str(folder)]):
            raise RuntimeError(f"{kind} was not exported")
        np.savez_compressed(folder / "drawn.npz", **drawn(folder, kind))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
