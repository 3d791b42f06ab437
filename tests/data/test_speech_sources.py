"""Sources of speech: fixed splits, the right labels, no audio read, and one clear line for what is not as it should."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from condgen.data.clips import Phoneme
from condgen.data.manifest import Manifest, split_by_tens
from condgen.data.recordings import RecordingReader
from condgen.data.speech_sources import VCTK, AudioFolder, FreeSpokenDigits, LJSpeech, SpeechCommands

SPLITS = ("train", "val", "test")
FSDD = Path(__file__).resolve().parents[3] / "shared" / "data" / "fsdd"


def touch(*paths):
    """Make files without any audio in them: a source that read them would fail."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_csv(folder, rows, columns=("path", "speaker"), name="m.csv"):
    with open(folder / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return str(folder / name)


def write_jsonl(folder, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "m.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return str(folder / "m.jsonl")


def every(source):
    return {split: source.clips(split) for split in SPLITS}


@pytest.fixture
def recordings(tmp_path):
    names = [f"{i:02d}.wav" for i in range(20)]
    touch(*(tmp_path / name for name in names))
    return names


def test_manifest_keeps_what_the_columns_say(tmp_path):
    soundfile.write(tmp_path / "a.wav", [0.0, 0.1], 8000)
    rows = [["a.wav", "ann", "hello, you", "train", "7"]]
    source = Manifest(write_csv(tmp_path, rows, ["path", "speaker", "text", "split", "digit"]))
    (clip,) = source.clips("train")
    assert clip.path == tmp_path / "a.wav"
    assert clip.labels == {"speaker": "ann", "digit": "7"}
    assert (clip.text, clip.phonemes) == ("hello, you", None)
    assert clip.origin == f"{tmp_path / 'm.csv'}, row 2"
    assert source.names == {"speaker": ["ann"], "digit": ["7"]}
    assert source.phonemes == []


def test_manifest_reads_a_hugging_face_audiofolder_and_a_spreadsheets_mark(tmp_path, recordings):
    path = write_csv(tmp_path, [[name, "ann"] for name in recordings], ["file_name", "speaker"])
    Path(path).write_bytes(b"\xef\xbb\xbf" + Path(path).read_bytes())
    assert sum(len(clips) for clips in every(Manifest(path, val_share=0.3, test_share=0.3)).values()) == 20


def test_a_jsonl_manifest_may_hold_phonemes_and_numbers_as_labels(tmp_path, recordings):
    row = {"path": recordings[0], "label": 3, "split": "train", "phonemes": [["a", 0, 0.5], ["b", 0.5, 1.25]]}
    source = Manifest(write_jsonl(tmp_path, row, "", {"path": recordings[1], "label": 12, "split": "train"}))
    first, second = source.clips("train")
    assert first.phonemes == (Phoneme("a", 0.0, 0.5), Phoneme("b", 0.5, 1.25))
    assert (second.phonemes, second.origin) == (None, f"{tmp_path / 'm.jsonl'}, row 3")
    assert source.phonemes == ["a", "b"]
    assert source.names == {"label": ["3", "12"]}  # numbers by value


def test_phonemes_in_a_csv_are_json(tmp_path, recordings):
    path = write_csv(tmp_path, [[recordings[0], "train", '[["a", 0, 1]]']], ["path", "split", "phonemes"])
    assert Manifest(path).clips("train")[0].phonemes == (Phoneme("a", 0.0, 1.0),)


@pytest.mark.parametrize(("name", "split"), [("Valid", "val"), ("validation", "val"), ("dev", "val"), ("TEST", "test")])
def test_splits_have_their_usual_names(tmp_path, recordings, name, split):
    path = write_csv(tmp_path, [[recordings[0], name]], ["path", "split"])
    assert len(Manifest(path).clips(split)) == 1


def test_labels_may_be_chosen(tmp_path, recordings):
    columns, rows = ["path", "speaker", "mood"], [[name, "ann", "glad"] for name in recordings]
    path = write_csv(tmp_path, rows, columns)
    assert Manifest(path).names == {"speaker": ["ann"]}
    assert Manifest(path, labels=["mood"]).names == {"mood": ["glad"]}
    assert Manifest(path, labels=[]).names == {}


def test_hashed_split_stays_when_rows_are_shuffled_and_others_added(tmp_path):
    names = [f"{i}.wav" for i in range(60)]
    touch(*(tmp_path / name for name in names))

    def split_of(listed):
        source = Manifest(write_csv(tmp_path, [[name, "ann"] for name in listed]), val_share=0.3, test_share=0.3)
        return {clip.path.name: split for split, clip in source.listing.splits}

    assert split_of(names[:50][::-1]).items() <= split_of(names).items()


@pytest.mark.parametrize("speaker", range(20))
def test_every_speaker_of_ten_recordings_is_heard_in_every_split(tmp_path, speaker):
    touch(*(tmp_path / f"{speaker}_{i}.wav" for i in range(20)))
    rows = [[f"{speaker}_{i}.wav", speaker, i % 2] for i in range(20)]
    source = Manifest(write_csv(tmp_path, rows, ["path", "speaker", "digit"]))
    for split in SPLITS:
        assert {clip.labels["digit"] for clip in source.clips(split)} == {"0", "1"} or split == "val"
        assert source.clips(split)


def test_hashed_split_has_about_the_shares_asked_for(tmp_path):
    names = [f"{i}.wav" for i in range(600)]
    touch(*(tmp_path / name for name in names))
    source = Manifest(write_csv(tmp_path, [[name, "ann"] for name in names]), val_share=0.1, test_share=0.3)
    counts = {split: len(clips) for split, clips in every(source).items()}
    assert sum(counts.values()) == 600
    for split, share in {"train": 0.6, "val": 0.1, "test": 0.3}.items():
        assert abs(counts[split] / 600 - share) < 4 * math.sqrt(share * (1 - share) / 600)


CSV_FAULTS = {
    "no path column": (["name"], [["00.wav"]], r"m\.csv has no column 'path' or 'file_name'; it has name"),
    "empty path": (["path", "speaker"], [["00.wav", "a"], ["", "b"]], r"m\.csv, row 3 has no path"),
    "missing file": (["path"], [["00.wav"], ["no.wav"]], r"m\.csv, row 3: .*no\.wav does not exist"),
    "missing label": (["path", "speaker"], [["00.wav", ""]], r"m\.csv, row 2 has no speaker"),
    "short row": (["path", "speaker"], [["00.wav"]], r"m\.csv, row 2 has no speaker"),
    "long row": (["path"], [["00.wav", "b"]], r"m\.csv, row 2 has more cells than the header"),
    "unknown split": (["path", "split"], [["00.wav", "eval"]], r"m\.csv, row 2: unknown split 'eval'; known: train"),
    "empty split": (["path", "split"], [["00.wav", ""]], r"m\.csv, row 2: unknown split ''"),
    "same file": (["path"], [["00.wav"], ["./00.wav"]], r"m\.csv, row 3 lists \./00\.wav again, as .*row 2 does"),
    "no rows": (["path"], [], r"m\.csv has no rows"),
    "phonemes": (["path", "phonemes"], [["00.wav", "a b"]], r'm\.csv, row 2: phonemes "a b" are not a JSON list'),
}


@pytest.mark.parametrize(("columns", "rows", "message"), CSV_FAULTS.values(), ids=CSV_FAULTS)
def test_a_faulty_csv_names_file_and_row(tmp_path, recordings, columns, rows, message):
    with pytest.raises(ValueError, match=message) as caught:
        Manifest(write_csv(tmp_path, rows, columns))
    assert "\n" not in str(caught.value)


PHONEMES = {
    "overlap": ([["a", 0, 0.5], ["b", 0.4, 1]], r'phoneme \["b", 0\.4, 1\] begins before the previous one ends'),
    "order": ([["a", 1, 2], ["b", 0, 1]], "begins before the previous one ends"),
    "backwards": ([["a", 0.5, 0.4]], "must start at 0 s or later and end after it starts"),
    "negative": ([["a", -0.1, 0.4]], "must start at 0 s or later"),
    "no duration": ([["a", 0.5, 0.5]], "end after it starts"),
    "no end": ([["a", 0.5]], r"is not \[symbol, start, end\]"),
    "no symbol": ([["", 0, 1]], r"is not \[symbol, start, end\]"),
    "words for times": ([["a", "0", "1"]], "not a number of seconds"),
    "not finite": ([["a", 0, math.inf]], "Infinity is not a number"),
    "beyond floats": ([["a", 0, 10**4000]], "not a number of seconds"),
    "no list": ({"a": 1}, r"are not a list of \[symbol, start, end\]"),
}


@pytest.mark.parametrize(("phonemes", "message"), PHONEMES.values(), ids=PHONEMES)
def test_faulty_phonemes_name_file_and_row(tmp_path, recordings, phonemes, message):
    path = write_jsonl(tmp_path, {"path": "00.wav"}, {"path": "01.wav", "phonemes": phonemes})
    with pytest.raises(ValueError, match=r"m\.jsonl, row 2.*" + message):
        Manifest(path)


JSON_FAULTS = {
    "malformed": ('{"path": "00.wav"', r"m\.jsonl, row 2 is malformed JSON: .* at character \d+"),
    "no object": ("[1]", r"m\.jsonl, row 2 is not a JSON object"),
    "path of another kind": ('{"path": 3}', r"m\.jsonl, row 2 has no path"),
    "label of another kind": (
        '{"path": "01.wav", "speaker": ["a"]}',
        r"m\.jsonl, row 2: speaker \[\"a\"\] is not a label",
    ),
    "missing label": ('{"path": "01.wav"}', r"m\.jsonl, row 2 has no speaker"),
    "text of another kind": ('{"path": "01.wav", "speaker": "a", "text": 3}', r"m\.jsonl, row 2: text 3 is not in quo"),
}


@pytest.mark.parametrize(("line", "message"), JSON_FAULTS.values(), ids=JSON_FAULTS)
def test_a_faulty_jsonl_names_file_and_row(tmp_path, recordings, line, message):
    with pytest.raises(ValueError, match=message):
        Manifest(write_jsonl(tmp_path, {"path": "00.wav", "speaker": "a"}, line))


def test_other_faults_of_a_manifest_name_the_file(tmp_path, recordings):
    path = write_csv(tmp_path, [["00.wav", "ann"]])
    with pytest.raises(ValueError, match=r"m\.csv has no column mood to take as a label; it has path, speaker"):
        Manifest(path, labels=["mood"])
    with pytest.raises(ValueError, match=r"no\.csv does not exist"):
        Manifest(str(tmp_path / "no.csv"))
    with pytest.raises(ValueError, match=r"00\.wav is not a \.csv or \.jsonl file"):
        Manifest(str(tmp_path / "00.wav"))
    with pytest.raises(ValueError, match=r"val_share 0\.5 and test_share 0\.5"):
        Manifest(path, val_share=0.5, test_share=0.5)
    with pytest.raises(ValueError, match=r"m\.csv has no clips in the val split"):
        Manifest(path, val_share=0, test_share=0).clips("val")
    Path(path).write_text('path,speaker\n"00.wav,ann\n')
    with pytest.raises(ValueError, match=r"m\.csv, row \d is malformed CSV"):
        Manifest(path)
    Path(path).write_bytes(b"path\n\xff.wav\n")
    with pytest.raises(ValueError, match=r"m\.csv is not UTF-8"):
        Manifest(path)


def test_of_ten_files_eight_train():
    assert [split_by_tens(i) for i in range(10)] == ["train"] * 8 + ["val", "test"]


def test_audio_folder_splits_every_class(tmp_path):
    touch(*(tmp_path / name / f"{i}.{'wav' if i % 2 else 'FLAC'}" for name in ("10", "9") for i in range(12)))
    source = AudioFolder(str(tmp_path), condition="voice")
    assert source.names == {"voice": ["9", "10"]}
    for split in SPLITS:
        assert {clip.labels["voice"] for clip in source.clips(split)} == {"9", "10"}
    assert sum(len(clips) for clips in every(source).values()) == 24
    assert all(clip.labels == {"voice": clip.path.parent.name} for clip in source.clips("train"))


def test_audio_folder_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="has no folders: put the recordings of each class"):
        AudioFolder(str(tmp_path))
    touch(tmp_path / "ann" / "a.txt", tmp_path / "bob" / "a.wav")
    with pytest.raises(ValueError, match="no recordings of speaker ann"):
        AudioFolder(str(tmp_path))


@pytest.mark.parametrize("nested", [True, False])
def test_spoken_digits_follow_the_official_split(tmp_path, nested):
    folder = tmp_path / "recordings" if nested else tmp_path
    touch(*(folder / f"{digit}_{name}_{take}.wav" for digit in (7, 0) for name in ("bo", "al") for take in range(12)))
    source = FreeSpokenDigits(str(tmp_path))
    assert source.names == {"speaker": ["al", "bo"], "digit": ["0", "7"]}
    takes = {split: {int(clip.path.stem.split("_")[2]) for clip in clips} for split, clips in every(source).items()}
    assert takes == {"test": {0, 1, 2, 3, 4}, "val": {5}, "train": {6, 7, 8, 9, 10, 11}}
    assert {(clip.labels["digit"], clip.text) for clip in source.clips("val")} == {("0", "zero"), ("7", "seven")}


def test_spoken_digits_name_a_file_that_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"holds no \.wav files"):
        FreeSpokenDigits(str(tmp_path))
    touch(tmp_path / "seven_bo_1.wav")
    with pytest.raises(ValueError, match=r"seven_bo_1\.wav is not named digit_speaker_take\.wav"):
        FreeSpokenDigits(str(tmp_path))


