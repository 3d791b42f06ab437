"""Records of how a sample was made: whole in a picture, and in a WAV file as much as is read again."""

import json

import numpy as np
import pytest
import soundfile

from condgen.commands.provenance import comment, note
from condgen.evaluation.sound import write_wav

RECORD = {"index": 3, "conditions": {"text": "one"}, "seed": 5, "checkpoint": "c" * 64, "versions": {"torch": "2"}}


def test_a_record_that_has_room_is_whole():
    record = {**RECORD, "command": "condgen sample " + "x" * 1500, "conditions": {"animal": "猫"}}
    assert json.loads(comment(record)) == json.loads(note(record)) == record


@pytest.mark.parametrize("change", [
    {"command": "x" * 9000}, {"conditions": {"text": "猫" * 9000}}, {"command": "é" * 3000, "prime": "y" * 3000},
    {"conditions": {f"condition {i}": "x" * 200 for i in range(500)}},
])  # fmt: skip
def test_one_that_has_none_keeps_what_is_short_and_is_read_again(change, tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros(10), 8000, comment({**RECORD, **change}))
    with soundfile.SoundFile(tmp_path / "a.wav") as file:
        found = json.loads(file.comment)
    assert {name: found[name] for name in ("index", "seed", "checkpoint")} == {
        "index": 3, "seed": 5, "checkpoint": "c" * 64,
    }  # fmt: skip
