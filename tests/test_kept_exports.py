"""Exported models of every released version, kept in tests/exports: each still opens, and draws what it drew."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import condgen
from condgen.checkpoint import Checkpoint
from condgen.cli import main

EXPORTS = Path(__file__).parent / "exports"
MAKE = runpy.run_path(str(EXPORTS / "make.py"))
KEPT = sorted(EXPORTS.glob("*/*/config.json"))
kept = pytest.mark.parametrize("folder", [path.parent for path in KEPT],
                               ids=lambda folder: f"{folder.parent.name} {folder.name}")  # fmt: skip


def test_the_present_version_has_left_one_of_each_kind():
    assert {path.parent.name for path in KEPT if path.parts[-3] == condgen.__version__} == set(MAKE["ASKED"])


@kept
def test_it_draws_what_it_drew(folder):
    with np.load(folder / "drawn.npz") as file:
        wanted = {name: file[name] for name in file.files}
    found = MAKE["drawn"](folder, folder.name)
    assert found.keys() == wanted.keys()
    # Whoever adds up in another order may round a picture's brightness to the level beside it.
    np.testing.assert_allclose(found["x"], wanted["x"], atol=0 if "log_prob" in wanted else 1)
    if "log_prob" in wanted:
        np.testing.assert_allclose(found["log_prob"], wanted["log_prob"], rtol=1e-5)
        asked = {name: value for name, value in MAKE["ASKED"][folder.name].items() if name not in ("engine", "seconds")}
        own = condgen.load(folder).log_prob(torch.from_numpy(wanted["x"]), **asked)
        np.testing.assert_allclose(own.numpy(), wanted["log_prob"], rtol=1e-4)


@kept
def test_it_is_described_and_handed_on_again(folder, tmp_path, capsys):
    assert main(["show", str(folder)]) == 0
    assert "network" in capsys.readouterr().out
    assert main(["export", str(folder), "--out", str(tmp_path / "again"), "--weights", "32-bit"]) == 0
    ours, theirs = (Checkpoint.open(path).content["state_dict"] for path in (tmp_path / "again", folder))
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())
