"""`condgen data` on folders as people have them, and on bad ones: one line, and nothing half-written."""

import json
import runpy
from pathlib import Path

import pytest
from PIL import Image

from condgen.cli import main
from condgen.commands.data import of_data

OWN = runpy.run_path(str(Path(__file__).resolve().parents[1] / "own_data.py"))
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return OWN["photographs"](tmp_path_factory.mktemp("photographs"), {"cat": 24, "dog, large": 14, "caf\u00e9": 3})


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return OWN["recordings"](tmp_path_factory.mktemp("recordings"), {"ann": 14, "bob": 12})


def images(root, *options):
    return main(["data", "--data", "Images", "--data.source", "Folder", f"--data.source.root={root}", *options])


def speech(source, *options):
    return main(["data", "--data", "Speech", "--data.source", source, "--data.sample_rate", "8000", *options])


def test_photographs_of_any_kind_are_shown_with_what_is_to_be_known(photographs, tmp_path, capsys):
    assert images(photographs, "--data.source.size", "16", "--out", str(tmp_path / "out")) == 0
    told = capsys.readouterr().out
    assert "images of 3 × 16 × 16, 256 levels" in told
    assert "| dog, large |" in told
    assert "4 files left out, since their suffixes are of another kind: 3 .db, 1 .ini" in told
    assert "transparent in places" in told
    assert "more than 8 bits per channel, of which the upper 8 are kept" in told
    assert "fewer than 10 examples, of which none need validate or be tested: 'caf\u00e9'" in told
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["examples.png", "report.json", "report.md"]
    assert (tmp_path / "out" / "report.md").read_text(encoding="utf-8") in told
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert {name: sum(own.values()) for name, own in report["counts"]["class"].items()} == {
        "caf\u00e9": 3, "cat": 24, "dog, large": 14,
    }  # fmt: skip
    assert not any("data/prepared" in str(path) for path in Path().rglob("*"))


@pytest.mark.parametrize(("size", "shape"), [("16", "3 × 16 × 16"), ("[12, 20]", "3 × 12 × 20")])
def test_a_size_is_given_on_the_command_line_and_in_a_configuration(photographs, tmp_path, capsys, size, shape):
    config = tmp_path / "c.yaml"
    config.write_text(f"""
model: {{class_path: no.such.Model}}
trainer: {{max_epochs: 3}}
anything: else
data:
  class_path: condgen.data.Images
  init_args:
    source:
      class_path: condgen.data.Folder
      init_args: {{root: {photographs}, size: {size}, fit: squash}}
""")
    assert main(["data", "-c", str(config), "--trainer.max_epochs", "4"]) == 0
    assert images(photographs, "--data.source.size", size) == 0
    assert capsys.readouterr().out.count(f"images of {shape}") == 2


def test_a_report_may_replace_a_report_and_nothing_else(photographs, tmp_path, one_line):
    options = ["--data.source.size", "8", "--out", str(tmp_path / "out")]
    assert images(photographs, *options) == 0
    assert images(photographs, *options) == 1
    one_line("is not empty; give another folder, or --overwrite")
    assert images(photographs, *options, "--overwrite") == 0
    (tmp_path / "out" / "mine.txt").touch()
    assert images(photographs, *options, "--overwrite") == 1
    one_line("holds more than results (mine.txt)")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["AudioFolder", "Manifest"])
def test_recordings_are_prepared_once_for_this_and_for_training(recordings, tmp_path, capsys, kind):
    place = recordings if kind == "AudioFolder" else recordings / "table.csv"
    options = [f"--data.source.{'root' if kind == 'AudioFolder' else 'path'}", str(place), "--data.resample", "true",
               "--data.mono", "true", "--out", str(tmp_path / "out")]  # fmt: skip
    assert speech(kind, *options) == 0
    told = capsys.readouterr()
    assert "8,000 samples per second" in told.out
    assert "Clips last 0.20 to 0.33 s" in told.out
    prepared = {path: path.stat().st_mtime_ns for path in Path("data/prepared").rglob("*")}
    assert speech(kind, *options, "--overwrite") == 0
    assert {path: path.stat().st_mtime_ns for path in Path("data/prepared").rglob("*")} == prepared
    assert {f"{i:04d}.wav" for i in range(8)} | {"examples.png", "report.json", "report.md"} == {
        path.name for path in (tmp_path / "out").iterdir()
    }
    seconds = json.loads((tmp_path / "out" / "report.json").read_text())["seconds"]["speaker"]
    # The length of an MP3 or an Ogg is that of what was written.
    assert seconds == pytest.approx({"ann": sum(0.2 + 0.01 * i for i in range(14)),
                                     "bob": sum(0.2 + 0.01 * i for i in range(12))}, abs=0.01)  # fmt: skip


