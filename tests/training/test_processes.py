"""Two processes train what one does with batches of twice the size: the same rows, losses and parameters."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

SCRIPT = """
    import sys
    from pathlib import Path
    import numpy as np, torch, pytorch_lightning as pl
    sys.path.insert(0, {tests!r})
    from test_likelihood import Crops, LikelihoodTask, pixelcnn, wavenet
    from condgen.data import Digits, Images

    class Whole(Crops):
        def __init__(self):
            super().__init__()
            self.crop = None

    CASES = {{"pictures": (pixelcnn, lambda: Images(Digits())), "crops": (wavenet, Crops), "clips": (wavenet, Whole)}}

    if __name__ == "__main__":
        torch.set_num_threads(1)
        devices = int(sys.argv[1])
        for name, (task, data) in CASES.items():
            pl.seed_everything(0, verbose=False)
            # Of 1,197 pictures and of 24 clips, the last batch is shorter than the others.
            module, source = task(dropout=0.0), data()
            source.batch_size = (200 if name == "pictures" else 10) // devices
            trainer = pl.Trainer(accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto",
                                 max_epochs=2, limit_val_batches=0, precision="64-true", logger=False,
                                 enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
            trainer.fit(module, source)
            torch.save(module.state_dict(), Path({out!r}) / f"{{name}}_{{devices}}_{{trainer.global_rank}}.pt")
"""


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT.format(tests=str(Path(__file__).parent), out=str(tmp_path))))
    for devices in ("1", "2"):
        command = [sys.executable, str(script), devices]
        found = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert found.returncode == 0, found.stderr[-3000:]
    for name in ("pictures", "crops", "clips"):
        one, *two = (torch.load(tmp_path / f"{name}_{run}.pt", weights_only=True) for run in ("1_0", "2_0", "2_1"))
        for own in two:
            for key, value in one.items():
                assert torch.allclose(own[key], value, rtol=1e-9, atol=1e-11), (name, key)
