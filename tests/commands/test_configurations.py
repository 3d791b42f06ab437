"""Configurations by their names, with and without a clone; and classes of data by theirs."""

import re
import shutil
from pathlib import Path

import pytest

from condgen.cli import main
from condgen.commands import configurations
from condgen.commands.configurations import in_full, shipped

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_every_configuration_is_listed_with_what_it_is_for(capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    assert all(re.fullmatch(r"\w+ +\S.{20,130}[^.:]", line) for line in lines)


def test_it_takes_nothing_and_has_help(capsys, one_line):
    assert main(["configs", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: condgen configs")
    assert main(["configs", "all"]) == 1
    one_line("condgen configs takes no all")


@pytest.mark.parametrize("words", [
    ["-c", "pixelcnn_digits"], ["--config", "pixelcnn_digits.yaml"], ["--config=configs/pixelcnn_digits.yaml"],
])  # fmt: skip
def test_a_name_finds_the_one_that_comes_with_condgen(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(CONFIGS / "pixelcnn_digits.yaml")
    assert in_full(["fit", *words, "--steps", "3"]) in (
        ["fit", words[0], path, "--steps", "3"], ["fit", f"--config={path}", "--steps", "3"]
    )  # fmt: skip


def test_a_file_of_ones_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pixelcnn_digits.yaml").write_text("{}")
    assert in_full(["fit", "-c", "pixelcnn_digits.yaml"]) == ["fit", "-c", "pixelcnn_digits.yaml"]


def test_an_installed_package_brings_them(tmp_path, monkeypatch):
    """A wheel holds them inside the package; see `force-include` in pyproject.toml."""
    shutil.copytree(CONFIGS, tmp_path / "condgen" / "configs")
    monkeypatch.setattr(configurations, "PACKAGE", tmp_path / "condgen")
    assert set(shipped()) == {path.stem for path in CONFIGS.glob("*.yaml")}
    assert all(path.is_relative_to(tmp_path) for path in shipped().values())
    project = (CONFIGS.parent / "pyproject.toml").read_text()
    assert re.search(r'force-include\]\n"?configs"? = "condgen/configs"', project)


@pytest.mark.parametrize("name", ["pixelcn_digits", "configs/pixelcn_digits.yaml"])
def test_a_name_that_is_none_gets_the_nearest(name, one_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "-c", name]) == 1
    one_line(f"there is no configuration {name}: did you mean pixelcnn_digits? `condgen configs` lists")


def test_a_class_of_data_goes_by_its_name_alone():
    words = ["--data.source", "Folder", "--data.source=Digits", "--data.features.mel", "MelSpectrogram", "--out",
             "Folder", "--data.source.root", "Digits", "--data.source", "mine.Folder"]  # fmt: skip
    assert in_full(words) == [
        "--data.source", "condgen.data.Folder", "--data.source=condgen.data.Digits", "--data.features.mel",
        "condgen.data.MelSpectrogram", "--out", "Folder", "--data.source.root", "Digits", "--data.source",
        "mine.Folder",
    ]  # fmt: skip
