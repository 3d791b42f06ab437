"""`condgen show`: how a sample was made and what a checkpoint is, in plain lines that steer no terminal."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from condgen.cli import main

RECORD = {"index": 3, "conditions": {"digit": "7"}, "seed": 5, "checkpoint": "c" * 64}


def shown(capsys, *argv):
    """The lines of `condgen show`, as words and texts."""
    capsys.readouterr()
    assert main(["show", *map(str, argv)]) == 0
    return [tuple(line.split(None, 1)) for line in capsys.readouterr().out.splitlines()]


def picture(path, text):
    info = PngInfo()
    info.add_text("condgen", text)
    Image.new("L", (2, 2)).save(path, pnginfo=info)


def test_whatever_sampling_wrote_is_shown(pixelcnn, sample, tmp_path, capsys):
    out = tmp_path / "o"
    assert sample(pixelcnn, out, "--condition.digit", "7,3", "--seed", "5") == 0
    for file in ("digit=7_0000.png", "samples.npz", "manifest.jsonl", "grid.png", "."):
        lines = shown(capsys, out / file)
        words = dict(line for line in lines if len(line) == 2)
        assert words["seed"] == "5"
        assert words["command"].startswith("condgen sample --ckpt_path ")
        assert len(words["checkpoint"]) == 64
        assert "condgen=" in words["versions"]
        assert any("digit=7" in text for _, text in lines)
        assert any("digit=3" in text for _, text in lines) == (file != "digit=7_0000.png")


def test_sound_is_shown(cdcgan_audio, sample, tmp_path, capsys):
    assert sample(cdcgan_audio, tmp_path / "o", "--condition.digit", "1", "--condition.speaker", "theo") == 0
    words = dict(shown(capsys, next((tmp_path / "o").glob("*.wav"))))
    assert (words["index"], words["conditions"]) == ("0", "speaker=theo, digit=1")


@pytest.mark.parametrize(("kind", "words"), [
    ("pixelcnn_digits", ["PixelCNN", "digit: ClassEmbedding of 0, 1, 2", "mechanism bias", "Digits",
                         "1 epochs, 2 steps", "val/bits_per_dim", "format 1"]),
    ("cdcgan_fsdd", ["Generator", "speaker: ClassEmbedding of george, theo", "FreeSpokenDigits", "1 epochs, 3 steps"]),
])  # fmt: skip
def test_a_checkpoint_says_what_it_is_and_how_to_draw_from_it(kind, words, trained, tmp_path, capsys):
    lines = shown(capsys, trained(kind))
    text = "\n".join(" ".join(line) for line in lines)
    assert all(word in text for word in words)
    command = shlex.split(next(line[1] for line in lines if line[0] == "draw").partition("from it")[2])
    assert command[:2] == ["condgen", "sample"]
    assert main([*command[1:-1], str(tmp_path / "drawn")]) == 0
    assert (tmp_path / "drawn" / "manifest.jsonl").is_file()


@pytest.mark.slow
def test_audio_is_drawn_by_the_command_that_is_shown(trained, tmp_path, capsys):
    lines = shown(capsys, trained("wavenet_fsdd"))
    command = shlex.split(next(line[1] for line in lines if line[0] == "draw").partition("from it")[2])
    assert command[-4:-2] == ["--seconds", "1"]
    assert main([*command[1:-3], "0.05", "--out", str(tmp_path / "drawn")]) == 0


@pytest.mark.parametrize("word", ["\x1b[31mred", "a\nb", "\x07", "‮", "\udcff", "\x9b2J"])
def test_nothing_that_is_shown_steers_the_terminal(word, tmp_path, capsys):
    record = {**RECORD, "conditions": {word: word}, word: [word], "command": word}
    picture(tmp_path / "a.png", json.dumps(record))
    (tmp_path / "manifest.jsonl").write_text(f"{json.dumps({'file': word, **record})}\n" * 2)
    np.savez(tmp_path / "samples.npz", provenance=np.array(json.dumps(record)))
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 8000, 1) as file:
        file.comment = json.dumps(record)
    for file in ("a.png", "manifest.jsonl", "samples.npz", "a.wav"):
        capsys.readouterr()
        assert main(["show", str(tmp_path / file)]) == 0
        out = capsys.readouterr().out
        assert all(c.isprintable() or c == "\n" for c in out)
        assert len(out.splitlines()) == (9 if file == "manifest.jsonl" else 6)


def without_note(folder):
    Image.new("L", (2, 2)).save(folder / "plain.png")
    picture(folder / "no_json.png", "{nonsense")
    picture(folder / "no_record.png", "[1]")
    picture(folder / "deep.png", "[" * 100_000)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    soundfile.write(folder / "plain.wav", np.zeros(5), 8000)
    (folder / "broken.wav").write_bytes(b"RIFF\0\0\0\0WAVEbroken")
    np.savez(folder / "plain.npz", samples=np.zeros(3))
    np.savez(folder / "objects.npz", provenance=np.array([{}], dtype=object))
    (folder / "broken.npz").write_bytes(b"PK\x03\x04broken")
    (folder / "manifest.jsonl").write_text('{"path": "a.wav", "speaker": "theo"}\n')
    (folder / "empty").touch()
    (folder / "text.txt").write_text("hello\n")
    return sorted(folder.iterdir())


def test_a_file_without_a_note_is_one_line(tmp_path, one_line, capsys):
    for file in without_note(tmp_path):
        assert main(["show", str(file)]) == 1, file
        one_line(file.name, "does not say how it was made")
    (tmp_path / "broken.ckpt").write_bytes(b"PK\x03\x04broken")
    for file, words in {"broken.ckpt": "cannot be read", "nowhere": "does not exist"}.items():
        assert main(["show", str(tmp_path / file)]) == 1
        one_line(file, words)
    (tmp_path / "folder").mkdir()
    assert main(["show", str(tmp_path / "folder")]) == 1
    one_line("folder has no manifest.jsonl")
    assert main(["show"]) == 1
    one_line("path")


def test_of_many_samples_some_are_shown(tmp_path, capsys):
    rows = [json.dumps({"file": f"{i}.png", **RECORD, "index": i}) for i in range(500)]
    (tmp_path / "manifest.jsonl").write_text("\n".join(rows))
    lines = shown(capsys, tmp_path)
    assert len(lines) == 24
    assert lines[-1] == ("…", "and 480 more")


def test_pictures_and_sound_are_shown_without_a_framework(tmp_path):
    picture(tmp_path / "a.png", json.dumps(RECORD))
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 8000, 1) as file:
        file.comment = json.dumps(RECORD)
    calls = [["show", "--help"], ["show", str(tmp_path / "a.png")], ["show", str(tmp_path / "a.wav")]]
    code = f"import condgen.cli, sys\nfor argv in {calls}: assert condgen.cli.main(argv) == 0\nprint(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__)
                           .resolve().parents[2])  # fmt: skip
    assert "digit=7" in found.stdout
    assert not {"torch", "pytorch_lightning", "matplotlib"} & set(found.stdout.split())
