"""Every recipe of the article tells its story, in miniature."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "recipes" / "article"
NAMES = sorted(file.stem for file in FOLDER.glob("*.py") if "def main(" in file.read_text() and file.stem != "all")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_recipe_tells_its_story(name, tmp_path, monkeypatch):
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--out", str(tmp_path), "--seeds", "1", "--effort", "0.01"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr[-2000:]
    monkeypatch.syspath_prepend(str(FOLDER))
    story = runpy.run_path(str(FOLDER / "claim.py"))["Story"].read(tmp_path / f"{name}.json")
    assert story.name == name
    assert story.effort == 0.01
    assert story.claims
    assert all(len(values) == 1 for claim in story.claims for values in claim.here.values())
    assert all(claim.verdict == "not decided by this evidence" for claim in story.claims)  # of one seed, nothing is
    with Image.open(tmp_path / f"{name}.png") as picture:
        assert min(picture.size) >= 200
