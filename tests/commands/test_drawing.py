"""Requests that go on from what is finished: as if they had never stopped, file for file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from condgen.commands import drawing
from condgen.commands.writing import write_batch

DIGITS = ["digits", "--condition.digit", "1,7", "--num_samples", "5", "--batch_size", "2", "--device", "cpu"]


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.fixture
def run():
    """Call `condgen` here; return the exit status."""
    from condgen.cli import main

    return lambda command, out, *options: main([command, *options, "--out", str(out)])


@pytest.fixture
def stop(monkeypatch):
    """End the command, as a full disk would, in the batch of a number."""

    def at(number):
        def write(folder, record, model, plan, batch):
            if batch.number == number:
                raise OSError("no room")
            write_batch(folder, record, model, plan, batch)

        monkeypatch.setattr(drawing, "write_batch", write)

    yield at
    monkeypatch.undo()


def test_what_goes_on_equals_what_never_stopped_and_another_request_is_refused(
    run, stop, tmp_path, monkeypatch, one_line
):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert run("sample", "o", *DIGITS) == 0
    monkeypatch.chdir(tmp_path / "b")
    stop(3)
    assert run("sample", "o", *DIGITS) == 1
    assert [path.name for path in Path().iterdir()] == ["o.unfinished"]
    monkeypatch.setattr(drawing, "write_batch", write_batch)
    one_line("no room")
    assert run("sample", "o", *DIGITS, "--seed", "3") == 1
    one_line("o.unfinished holds what is finished of another request (other seed)", "--overwrite")
    Path("o.unfinished/batches/00000001.npz").write_bytes(b"torn")
    assert run("sample", "o", *DIGITS) == 0
    assert [path.name for path in Path().iterdir()] == ["o"]
    assert files("o") == files(tmp_path / "a" / "o")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_ended_goes_on(number, run, tmp_path, monkeypatch):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    monkeypatch.chdir(tmp_path / "b")
    command = [sys.executable, "-m", "condgen.cli", "sample", *DIGITS, "--num_samples", "200", "--out", "o"]
    command = [word for i, word in enumerate(command) if not (word == "--num_samples" and command[i + 1] == "5")
               and not (word == "5" and command[i - 1] == "--num_samples")]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
    while not list(Path().glob("o.unfinished/batches/0*.npz")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate()
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert number == signal.SIGKILL or "stopping after this batch" in told
    subprocess.run(command, check=True)
    monkeypatch.chdir(tmp_path / "a")
    subprocess.run(command, check=True)
    assert files("o") == files(tmp_path / "b" / "o")


def test_parts_put_together_equal_the_whole_and_others_are_one_line(run, tmp_path, monkeypatch, one_line):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert run("sample", "o", *DIGITS) == 0
    monkeypatch.chdir(tmp_path / "b")
    parts = [f"o.part-{number}-of-3" for number in (3, 1, 2)]
    for number in (1, 2, 3):
        assert run("sample", "o", *DIGITS, "--part", f"{number}/3") == 0
    assert run("sample", "x", *DIGITS, "--part", "3/3", "--seed", "1") == 0
    assert sorted(path.name for path in Path().iterdir()) == [*sorted(parts), "x.part-3-of-3"]
    for given, words in (
        (parts[:2], ["part 2/3 is missing"]),
        ([*parts, parts[0]], ["part 3/3 is given 2 times"]),
        (["x.part-3-of-3", *parts[1:]], ["are parts of different requests (other seed)"]),
        ([*parts, str(tmp_path)], ["is no part of a request"]),
    ):
        assert run("merge", "o", *given) == 1
        one_line(*words)
    assert run("merge", "o", *parts) == 0
    assert files("o") == files(tmp_path / "a" / "o")


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "a/b"])
def test_a_part_that_is_none_is_one_line(part, run, tmp_path, one_line):
    assert run("sample", tmp_path / "o", *DIGITS, "--part", part) == 1
    one_line(f"part '{part}' is not one of several, such as 3/16")
