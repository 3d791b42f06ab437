"""The parser of commands: what is wrong with an option is one line in words."""

import pytest

from condgen.commands.parser import in_words, parse


def command(seconds: float | None = None, count: int = 1, name: str = "a"):
    """Do something.

    Args:
        seconds: length.
        count: number.
        name: name.
    """


@pytest.mark.parametrize(("option", "value", "kind"), [
    ("seconds", "nan", "a finite number"), ("seconds", "inf", "a finite number"), ("seconds", "x", "a finite number"),
    ("count", "1.5", "a whole number"), ("count", "many", "a whole number"),
])  # fmt: skip
def test_a_value_of_another_kind_is_told_in_words(option, value, kind):
    with pytest.raises(ValueError, match=f"^{option}: '{value}' is not {kind}$"):
        parse(command, ["command", f"--{option}", value])


def test_other_messages_stay_as_they_are():
    assert in_words("x: Expected a <class 'tuple'>. Got value: 3") == "x: Expected a <class 'tuple'>. Got value: 3"
    assert parse(command, ["command", "--seconds", "1e2"])["seconds"] == 100
