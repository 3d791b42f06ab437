"""Turns cover all steps."""

import torch

from condgen.engines import (
    tape,
)


def test_turns_cover_all_steps_once(monkeypatch):
    for turn in (0.0, 1e-9, 0.1):
        monkeypatch.setattr(tape, "TURN", turn)
        turns = tape.Turns(range(5, 300), 64, torch.device("cpu"))
        assert [step for turn in turns for step in turn] == list(range(5, 300))