@pytest.mark.skipif(not FSDD.is_dir(), reason=f"{FSDD} is not there")
def test_the_real_spoken_digits_are_listed_whole():
    source = FreeSpokenDigits(str(FSDD))
    assert {split: len(clips) for split, clips in every(source).items()} == {"train": 2640, "val": 60, "test": 300}
    assert len(source.names["speaker"]) == 6
    assert source.names["digit"] == [str(digit) for digit in range(10)]
    columns = Manifest(str(FSDD / "manifest.csv"))
    assert columns.names == source.names
    assert {clip.path for clip in columns.clips("test")} == {clip.path for clip in source.clips("test")}


def make_speech_commands(folder, words=("one", "two", "cat")):
    touch(*(folder / word / f"{who}_nohash_{n}.wav" for word in words for who in ("a1", "b2", "c3") for n in range(2)))
    touch(folder / "_background_noise_" / "hum.wav")
    (folder / "validation_list.txt").write_text(
        "".join(f"{word}/b2_nohash_{n}.wav\n" for word in words for n in (0, 1))
    )
    (folder / "testing_list.txt").write_text("".join(f"{word}/c3_nohash_{n}.wav\n" for word in words for n in (0, 1)))


@pytest.mark.parametrize("nesting", ["", "SpeechCommands/speech_commands_v0.02"])
def test_speech_commands_follow_the_official_lists(tmp_path, nesting):
    make_speech_commands(tmp_path / nesting)
    source = SpeechCommands(str(tmp_path), words=["two", "cat"], speakers=True)
    assert source.names == {"word": ["cat", "two"], "speaker": ["a1", "b2", "c3"]}
    speakers = {split: {clip.labels["speaker"] for clip in clips} for split, clips in every(source).items()}
    assert speakers == {"train": {"a1"}, "val": {"b2"}, "test": {"c3"}}
    assert all(clip.text == clip.labels["word"] == clip.path.parent.name for clip in source.clips("train"))


