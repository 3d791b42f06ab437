"""Speech by eSpeak NG: the same every time, aligned without a gap, and no voice or text quietly changed."""

import builtins
import hashlib
import importlib.util
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from condgen.data.espeak import TEXTS, VOICES, Espeak, check_text, check_voice, speak
from condgen.data.synthesis import tile

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="espeakng_loader is not installed"
)
SPLITS = ("train", "val", "test")
FEW = {"voices": ["en-us+m3", "en-us+f2"], "texts": ["one", "two", "three", "hill"], "pitches": [50]}


def contents(folder):
    """What the files of a folder hold, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).rglob("*.*")}


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return Espeak(str(tmp_path_factory.mktemp("espeak")))


@needs_espeak
def test_two_preparations_give_identical_files(tmp_path):
    Espeak(str(tmp_path / "a"), **FEW)
    time.sleep(1.1)  # eSpeak takes a seed from the clock, in seconds, if it is let; f2 is breathy and shows it
    Espeak(str(tmp_path / "b"), **FEW)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 2 * 4 + 1  # and the manifest
    assert len(set(contents(tmp_path / "a").values())) == 9  # no two clips are alike


@needs_espeak
def test_what_is_prepared_is_read_and_other_settings_have_another_folder(tmp_path, monkeypatch):
    first = Espeak(str(tmp_path), **FEW)
    Espeak(str(tmp_path), **{**FEW, "pitches": [51]})
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr("condgen.data.espeak.subprocess", None)  # nothing is spoken again
    again = Espeak(str(tmp_path), **FEW)
    assert [again.clips(split) for split in SPLITS] == [first.clips(split) for split in SPLITS]


@needs_espeak
def test_nothing_is_left_of_a_preparation_that_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("condgen.data.espeak.check_voice", lambda voice: None)
    with pytest.raises(ValueError, match="eSpeak NG refuses the voice 'en-gb'") as caught:
        Espeak(str(tmp_path), ["en-us", "en-gb"], ["one", "two", "three"])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@needs_espeak
def test_phonemes_tile_every_clip(default):
    for clip in default.clips("train"):
        details = soundfile.info(clip.path)
        assert (details.samplerate, details.subtype, details.channels) == (22050, "PCM_16", 1)
        ends = [phoneme.end for phoneme in clip.phonemes]
        assert [phoneme.start for phoneme in clip.phonemes] == [0.0, *ends[:-1]]
        assert ends[-1] == details.frames / details.samplerate
        assert all(phoneme.start < phoneme.end for phoneme in clip.phonemes)
        assert not any(set(phoneme.symbol) & set("ˈˌ:") for phoneme in clip.phonemes)
        assert all(a.symbol != "_" or b.symbol != "_" for a, b in pairwise(clip.phonemes))


@needs_espeak
def test_alignment_fits_the_sound(default):
    """Hissing sounds cross zero far more often than vowels, and pauses are quiet."""
    crossings, loudness = {}, {}
    for clip in default.clips("train"):
        wave, rate = soundfile.read(clip.path)
        for symbol, start, end in clip.phonemes:
            part = wave[round(start * rate) : round(end * rate)]
            crossings.setdefault(symbol, []).append(np.mean(np.diff(np.sign(part)) != 0))
            loudness.setdefault(symbol, []).append(np.sqrt(np.mean(part**2)))
    assert min(np.median(crossings[hiss]) for hiss in ("s", "ʃ")) > 0.25
    assert max(np.median(crossings[vowel]) for vowel in ("ɛ", "oʊ", "ɑː", "uː", "iː")) < 0.2
    assert np.median(loudness["_"]) < 0.2 * np.median(loudness["ɛ"])


@needs_espeak
def test_no_text_is_in_two_splits_and_no_held_out_phoneme_is_new(default):
    texts = {split: {clip.text for clip in default.clips(split)} for split in SPLITS}
    assert not texts["train"] & texts["val"]
    assert not texts["test"] & (texts["train"] | texts["val"])
    assert set().union(*texts.values()) == set(TEXTS)
    assert min(len(texts["val"]), len(texts["test"])) >= 6
    symbols = {phoneme.symbol for clip in default.clips("train") for phoneme in clip.phonemes}
    assert symbols == set(default.phonemes)
    counts = Counter((clip.text, clip.labels["speaker"]) for split in SPLITS for clip in default.clips(split))
    assert set(counts.values()) == {3}  # the pitches
    assert len(counts) == len(TEXTS) * len(VOICES)
    assert default.names == {"speaker": sorted(VOICES)}


@needs_espeak
def test_the_held_out_word_is_not_in_the_texts_but_its_sounds_are(default):
    assert not any("seven" in text.lower() for text in TEXTS)
    for voice in VOICES:
        trained = [clip for clip in default.clips("train") if clip.labels["speaker"] == voice]
        heard = Counter(phoneme.symbol for clip in trained for phoneme in clip.phonemes)
        _, _, phonemes = speak("seven", voice)
        assert [phoneme.symbol for phoneme in phonemes] == ["_", "s", "ɛ", "v", "ə", "n", "_"]
        assert min(heard[phoneme.symbol] for phoneme in phonemes) >= 3


@needs_espeak
def test_speaking_repeats_itself_and_follows_pitch_and_rate():
    wave, rate, phonemes = speak("seven", "en-us+m3")
    again, _, _ = speak("seven", "en-us+m3")
    assert (wave.dtype, wave.ndim, rate) == (np.float32, 1, 22050)
    assert 0.05 < np.abs(wave).max() <= 1
    assert np.array_equal(wave, again)
    assert phonemes[0].symbol == "_"
    assert phonemes[0].end * rate == pytest.approx(264)
    assert phonemes[-1].end == len(wave) / rate
    assert not np.array_equal(wave[:5000], speak("seven", "en-us+m3", pitch=70)[0][:5000])
    assert len(speak("seven", "en-us+m3", rate=350)[0]) < 0.8 * len(wave)


@needs_espeak
def test_texts_may_come_from_a_file(tmp_path):
    (tmp_path / "texts.txt").write_text("one\n\ntwo \nthree\none\n", encoding="utf-8")
    source = Espeak(str(tmp_path / "root"), ["en-us"], str(tmp_path / "texts.txt"), [50])
    assert sorted(source.clips(split)[0].text for split in SPLITS) == ["one", "three", "two"]
    (tmp_path / "texts.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"texts\.txt is not UTF-8"):
        Espeak(str(tmp_path / "root"), ["en-us"], str(tmp_path / "texts.txt"), [50])


VOICE_FAULTS = {
    "en-us+ff2": "voice 'en-us.ff2': eSpeak NG has no variant 'ff2'; similar ones: .*f2",
    "en-us+doesnotexist": "has no variant 'doesnotexist'; similar ones: ",
    "en-us+": "has no variant ''; similar ones: m3",
    "en-us+../../../etc/passwd": "has no variant",
    "en-gb": "voice 'en-gb': eSpeak NG has no accent 'en-gb'; similar ones: en, en-gb-x-rp",
    "en-gb+m3": "has no accent 'en-gb'; similar ones: en, en-gb-x-rp",
    "en-uss+m3": "has no accent 'en-uss'; similar ones: en-us",
    "": "has no accent ''",
}


@needs_espeak
@pytest.mark.parametrize(("voice", "message"), VOICE_FAULTS.items())
def test_a_misspelt_voice_is_refused(tmp_path, voice, message):
    with pytest.raises(ValueError, match=message):
        speak("one", voice)
    with pytest.raises(ValueError, match=message):
        Espeak(str(tmp_path), [voice], ["one", "two", "three"])
    assert not list(tmp_path.iterdir())


@needs_espeak
def test_known_voices_are_taken():
    for voice in [*VOICES, "en", "en-us", "en-029+klatt4", "de+f3"]:
        check_voice(voice)


TEXT_FAULTS = {
    "hello 😀": r"the text 'hello 😀' has characters that cannot be spoken: '😀' \(U\+1F600\)",
    "你好": r"'你' \(U\+4F60\), '好' \(U\+597D\)",
    "a\x00b": r"\(U\+0000\)",
    "[[h@l]]": r"'\[' \(U\+005B\)",
    "x²": r"'²' \(U\+00B2\)",
    "": "the text '' has no letter or digit to say",
    " \n ": "has no letter or digit to say",
    "...?!": "has no letter or digit to say",
}


@needs_espeak
@pytest.mark.parametrize(("text", "message"), TEXT_FAULTS.items())
def test_a_text_that_cannot_be_said_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        speak(text, "en-us")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=message):
        Espeak(str(tmp_path), ["en-us"], ["one", "two", text])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["Naïve café, 24 % (or so)!", "It's “fine” – isn’t it?", "Łódź", "cafe\u0301"])
def test_usual_texts_can_be_said(text):
    check_text(text)


@needs_espeak
@pytest.mark.parametrize(("pitch", "rate"), [(-1, 175), (100, 175), (50, 79), (50, 451)])
def test_pitch_and_rate_have_bounds(pitch, rate):
    with pytest.raises(ValueError, match="is out of range: 0 to 99, and 80 to 450"):
        speak("one", "en-us", pitch, rate)


def test_too_few_settings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="1 voices, 2 texts and 3 pitches make no data set"):
        Espeak(str(tmp_path), ["en-us"], ["one", "two", "one"])
    with pytest.raises(ValueError, match=r"no\.txt does not exist"):
        Espeak(str(tmp_path), ["en-us"], str(tmp_path / "no.txt"))


def test_a_missing_wheel_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_loader(name, *rest, **named):
        if name == "espeakng_loader":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_loader)
    for use in (lambda: speak("one", "en-us"), lambda: Espeak(str(tmp_path))):
        with pytest.raises(ValueError, match=r"pip install 'condgen\[espeak\]'"):
            use()
    assert not list(tmp_path.iterdir())


marks = st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["", "ˈa", "b", "l", "ˌoː"])), max_size=12)


@given(marks.map(lambda found: sorted(found, key=lambda mark: mark[0])), st.integers(1, 50))
def test_intervals_cover_a_clip_whatever_the_marks(found, more):
    samples = 50 + more
    intervals = tile(found, samples)
    assert [start for _, start, _ in intervals] == [0, *(end for _, _, end in intervals[:-1])]
    assert intervals[-1][2] == samples
    assert all(start < end for _, start, end in intervals)
    assert not any(set(symbol) & set("ˈˌ") for symbol, _, _ in intervals)
    assert all((a[0], b[0]) != ("_", "_") for a, b in pairwise(intervals))


def test_a_phoneme_without_duration_gets_half_of_the_one_before():
    assert tile([(2, "ɪ"), (8, "l"), (8, "")], 10) == [("_", 0, 2), ("ɪ", 2, 5), ("l", 5, 8), ("_", 8, 10)]
