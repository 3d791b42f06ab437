"""Every recipe of the article tells its story, in miniature."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "recipes" / "article"
NAMES = sorted(file.stem for file in FOLDER.glob("*.py") if "def main(" in file.read_text() and file.stem != "all")


@pytest.fixture
def beside(monkeypatch):
    """Recipes import each other by name, and draw with one thread."""
    monkeypatch.syspath_prepend(str(FOLDER))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_recipe_runs_from_the_command_line(tmp_path):
    options = ["--out", str(tmp_path), "--seeds", "1", "--effort", "0.01"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, str(FOLDER / "reading.py"), *options], env=environment, cwd=tmp_path,
                           capture_output=True, text=True, timeout=600)  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]
    assert "| system | claim | published | here | verdict |" in found.stdout
    assert (tmp_path / "reading.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_recipe_tells_its_story(name, tmp_path, beside, capsys):
    runpy.run_path(str(FOLDER / f"{name}.py"))["main"](str(tmp_path), 1, 0.01)
    story = runpy.run_path(str(FOLDER / "claim.py"))["Story"].read(tmp_path / f"{name}.json")
    assert story.name == name
    assert story.effort == 0.01
    assert story.claims
    assert all(len(values) == 1 for claim in story.claims for values in claim.here.values())
    assert all(claim.verdict == "not decided by this evidence" for claim in story.claims)  # of one seed, nothing is
    with Image.open(tmp_path / f"{name}.png") as picture:
        assert min(picture.size) >= 200
