"""Tables as people and their programs write them: read as meant, or one line with file and row."""

import json
import os

import numpy as np
import pytest
import soundfile

from condgen.data import Manifest


@pytest.fixture
def table(tmp_path):
    """Write a manifest beside recordings a.wav, b.wav and c.wav; return what reads it."""
    for name in "abc":
        (tmp_path / f"{name}.wav").touch()

    def read(text, suffix="csv", **options):
        (tmp_path / f"m.{suffix}").write_bytes(text if isinstance(text, bytes) else text.encode())
        return Manifest(str(tmp_path / f"m.{suffix}"), **options)

    return read


READ = {
    "blank in the header": "path, split,speaker \na.wav,train,ann\nb.wav,test,bob\n",
    "blanks in cells": "path,split,speaker\n a.wav , train, ann\nb.wav,test ,bob \n",
    "mark": "\ufeffpath,split,speaker\na.wav,train,ann\nb.wav,test,bob\n",
    "quotes": '"path","split","speaker"\r\n"a.wav", "train","ann"\r\n"b.wav",test,"bob"\r\n',
    "blank lines": "\npath,split,speaker\n\na.wav,train,ann\n\n\nb.wav,test,bob\n\n",
    "empty rows of a spreadsheet": "path,split,speaker\na.wav,train,ann\n,,\nb.wav,test,bob\n , ,\n",
    "commas at the end": "path,split,speaker,,\na.wav,train,ann,,\nb.wav,test,bob,,,,\n",
    "capitals": "path,split,speaker\na.wav,Train,ann\nb.wav,TEST,bob\n",
}


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_what_spreadsheets_do_is_read_as_meant(table, text):
    source = table(text)
    assert source.names == {"speaker": ["ann", "bob"]}
    assert [(clip.path.name, clip.labels["speaker"]) for clip in source.clips("train")] == [("a.wav", "ann")]
    assert [(clip.path.name, clip.labels["speaker"]) for clip in source.clips("test")] == [("b.wav", "bob")]


