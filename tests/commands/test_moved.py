"""Which option says where data are that have moved."""

from pathlib import Path

import pytest

from condgen.commands.moved import saying_where
from condgen.data import MNIST, AudioFolder, Folder, LJSpeech, Manifest, SpeechCommands


@pytest.mark.parametrize(("source", "argument"), [
    (Folder, "root"), (AudioFolder, "root"), (LJSpeech, "root"), (SpeechCommands, "root"), (Manifest, "path"),
    (lambda root: MNIST(root, "fixed").load("test"), "root"),
    (lambda root: MNIST(root, download=False).load("test"), "root"),
    (lambda root: Path(f"{root}/x").read_text(), "root"),
])  # fmt: skip
@pytest.mark.parametrize("place", ["moved", "./moved/data.csv"])
def test_the_option_of_the_missing_path_is_named(tmp_path, monkeypatch, source, argument, place):
    monkeypatch.chdir(tmp_path)
    arguments = {"condition": "folder", argument: place, "size": None, "note": "the"}
    with (
        pytest.raises(ValueError, match=rf"; say where the data are with --data\.source\.{argument} NEW$"),
        saying_where({"init_args": arguments}),
    ):
        source(place)


def test_other_errors_pass_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    with (
        pytest.raises(ValueError, match=r"no images of class cat; add some or remove the folder$"),
        saying_where({"init_args": {"root": "photos", "condition": "class"}}),
    ):
        Folder("photos")
    with pytest.raises(KeyError), saying_where(None):
        raise KeyError("a")
