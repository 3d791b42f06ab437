"""The harness of files that are broken, huge or bent counts faults that are planted, and finds none of condgen's."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))

from stress_bombs import End, aside
from stress_files import FORMATS, SEALED, Format, bent, digits, flipped

from condgen.checkpoint import Checkpoint
from condgen.trust import check_plain


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_is_bent_is_one_line_that_names_the_file(name, tmp_path):
    assert not bent(FORMATS[name], tmp_path, 12)


@pytest.mark.parametrize("name", SEALED)
def test_no_flipped_bit_is_taken_in_silence(name, tmp_path):
    assert not flipped(FORMATS[name], tmp_path, 12)


def planted(read):
    def write(folder):
        (folder / "a.txt").write_bytes(bytes(100))
        return [folder / "a.txt"]

    return Format(write, lambda folder: read(folder / "a.txt"))


def keyed(path):
    raise KeyError(path)


def unnamed(path):
    raise ValueError("broken")


def commanding(path):
    raise ValueError(f"{path} names \x1b[2J")


@pytest.mark.parametrize(("read", "kind"), [(keyed, "KeyError"), (unnamed, "names no file"), (commanding, "escape")])
def test_a_planted_fault_is_counted(read, kind, tmp_path):
    found = bent(planted(read), tmp_path, 5)
    assert found.total() == 5
    assert all(kind in name for name in found)


def test_a_planted_silence_is_counted(tmp_path):
    assert len(flipped(planted(lambda path: [path.read_bytes()]), tmp_path, 5)) == 5


def test_a_planted_bomb_is_measured(tmp_path):
    status, said, used = aside(lambda: bytes(range(256)) * 2**22, tmp_path / "said")
    assert (status, said) == (0, "")
    assert used.ru_maxrss > 2**20  # a gigabyte, in kB
    assert not End(used.ru_maxrss, 0, "", True).is_defused
    assert "Traceback of KeyError" in aside(lambda: {}["x"], tmp_path / "said")[1]


def test_weights_that_are_not_finite_are_refused_when_the_model_is_built(tmp_path):
    found = digits()
    name = next(name for name, value in found["state_dict"].items() if value.is_floating_point())
    bad = found["state_dict"][name].clone()
    bad.view(-1)[0] = float("nan")
    torch.save({**found, "state_dict": {**found["state_dict"], name: bad}}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt: the weight .* is not finite: the training diverged"):
        Checkpoint.open(tmp_path / "a.ckpt").model()


def test_a_tensor_of_more_numbers_than_its_bytes_is_refused(tmp_path):
    found = digits()
    state = {**found["state_dict"], "model.x": torch.ones(1).expand(10**6, 10**6)}
    torch.save({**found, "state_dict": state}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt holds fewer bytes for 'model\.x' of state_dict than its shape says"):
        Checkpoint.open(tmp_path / "a.ckpt")


def test_data_nested_by_reference_are_refused_before_they_are_walked():
    doubled = ["x"]
    for _ in range(19):
        doubled = [doubled, doubled]
    with pytest.raises(ValueError, match="holds more than 500,000 parts of data"):
        check_plain(doubled)


def test_what_would_command_a_terminal_is_refused():
    with pytest.raises(ValueError, match=r"holds '\\x1b\[2J', which would command a terminal"):
        check_plain({"names": ["a", "\x1b[2J"]})
