"""Samples to files: each beside what decided it."""

import json
from types import SimpleNamespace

import numpy as np
import torch

from condgen.commands.conditions import Combination
from condgen.commands.writing import write_images
from condgen.sampling import Samples


def test_the_manifest_names_the_index_that_made_each_sample(tmp_path):
    """As after Ctrl-C, where samples of like length came first: of six, those of index 1, 3 and 4 are finished."""
    model = SimpleNamespace(network=SimpleNamespace(levels=256))
    drawn = Samples(torch.arange(3)[:, None, None, None].expand(3, 1, 4, 4), torch.tensor([-1.0, -3.0, -4.0]))
    rows = [Combination({"digit": str(i)}, {}) for i in (1, 3, 4)]
    conditions = {"digit": torch.tensor([1, 3, 4])}
    write_images(tmp_path, model, drawn, conditions, rows, [1, 3, 4], 1, {"seed": 5})
    listed = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [(row["index"], row["conditions"]["digit"], row["log_prob"], row["seed"]) for row in listed] == [
        (1, "1", -1.0, 5), (3, "3", -3.0, 5), (4, "4", -4.0, 5),
    ]  # fmt: skip
    with np.load(tmp_path / "samples.npz") as arrays:
        assert arrays["samples"][:, 0, 0, 0].tolist() == [0, 1, 2]
        assert arrays["digit"].tolist() == [1, 3, 4]
