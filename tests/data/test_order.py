"""The order of names."""

from condgen.data.order import ordered


def test_numbers_stand_by_value_and_before_words():
    names = ["10", "2", "1", "02", "1.5", "1.25", "-1", "a10", "a2", "a02b", "b", "9" * 5000]
    assert ordered(names) == ["-1", "1", "1.25", "1.5", "02", "2", "10", "9" * 5000, "a2", "a02b", "a10", "b"]
    assert ordered(["0.0", "10.0", "2.0"]) == ["0.0", "2.0", "10.0"]
    assert ordered(["x" + "9" * 5000, "x1"]) == ["x1", "x" + "9" * 5000]
