"""Names of samples' files: readable, and safe on every file system, whatever conditions and classes are called."""

import unicodedata

import pytest

from condgen.commands.naming import file_names, title


@pytest.mark.parametrize(("labels", "index", "suffix", "name"), [
    ({"digit": "7"}, 3, ".png", "digit=7_0003.png"),
    ({"speaker": "jackson", "digit": "7"}, 12, ".wav", "speaker=jackson_digit=7_0012.wav"),
    ({"speaker": "en-us+f2"}, 0, ".wav", "speaker=en-us+f2_0000.wav"),
    ({}, 5, ".png", "sample_0005.png"),
    ({"mel": "/home/me/7_theo.wav"}, 0, ".wav", "mel=7_theo.wav_0000.wav"),
    ({"map": "maps.npy[3]"}, 0, ".png", "map=maps.npy-3-_0000.png"),
    ({"kind": "n/a, or: none?"}, 0, ".png", "kind=n-a--or--none-_0000.png"),
    ({"animal": "猫"}, 0, ".png", "animal=猫_0000.png"),
    ({"..": "CON.x"}, 1, ".png", "condition=CON.x_0001.png"),
])  # fmt: skip
def test_a_name_says_what_was_asked_for(labels, index, suffix, name):
    assert file_names([labels], [index], suffix) == [name]


@pytest.mark.parametrize("word", ["a/b\\c", "..", "a\0b\nc\x1b[31m", 'q"<>|:*?', "x" * 5000, "猫" * 5000, "", " ", ".",
                                  "\udcff", "e\u0301", "a,b,c", "CON", "nul.", "-rf", "ＷＩＤＥ", "‮gnp"])  # fmt: skip
def test_any_word_gives_a_safe_name(word):
    names = file_names([{word: word}, {word: word, "other": word}, {"name": word}], [0, 1, 2], ".png")
    assert len(set(names)) == 3
    for name in names:
        assert len(name.encode()) <= 140
        assert not set(name) & set('/\\:*?"<>|,\0\n\x1b ')
        assert all(c.isprintable() for c in name)
        assert name[0] not in "-. ="
        assert unicodedata.is_normalized("NFC", name)
        assert name.split(".")[0].upper() not in {"CON", "NUL", "PRN", "AUX", "COM1", "LPT1"}


def test_names_that_differ_in_case_or_in_what_is_cut_differ_by_the_index():
    labels = [{"kind": word} for word in ("a", "A", "a/b", "a,b", "x" * 50, "x" * 51)]
    assert len({name.lower() for name in file_names(labels, range(6), ".png")}) == 6


def test_a_thousand_files_are_in_one_folder_and_more_are_in_several():
    assert file_names([{}], [999], ".png") == ["sample_0999.png"]
    assert file_names([{}] * 3, [0, 999, 1000], ".png") == [
        "0000-0999/sample_0000.png", "0000-0999/sample_0999.png", "1000-1999/sample_1000.png",
    ]  # fmt: skip
    assert file_names([{}], [123_456], ".png") == ["123000-123999/sample_123456.png"]


def test_a_title_says_it_in_words():
    assert title({"speaker": "jackson", "mel": "/home/me/7.wav"}) == "jackson, 7.wav"
    assert title({}) == "samples"
