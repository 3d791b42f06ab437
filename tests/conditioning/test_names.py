"""Which class a word means: names, then equal numbers, and positions only where no name is a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condgen.conditioning.names import find_class, find_name, find_position, spelled, split_words, taken_by_position

SPEAKERS = [f"{i:02d}" for i in range(1, 60)]


@pytest.mark.parametrize(("names", "word", "name"), [
    (SPEAKERS, "7", "07"),
    (SPEAKERS, "07", "07"),
    (["0.0", "1.0", "2.0", "10.0"], "2", "2.0"),
    (["0.0", "1.0", "2.0", "10.0"], "1e1", "10.0"),
    (["1", "2", "3"], "2.0", "2"),
    (["-1", "+1"], "1", "+1"),
    (["1", "01"], "01", "01"),
    (["ann", "bob"], "1", "bob"),
])  # fmt: skip
def test_a_word_is_a_name_or_an_equal_number_or_a_position(names, word, name):
    assert names[find_class(names, word)] == name


@pytest.mark.parametrize(("names", "word", "message"), [
    (["1", "2", "3"], "0", r"^has no class '0'; its classes: 1, 2, 3$"),
    (SPEAKERS, "0", "has no class '0'"),
    (["ann", "2"], "0", "has no class '0'"),
    (["1", "01"], "1.0", "several names that equal '1.0': '1' and '01'"),
    (["ann", "bob"], "2", r"has no class '2'; its classes: ann, bob \(or positions 0 to 1\)"),
    (["ann", "bob"], "1.0", "has no class '1.0'"),
    (["ann", "bob"], "٠", "has no class"),
    (["ann", "bob"], "9" * 5000, "has no class"),
    (["1", "2"], "9" * 5000, "has no class"),
])  # fmt: skip
def test_a_word_that_is_no_class_or_several_is_refused(names, word, message):
    with pytest.raises(ValueError, match=message):
        find_class(names, word)


@given(st.lists(st.integers(-99, 99), unique=True, min_size=1), st.data())
def test_a_number_never_means_a_class_of_another_number(numbers, data):
    names = [data.draw(st.sampled_from([f"{n}", f"{n}.0", f"{n:03d}", f"{n}e0"])) for n in numbers]
    asked = data.draw(st.integers(-120, 120))
    found = find_name(names, str(asked))
    assert (found is None) == (asked not in numbers)
    assert found is None or float(names[found]) == asked
    assert find_position(names, str(asked)) is None


def test_what_was_taken_by_position_is_listed():
    assert taken_by_position(["ann", "bob", "cy"], "2, ann,0") == {"2": "cy", "0": "ann"}
    assert taken_by_position(["ann", "bob"], "all") == {}
    assert taken_by_position(["a,1", "b"], "a,1") == {}
    assert taken_by_position(SPEAKERS, "7") == {}


def test_letters_with_marks_are_found_however_they_are_spelled():
    for names, word in ((["Andr\u00e9", "bob"], "Andre\u0301"), (["Andre\u0301", "bob"], " Andr\u00e9")):
        assert find_class(names, word) == 0
    assert spelled(" Andre\u0301 ") == "Andr\u00e9"


@pytest.mark.parametrize(("names", "text", "words"), [
    (["ann", "bob"], "ann,bob", ["ann", "bob"]),
    (["ann", "bob"], "ann, zoe", ["ann", "zoe"]),
    (["dog, large", "cat"], "cat,dog, large", ["cat", "dog, large"]),
    (["dog, large", "dog"], "dog,dog, large", ["dog", "dog, large"]),
    (["a", "b", "a,b"], "a,b", ["a,b"]),
    (["a,b"], "a,c", ["a", "c"]),
    (["Andr\u00e9, 1", "b"], "Andre\u0301, 1,b", ["Andre\u0301, 1", "b"]),
])  # fmt: skip
def test_commas_within_a_name_do_not_split(names, text, words):
    assert split_words(names, text) == words


@given(st.lists(st.text("ab,", min_size=1).filter(lambda name: name.strip(",") == name), unique=True, min_size=1))
def test_every_name_alone_is_one_word(names):
    assert all(split_words(names, name) == [name] for name in names)
