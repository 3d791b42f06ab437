"""Output folders: replaced only when asked, and then nothing but results."""

import pytest

from condgen.commands.output import output_folder


def test_results_are_replaced_only_when_asked_and_nothing_else_ever(pixelcnn, sample, tmp_path, one_line, capsys):
    out = tmp_path / "out"
    options = ["--condition.digit", "1"]
    assert sample(pixelcnn, out, *options) == 0
    before = (out / "manifest.jsonl").read_text()
    assert sample(pixelcnn, out, *options) == 1
    one_line("is not empty", "--overwrite")
    assert sample(pixelcnn, out, *options, "--overwrite", "--top_k", "0") == 1
    assert (out / "manifest.jsonl").read_text() == before
    assert sample(pixelcnn, out, *options, "--overwrite", "--seed", "9") == 0
    assert (out / "manifest.jsonl").read_text() != before
    capsys.readouterr()
    for name in ("precious.txt", "runs"):
        (out / name).mkdir() if name == "runs" else (out / name).write_text("mine")
        assert sample(pixelcnn, out, *options, "--overwrite") == 1
        one_line(f"holds more than results ({name})", "not overwritten")
        (out / name).rmdir() if name == "runs" else (out / name).unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_output_that_appears_meanwhile_is_kept(tmp_path):
    with pytest.raises(ValueError, match="is not empty"), output_folder(tmp_path / "out") as folder:  # noqa: PT012
        (folder / "second.npz").touch()
        with output_folder(tmp_path / "out") as other:
            (other / "first.npz").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "first.npz"]


def test_a_file_is_not_taken_for_a_folder(tmp_path):
    (tmp_path / "file").touch()
    for place in ("file", "file/inside"):
        with pytest.raises(ValueError, match="is a file or lies in one"), output_folder(tmp_path / place, True):
            pass


@pytest.mark.slow
def test_a_folder_of_recordings_is_never_overwritten(draw, asked, make, tmp_path, one_line):
    """It looks like one of results: sound, and a list of it in JSON lines."""
    for file in ("0000.wav", "0001.wav"):
        make.tone(tmp_path / "mine" / file, 200, 400)
    (tmp_path / "mine" / "manifest.jsonl").write_text('{"path": "0000.wav", "speaker": "theo"}\n')
    assert draw("wavenet_fsdd", tmp_path / "mine", *asked(), "--overwrite") == 1
    one_line("holds more than results")
    assert len(list((tmp_path / "mine").iterdir())) == 3
    assert draw("wavenet_fsdd", tmp_path / "out", *asked()) == 0
    assert draw("wavenet_fsdd", tmp_path / "out", *asked(), "--overwrite") == 0
