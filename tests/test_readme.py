"""Every command and every piece of Python in the README runs, and every figure in it stands beside its recipe."""

import importlib.util
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from condgen.cli import COMMANDS, main
from condgen.commands.configurations import shipped
from condgen.models import contract

ROOT = Path(__file__).resolve().parent.parent
README, RECIPES = (ROOT / "README.md").read_text(), (ROOT / "recipes" / "README.md").read_text()
FIT = (
    "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --trainer.limit_val_batches 1 "
    "--trainer.enable_progress_bar false --trainer.accelerator cpu --model.network.channels "
)
SMALL = {
    "pixelcnn": f"{FIT}6 --model.network.layers 2 --model.network.head 6",
    "cdcgan": f"{FIT}4 --model.discriminator.channels 4",
    "wavenet": f"{FIT}4 --model.network.layers 2 --model.network.stacks 1 --model.network.head 4",
    "wavenet_espeak": """--data.source.texts '["seven", "eleven", "heaven"]' --data.source.pitches [50]""",
    "wavenet_folder": "--data.crop 800",
    "evaluate": "--num_samples 40 --limit 40 --classifier_steps 10",
    "analyze": "--num_samples 2 --classifier_steps 2",
    "adapt": "--steps 1",
}


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands():
    return [line.split("  #")[0].strip() for block in blocks("bash") for line in block.splitlines() if line.strip()]


def small(command):
    """What makes a command quick."""
    _, name, *words = shlex.split(command)
    if name != "fit":
        return shlex.split(SMALL.get(name, ""))
    config = words[words.index("-c") + 1]
    goes_on = ["--trainer.max_epochs", "2"] if "last" in words else []
    return [*shlex.split(f"{SMALL[config.split('_')[0]]} {SMALL.get(config, '')}"), *goes_on]


def photos(folder):
    """Write twelve colour pictures of each of two classes, in several sizes and formats."""
    rng = np.random.default_rng(0)
    for name, i in itertools.product(("cat", "dog"), range(12)):
        path = folder / name / f"{i}.{('jpg', 'png', 'webp')[i % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8)).save(path)


def horses(folder):
    """Write three pictures of a class that no model has seen."""
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (50, 40 + i), (120, 80, 40 * i)).save(folder / f"{i}.png")


def voices(folder):
    """Write twelve recordings of each of two voices, some of them stereo."""
    for (pitch, name), i in itertools.product(enumerate(("ann", "bob"), 2), range(12)):
        path = folder / name / f"{i}.{('wav', 'flac', 'ogg')[i % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = 0.5 * np.sin(np.arange(22_050) * 0.01 * pitch)
        soundfile.write(path, np.stack([wave, wave], 1) if i % 4 == 0 else wave, 44_100)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which all commands have run, in their order."""
    pytest.importorskip("espeakng_loader", reason="the wheel espeakng-loader is not installed")
    folder = tmp_path_factory.mktemp("readme")
    photos(folder / "my_photos")
    voices(folder / "my_voices")
    horses(folder / "my_horses")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        for command in commands():
            program, *arguments = shlex.split(command)
            if program == "condgen" and arguments[0] == "play":  # it goes on until it is stopped
                assert "play" in COMMANDS
                assert main([*arguments, "--help"]) == 0
            elif program == "condgen":
                assert main([*arguments, *small(command)]) == 0, command
            elif program == "make":
                made = subprocess.run([program, "-n", *arguments], cwd=ROOT, capture_output=True)
                assert made.returncode == 0, command
            else:
                assert command == "pip install -e '.[images,espeak,logs]'"
        yield folder


@pytest.mark.slow
def test_every_command_runs_in_order(place):
    seen = {tuple(shlex.split(command)[:2]) for command in commands()}
    assert {("make", "demo"), *(("condgen", n) for n in ("fit", "sample", "evaluate", "data", "show"))} <= seen
    runs = {path.parent.name: len([*path.parent.glob("version_*")]) for path in (place / "runs").glob("*/version_0")}
    assert set(runs) == {"pixelcnn_folder", "cdcgan_folder", "wavenet_folder", "pixelcnn_digits", "wavenet_espeak"}
    assert len([*(place / "sevens").glob("*.png")]) == 17
    assert len([*(place / "speech").glob("*.wav")]) == 2
    assert (place / "report" / "report.md").is_file()


@pytest.mark.slow
def test_the_python_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    names: dict = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["sevens"].images().shape == (4, 8, 8)
    assert abs(names["nats"] + names["sevens"].log_prob).max() < 1e-3
    assert names["between"].images().shape == (5, 8, 8)
    assert names["waveform"].shape == (1, 1, 80)


def test_the_network_of_ones_own_is_drawn_from():
    (block,) = blocks("python", contract.__doc__)
    names: dict = {}
    exec(compile(block, "contract.py", "exec"), names)
    assert names["digits"].shape == (2, 1, 8, 8)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "recipes" / "README.md"], ids=["README", "recipes"])
def test_every_file_and_configuration_it_names_exists(page):
    text = page.read_text()
    for name in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / name).is_file(), name
    for name in re.findall(r"configs/\w+\.yaml|recipes/\w+\.\w+", text):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"condgen (?:fit|data) -c (\w+)", text):
        assert name in shipped(), name


def test_it_is_short():
    assert len(README.encode()) <= 12_000


def figures():
    """The rows of the README's table of figures: what is said, and the command."""
    table = README[README.index("## Figures") :]
    return re.findall(r"^\| (?!\s*\||-)([^|]+\|[^|]+)\| `([^`]+)`", table, flags=re.MULTILINE)


def test_every_figure_stands_beside_its_command_in_recipes():
    assert len(figures()) == 6
    for said, command in figures():
        sections = [section for section in RECIPES.split("\n## ") if command in section]
        assert sections, command
        beside = "".join(sections) + RECIPES[RECIPES.index("## Results") : RECIPES.index("## Speed of sampling")]
        for number in re.findall(r"\d[\d,]*\.\d+|\d[\d,]{3,}", said.partition("|")[2]):
            assert number in beside, f"{number} of {command}"
    others = README[: README.index("## Figures")]
    assert not re.findall(r"\d+(?:\.\d+)? %", others)


@pytest.mark.slow
def test_the_reference_is_built_from_the_docstrings(tmp_path):
    pytest.importorskip("pdoc")
    concepts = re.search(r"^CONCEPTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert all(importlib.util.find_spec(f"condgen.{name}") for name in concepts)
    pages = [*(f"condgen.{name}" for name in concepts), "!condgen.pretrained.hub"]
    assert pages[-1] in (ROOT / "Makefile").read_text()
    done = subprocess.run([sys.executable, "-m", "pdoc", "-o", str(tmp_path), "-d", "google", "condgen", *pages],
                          capture_output=True, text=True, cwd=ROOT)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in concepts:
        assert (tmp_path / "condgen" / f"{name.replace('.', '/')}.html").is_file()
    assert "RasterGRU" in (tmp_path / "condgen" / "models" / "contract.html").read_text()