def test_speech_commands_take_the_ten_digits_without_speakers(tmp_path):
    make_speech_commands(
        tmp_path, ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "cat"]
    )
    names = SpeechCommands(str(tmp_path)).names
    assert list(names) == ["word"]
    assert len(names["word"]) == 10
    assert "cat" not in names["word"]


def test_speech_commands_say_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"has no testing_list\.txt .* set download=True"):
        SpeechCommands(str(tmp_path))
    make_speech_commands(tmp_path)
    with pytest.raises(ValueError, match="has no words dog; it has cat, one, two"):
        SpeechCommands(str(tmp_path), words=["one", "dog"])
    with pytest.raises(ValueError, match="has no words to use"):
        SpeechCommands(str(tmp_path), words=[])
    (tmp_path / "validation_list.txt").unlink()
    with pytest.raises(ValueError, match=r"validation_list\.txt does not exist"):
        SpeechCommands(str(tmp_path), words=["one"])


def test_speech_commands_download_only_what_is_missing(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchaudio.datasets", reason="torchaudio is not installed")
    roots = []

    def fetch(root, download):
        roots.append(root)
        make_speech_commands(root / "SpeechCommands" / "speech_commands_v0.02")

    monkeypatch.setattr(datasets, "SPEECHCOMMANDS", fetch)
    for _ in range(2):
        assert SpeechCommands(str(tmp_path / "new"), words=["one"], download=True).names == {"word": ["one"]}
    assert roots == [tmp_path / "new"]

    def fail(root, download):
        raise OSError("no network")

    monkeypatch.setattr(datasets, "SPEECHCOMMANDS", fail)
    with pytest.raises(ValueError, match=r"could not be downloaded into .*: no network"):
        SpeechCommands(str(tmp_path / "other"), download=True)


def make_vctk(root):
    audio, texts = root / "wav48_silence_trimmed", root / "txt"
    for speaker, microphones in {"p225": "12", "p280": "1", "p315": "12"}.items():
        numbers = range(1, 21)
        touch(*(audio / speaker / f"{speaker}_{n:03d}_mic{mic}.flac" for n in numbers for mic in microphones))
        touch(*(texts / speaker / f"{speaker}_{n:03d}.txt" for n in numbers if speaker != "p315"))
    (texts / "p225" / "p225_001.txt").write_text("Please call Stella.\n")
    touch(audio / "log.txt")


@pytest.mark.parametrize("nesting", ["", "VCTK-Corpus-0.92"])
def test_vctk_takes_one_microphone_and_falls_back(tmp_path, nesting):
    make_vctk(tmp_path / nesting)
    source = VCTK(str(tmp_path))
    assert source.names == {"speaker": ["p225", "p280", "p315"]}
    clips = [clip for clips in every(source).values() for clip in clips]
    assert len(clips) == 60
    microphones = {(clip.labels["speaker"], clip.path.stem[-4:]) for clip in clips}
    assert microphones == {("p225", "mic2"), ("p280", "mic1"), ("p315", "mic2")}
    assert {clip.path.stem: clip.text for clip in clips}["p225_001_mic2"] == "Please call Stella."
    assert all(clip.text is None for clip in clips if clip.labels["speaker"] == "p315")
    assert all("mic1" in clip.path.name for clip in VCTK(str(tmp_path), microphone="mic1").clips("train"))


def test_vctk_holds_out_the_same_sentences_of_every_speaker(tmp_path):
    make_vctk(tmp_path)
    numbers = {split: {clip.path.name[:8] for clip in clips} for split, clips in every(VCTK(str(tmp_path))).items()}
    assert numbers["val"] == {f"{name}_{n}" for name in ("p225", "p280", "p315") for n in ("008", "018")}
    assert numbers["test"] == {f"{name}_{n}" for name in ("p225", "p280", "p315") for n in ("009", "019")}
    assert len(numbers["train"]) == 48


def test_vctk_reads_the_older_layout_and_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="has no folder wav48_silence_trimmed or wav48"):
        VCTK(str(tmp_path))
    with pytest.raises(ValueError, match="unknown microphone 'mic3'"):
        VCTK(str(tmp_path), microphone="mic3")
    (tmp_path / "wav48" / "p225").mkdir(parents=True)
    with pytest.raises(ValueError, match="wav48 lists no audio"):
        VCTK(str(tmp_path))
    touch(*(tmp_path / "wav48" / "p225" / f"p225_{n:03d}.wav" for n in range(1, 11)))
    assert {split: len(clips) for split, clips in every(VCTK(str(tmp_path))).items()} == {
        "train": 8,
        "val": 1,
        "test": 1,
    }