REFUSED = {
    "column twice": ("path,speaker,speaker\na.wav,ann,bob\n", r"row 1 names the column 'speaker' twice"),
    "column twice but for a blank": ("path,speaker,speaker \na.wav,ann,bob\n", r"row 1 names .* twice"),
    "another case": ("path,Split\na.wav,test\n", r"has a column 'Split'; write it 'split'"),
    "label of another case": ("path,Speaker\na.wav,ann\n", r"has a column 'Speaker'; write it 'speaker', or name"),
    "NaN": ("path,speaker\na.wav,ann\nb.wav,NaN\n", r"row 3 has no speaker"),
    "nan": ("path,digit\na.wav,1.0\nb.wav,nan\n", r"row 3 has no digit"),
    "semicolons": ("path;speaker\na.wav;ann\n", r"separate columns with commas, not with ';'"),
    "tabs": ("path\tspeaker\na.wav\tann\n", r"separate columns with commas, not with '\\t'"),
    "cell without a column": ("path,speaker,\na.wav,ann,x\n", r"row 2 has a cell in a column without a name"),
    "more cells": ("path,speaker\na.wav,ann,x\n", r"row 2 has more cells than the header"),
    "split": ("path,split\na.wav,holdout\n", r"row 2: unknown split 'holdout'; known: train"),
    "the same with a dot": ("path\na.wav\n./a.wav\n", r"row 3 lists \./a\.wav again, as .*row 2 does, as a\.wav"),
    "a symbolic link": ("path\na.wav\nlink.wav\n", r"row 3 lists link\.wav again, as .*row 2 does, as a\.wav"),
    "a hard link": ("path\na.wav\nhard.wav\n", r"row 3 lists hard\.wav again"),
    "a folder": ("path\na.wav\nfolder\n", r"row 3: .*folder is a folder; give a recording"),
    "a path too long": (f"path\n{'a' * 5000}\n", r"row 2: .*a does not exist"),
    "digits in phonemes": (f"path,phonemes\na.wav,{'1' * 5000}\n", r"row 2: phonemes .*… are not a JSON list"),
    "brackets in phonemes": (f"path,phonemes\na.wav,{'[' * 3000}\n", r"row 2: phonemes .*… are not a JSON list"),
    "a long cell": (f"path,speaker\na.wav,{'x' * 200_000}\n", r"row 2 is malformed CSV"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_clear_is_one_line_with_the_row(table, tmp_path, text, message):
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / "a.wav", tmp_path / "link.wav")
    os.link(tmp_path / "a.wav", tmp_path / "hard.wav")
    with pytest.raises(ValueError, match=r"m\.csv.*" + message) as caught:
        table(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("line", "message"), [
    ('{"path": "a.wav", "speaker": NaN}', r"row 1 is malformed JSON: NaN is not a number"),
    ('{"path": "a.wav", "speaker": "NaN"}', r"row 1 has no speaker"),
    ('{"path": "a.wav", "speaker": null}', r"row 1 has no speaker"),
    ('{"path": "a.wav", "speaker": 1e999}', r"row 1: speaker .* is not a label"),
    ('{"path": "a.wav", "speaker": 1, "speaker": 2}', r"row 1 is malformed JSON: 'speaker' is named twice"),
    ('{"path": "a.wav", "speaker": 1, "speaker ": 2}', r"row 1 names 'speaker' twice"),
    (f'{{"path": "a.wav", "speaker": {"1" * 5000}}}', r"row 1 is malformed JSON: a number has too many digits"),
    (f'{{"path": "a.wav", "speaker": {"[" * 3000}', r"row 1 is malformed JSON"),
    (f'{{"path": "a.wav", "speaker": {"[" * 900}{"]" * 900}}}', r"row 1: speaker \[+… is not a label"),
])  # fmt: skip
def test_json_that_is_not_clear_is_one_line_with_the_row(table, line, message):
    with pytest.raises(ValueError, match=r"m\.jsonl, " + message) as caught:
        table(line, "jsonl")
    assert len(str(caught.value)) < 400


def test_a_name_of_thousands_of_digits_is_a_name_like_others(table):
    assert table(f"path,speaker\na.wav,{'1' * 5000}\nb.wav,2\n").names == {"speaker": ["2", "1" * 5000]}


def test_names_of_json_keys_may_have_blanks_around_them(table):
    assert table(json.dumps({"path ": "a.wav", " split": "test"}), "jsonl").clips("test")[0].path.name == "a.wav"


def test_labels_that_are_named_may_have_any_case(table):
    assert table("path,Speaker\na.wav,ann\n", labels=["Speaker"]).names == {"Speaker": ["ann"]}


def test_all_bad_rows_are_named_at_once_and_recordings_that_cannot_be_read(table, tmp_path):
    for name in "acd":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(10), 8000)
    (tmp_path / "b.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"^4 rows of .*m\.csv cannot be used: .*row 3: .*no\.wav .*; .*row 4: .*b\.wav"
                       r" is not a readable audio file .*; .*row 5 has no .*; .*row 6: unknown split 'x'"):  # fmt: skip
        table("path,speaker,split\na.wav,ann,val\nno.wav,bob,train\nb.wav,bob,test\nc.wav,,test\nd.wav,bob,x\n")


@pytest.mark.parametrize("missing", ["NA", "None", "null", " NaN ", "<NA>"])
def test_a_label_that_programs_write_for_a_missing_one_is_refused(table, missing):
    with pytest.raises(
        ValueError, match=rf"row 3 has no speaker, but '{missing.strip()}', .*or name the class otherwise"
    ):
        table(f"path,speaker\na.wav,ann\nb.wav,{missing}\n")


def test_a_label_spelled_with_composed_letters_or_not_is_one_class(table):
    assert table("path,speaker\na.wav,Andre\u0301\nb.wav,Andr\u00e9\n").names == {"speaker": ["Andr\u00e9"]}


@pytest.mark.parametrize(("header", "said"), [("path,\u200bsplit,speaker", "characters that cannot be seen"),
                                              ("path,file_name,speaker", "keep one of them")])  # fmt: skip
def test_a_column_that_would_be_passed_over_silently_is_refused(tmp_path, header, said):
    (tmp_path / "m.csv").write_text(f"{header}\na.wav,train,x\nb.wav,test,x\n")
    with pytest.raises(ValueError, match=said):
        Manifest(str(tmp_path / "m.csv"))
