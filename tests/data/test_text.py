"""Text and JSON of others: one line that says where, whatever is wrong with it."""

import pytest

from condgen.data.text import read_json, read_text, shown


@pytest.mark.parametrize(("text", "message"), [
    ("1" * 5000, "a number has too many digits"),
    ("[" * 3000, "malformed JSON"),
    ("[" * 100_000 + "]" * 100_000, "malformed JSON"),
    ('{"a": NaN}', "NaN is not a number"),
    ('{"a": 1, "a": 2}', "'a' is named twice"),
    ('{"a": ', "at character"),
])  # fmt: skip
def test_faulty_json_says_where(text, message):
    with pytest.raises(ValueError, match=f"^m.jsonl, row 7 is malformed JSON: .*{message}|^m.jsonl, row 7 .*{message}"):
        read_json(text, "m.jsonl, row 7")


def test_a_value_is_shown_in_a_few_words():
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert len(shown(deep)) < 200
    assert len(shown("x" * 5000)) == 80
    assert shown(["é", 1]) == '["é", 1]'


def test_a_mark_at_the_beginning_is_no_text_and_other_encodings_are_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert read_text(tmp_path / "a.txt") == "a\r\nb"
    (tmp_path / "a.txt").write_text("a", encoding="utf-16")
    with pytest.raises(ValueError, match=r"a\.txt is not UTF-8 text .*save it as UTF-8"):
        read_text(tmp_path / "a.txt")