@pytest.mark.parametrize("nesting", ["", "LJSpeech-1.1"])
def test_lj_speech_has_texts_and_no_condition(tmp_path, nesting):
    folder = tmp_path / nesting
    touch(*(folder / "wavs" / f"LJ001-{n:04d}.wav" for n in range(10)))
    lines = [f'LJ001-{n:04d}|He said "{n}|He said "number {n}' for n in range(9)] + ["LJ001-0009|Only once"]
    (folder / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    source = LJSpeech(str(tmp_path))
    assert source.names == {}
    assert {split: len(clips) for split, clips in every(source).items()} == {"train": 8, "val": 1, "test": 1}
    assert source.clips("val")[0].text == 'He said "number 8'
    assert source.clips("test")[0].text == "Only once"


def test_lj_speech_names_the_faulty_row(tmp_path):
    with pytest.raises(ValueError, match=r"has no metadata\.csv"):
        LJSpeech(str(tmp_path))
    touch(tmp_path / "wavs" / "a.wav")
    (tmp_path / "metadata.csv").write_text("a|A|A\nb|B|B\n")
    with pytest.raises(ValueError, match=r"metadata\.csv, row 2: .*b\.wav does not exist"):
        LJSpeech(str(tmp_path))
    (tmp_path / "metadata.csv").write_text("a\n")
    with pytest.raises(ValueError, match=r"metadata\.csv, row 1 has 1 cells"):
        LJSpeech(str(tmp_path))


def test_lj_speech_takes_a_mark_and_empty_lines_and_refuses_what_is_listed_twice(tmp_path):
    touch(tmp_path / "wavs" / "a.wav")
    (tmp_path / "metadata.csv").write_text("\ufeffa|A|A\n\n", encoding="utf-8")
    assert [clip.path.name for clip in LJSpeech(str(tmp_path)).clips("train")] == ["a.wav"]
    (tmp_path / "metadata.csv").write_text("a|A|A\n\na|A|A\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"metadata\.csv, row 3 lists a again, as .*row 1 does"):
        LJSpeech(str(tmp_path))
    (tmp_path / "metadata.csv").write_bytes(b"a|\xff|A\n")
    with pytest.raises(ValueError, match=r"metadata\.csv is not UTF-8"):
        LJSpeech(str(tmp_path))


@pytest.mark.parametrize("source", [AudioFolder, FreeSpokenDigits, VCTK, LJSpeech])
def test_a_missing_root_is_one_clear_line(tmp_path, source):
    with pytest.raises(ValueError, match="nowhere is not there; give ") as caught:
        source(str(tmp_path / "nowhere"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("wave", "WAV"), ("WAV", "WAV"), ("aif", "AIFF"), ("aiff", "AIFF"), ("aifc", "AIFF"), ("au", "AU"), ("snd", "AU"),
     ("caf", "CAF"), ("flac", "FLAC"), ("ogg", "OGG"), ("oga", "OGG"), ("opus", "OGG"), ("mp3", "MP3"), ("avr", "AVR"),
     ("nist", "NIST"), ("sph", "NIST"), ("paf", "PAF"), ("pvf", "PVF"), ("rf64", "RF64"), ("sf", "IRCAM"),
     ("svx", "SVX"), ("8svx", "SVX"), ("voc", "VOC"), ("w64", "W64")],
)  # fmt: skip
def test_every_suffix_that_soundfile_reads_is_taken(tmp_path, suffix, kind):
    (tmp_path / "ann").mkdir()
    subtype = "OPUS" if suffix == "opus" else None
    soundfile.write(tmp_path / "ann" / f"a.{suffix}", np.sin(np.arange(8000) / 5), 8000, subtype, format=kind)
    (clip,) = AudioFolder(str(tmp_path)).clips("train")
    assert len(RecordingReader(8000, resample=True).read(clip).waveform) == 8000


def test_all_faulty_rows_and_names_of_a_data_set_are_named_at_once(tmp_path):
    (tmp_path / "metadata.csv").write_text("a|One.|one\n\nb|Two.|two\nc|Three.\n")
    with pytest.raises(ValueError, match=r"^3 rows of .*row 1: .*a\.wav.*; .*row 3: .*b\.wav.*; .*row 4: .*c\.wav"):
        LJSpeech(str(tmp_path))
    for name in ("1_ann_1", "one", "two"):
        (tmp_path / f"{name}.wav").touch()
    with pytest.raises(ValueError, match=r"^2 files of .*one\.wav is not named .*; .*two\.wav is not named"):
        FreeSpokenDigits(str(tmp_path))


@pytest.mark.parametrize("write", [write_csv, lambda folder, rows: write_jsonl(folder, *(
    json.dumps({"path": path, "speaker": name}) for path, name in rows))], ids=["csv", "jsonl"])  # fmt: skip
def test_a_folder_with_a_table_is_read_by_it(tmp_path, recordings, write):
    write(tmp_path, [[name, "ann" if i % 2 else "bob"] for i, name in enumerate(recordings[:-1])])
    source = AudioFolder(str(tmp_path))
    assert source.names == {"speaker": ["ann", "bob"]}
    assert sorted(clip.path.name for clips in every(source).values() for clip in clips) == recordings[:-1]


def test_the_column_of_a_table_is_the_condition(tmp_path, recordings):
    write_csv(tmp_path, [[name, "a"] for name in recordings], ["path", "instrument"])
    assert AudioFolder(str(tmp_path), "instrument").names == {"instrument": ["a"]}
    with pytest.raises(ValueError, match=r"has no column 'speaker' that tells the classes; it has path, instrument: "
                                         r"choose one with --data.source.condition NAME"):  # fmt: skip
        AudioFolder(str(tmp_path))


def test_several_tables_are_refused(tmp_path, recordings):
    for name in ("a.csv", "b.csv"):
        write_csv(tmp_path, [[recordings[0], "ann"]], name=name)
    with pytest.raises(ValueError, match=r"holds several tables, a\.csv, b\.csv: keep one, or choose one with"):
        AudioFolder(str(tmp_path))