def save(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


BAD = {
    "an empty folder": (lambda root: None, "has no folders: put the images of each class into a folder"),
    "a class without images": (lambda root: (save(root / "a" / "1.png"), (root / "b").mkdir()), "no images of class b"),
    "a folder for each split": (lambda root: [save(root / s / "a" / "1.png") for s in ("train", "test")],
                                "has a folder for each split"),
    "several sizes": (lambda root: [save(root / "a" / f"{i}.png", (8 + i, 6)) for i in range(9)],
                      "are of 9 sizes, from 6 × 8 to 6 × 16"),
    "what is no picture": (lambda root: (save(root / "a" / "1.png"), (root / "a" / "2.png").write_text("x")),
                           "2.png is not a readable image"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "said"), BAD.values(), ids=BAD)
def test_a_bad_folder_is_one_line_and_nothing_is_written(tmp_path, one_line, make, said):
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")
    assert images(tmp_path / "in", "--out", str(tmp_path / "out")) == 1
    one_line(said)
    assert not (tmp_path / "out").exists()


def test_a_file_or_nothing_in_place_of_a_folder_is_one_line(tmp_path, one_line):
    (tmp_path / "a.txt").touch()
    assert images(tmp_path / "a.txt") == 1
    one_line("a.txt is a file, not a folder; give the folder of the images")
    assert images(tmp_path / "gone") == 1
    one_line("gone is not there", "--data.source.root NEW")


def test_folders_named_like_options_are_folders(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        save(tmp_path / "--data" / "--overwrite" / f"{i}.png")
    assert images("--data") == 0
    assert "| --overwrite | 2 | 2 |" in capsys.readouterr().out


def test_a_table_without_the_column_is_one_line(tmp_path, one_line):
    (tmp_path / "m.csv").write_text("file,speaker\na.wav,ann\n")
    assert speech("Manifest", "--data.source.path", str(tmp_path / "m.csv")) == 1
    one_line("m.csv has no column 'path' or 'file_name'; it has file, speaker")


def test_recordings_of_another_rate_are_one_line_before_any_is_prepared(recordings, one_line):
    assert speech("AudioFolder", "--data.source.root", str(recordings)) == 1
    one_line(" has 44100 samples per second, not 8000: set data.resample to true", "clips are such")
    assert not Path("data").exists()


def test_what_is_missing_on_the_command_line_is_said(tmp_path, one_line):
    assert main(["data"]) == 1
    one_line("required: data; give a configuration with -c FILE.yaml")
    (tmp_path / "c.yaml").write_text("model: {}\n")
    assert main(["data", "-c", str(tmp_path / "c.yaml")]) == 1
    one_line("c.yaml says nothing about data")
    (tmp_path / "c.yaml").write_text("data: [\n")
    assert main(["data", "-c", str(tmp_path / "c.yaml")]) == 1
    one_line("c.yaml is malformed YAML")
    assert main(["data", "-c", str(tmp_path / "d.yaml")]) == 1
    one_line("d.yaml: `condgen configs` lists")


def test_sources_are_called_by_their_names_and_configurations_by_their_files():
    argv = ["-c", str(CONFIGS / "pixelcnn_digits.yaml"), f"--config={CONFIGS / 'pixelcnn_digits.yaml'}",
            "--data.source", "Folder", "--data.source.root", "Folder", "--data", "Images"]  # fmt: skip
    option, first, _, second, *rest = of_data(argv)
    assert option == "-c"
    assert first == second
    assert list(json.loads(first)) == ["data"]
    assert rest == ["--data.source", "condgen.data.Folder", "--data.source.root", "Folder", "--data", "Images"]


def test_the_help_says_which_columns_a_table_has(capsys):
    assert main(["data", "--data", "Speech", "--data.source.help", "Manifest"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert all(column in told for column in ("`path`", "`file_name`", "`speaker`", "`split`", "`text`", "`phonemes`"))
