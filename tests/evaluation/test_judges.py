"""Judges from outside: who is compared with whom, and what the real ones say of known sounds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from condgen.evaluation import judges as module
from condgen.evaluation.distances import coverage
from condgen.evaluation.heard import ENROLLED, RATE, Clips, clips, enrolled
from condgen.evaluation.judges import judged, naturalness, prdc, recognisers, require_judges, words
from condgen.evaluation.samples import Generated
from condgen.evaluation.voices import resemblyzer, voices
from condgen.quantization import Quantization

QUANTIZATION = Quantization(256, "mu_law")


def of(speakers, ids=None, **classes):
    """Clips whose only content is a number, which a fake encoder reads as the direction of a voice."""
    waveforms = [np.full(4, float(s), np.float32) for s in speakers]
    return Clips(waveforms, {"speaker": torch.tensor(ids if ids is not None else speakers), **classes})


def direction(waveform):
    return torch.eye(3)[int(waveform[0])]


def test_voices_are_compared_with_the_speaker_asked_for_and_with_the_others():
    heard = {"samples": of([0, 1, 2, 2], ids=[0, 1, 1, 1]), "held_out": of([0, 1, 2, 2])}
    found = voices(heard, of([0, 0, 1, 2, 2]), "speaker", direction)
    assert found["similarity"] == {"samples": 0.5, "held_out": 1.0}
    assert found["nearest"] == {"samples": 0.5, "held_out": 1.0}
    assert found["to_others"] == {"samples": 0.25, "held_out": 0.0}  # two of eight


def test_the_mean_voice_is_of_all_clips_of_a_speaker_and_of_length_1():
    known = Clips(of([0, 1, 2]).waveforms, {"speaker": torch.tensor([0, 0, 1])})
    found = voices({"samples": of([0], ids=[0])}, known, "speaker", direction)
    assert found["similarity"]["samples"] == pytest.approx(0.5**0.5)


def test_words_are_those_of_the_class_asked_for():
    heard = {"samples": of([0, 1, 1], digit=torch.tensor([0, 1, 2])),
             "held_out": of([0, 1, 2], digit=torch.tensor([0, 1, 2]))}  # fmt: skip
    spoken = ["zero", "one", "two"]
    found = words(heard, {"digit": (spoken, lambda waveform: spoken[int(waveform[0])])})
    assert found == {"digit": {"samples": pytest.approx(2 / 3), "held_out": 1.0}}


def test_naturalness_is_the_mean_and_spread_of_few_enough_clips():
    heard = {"samples": of([1, 3] + [5] * 60), "held_out": of([4, 4])}
    found = naturalness(heard, lambda w: {"ovrl_mos": float(w[0]), "sig_mos": 2.0})
    assert found["overall"] == {"samples": pytest.approx((1 + 3 + 48 * 5) / 50), "held_out": 4.0}
    assert found["overall_spread"]["held_out"] == 0
    assert found["clips"] == {"samples": 50, "held_out": 2}


@pytest.fixture
def data():
    """Speech of two speakers; a clip's level is its row in the store of its split."""
    lengths, speakers = [8] * 140, [0, 1] * 70
    store = SimpleNamespace(levels=np.repeat(np.arange(140), 8), ends=np.cumsum([0, *lengths]))
    names = {"speaker": ["ann", "bob"], "digit": ["7"]}
    ids = {"speaker": torch.tensor(speakers), "digit": torch.zeros(140, dtype=torch.long)}
    return SimpleNamespace(stores={"train": store}, names=names, sample_rate=8000, quantization=QUANTIZATION,
                           length=None, class_ids=lambda split: ids)  # fmt: skip


def level(waveform):
    """Level of a constant clip, from its middle: resampling bends the ends."""
    return int(QUANTIZATION.encode(torch.tensor(waveform[len(waveform) // 2])))


@pytest.fixture
def generated():
    speaker = torch.tensor([0, 1, 1])
    conditions = {"speaker": speaker, "digit": torch.zeros(3, dtype=torch.long)}
    x, originals = torch.full((3, 1, 2000), 250), torch.full((3, 1, 2000), 200)
    return Generated(x, originals, conditions, [2000, 1000, 500])


def test_samples_training_and_held_out_clips_are_told_apart_and_heard_at_16_khz(data, generated):
    found = clips(generated, data)
    assert [len(w) for w in found["samples"].waveforms] == [4000, 2000, 1000]
    assert {level(w) for w in found["samples"].waveforms} == {250}
    assert {level(w) for w in found["held_out"].waveforms} == {200}
    for kind in found.values():
        assert kind.classes["speaker"].tolist() == [0, 1, 1]
    assert [len(w) for w in found["training"].waveforms] == [16] * 3


def test_training_clips_have_the_fixed_length_of_the_data(data, generated):
    data.length = 12
    assert [len(w) for w in clips(generated, data)["training"].waveforms] == [24] * 3


def test_voices_are_learnt_from_clips_that_are_not_judged(data, monkeypatch, generated):
    taken = []
    monkeypatch.setattr("condgen.evaluation.heard.training", lambda data, rows: taken.append(list(rows)))
    clips(generated, data)
    enrolled(generated, data, "speaker")
    judged_rows, known = taken
    assert not set(judged_rows) & set(known)
    assert len(known) == 2 * ENROLLED
    assert sum(row % 2 for row in known) == ENROLLED  # as many of each


def test_each_judge_is_given_samples_and_floors(data, generated, monkeypatch):
    monkeypatch.setattr(module, "dnsmos", lambda: lambda w: {"ovrl_mos": level(w), "sig_mos": 1.0})
    found = judged(["naturalness"], generated, data, {})["naturalness"]["overall"]
    assert (found["samples"], found["held_out"]) == (250, 200)
    assert found["training"] < 140


def test_what_a_judge_cannot_judge_is_one_clear_line(data, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    pictures = SimpleNamespace(sample_rate=None, names={"digit": ["0", "1"]})
    with pytest.raises(ValueError, match="the judge 'naturalness' hears speech, and the data are pictures"):
        require_judges(["naturalness"], pictures)
    data.names = {"word": ["yes", "no"]}
    with pytest.raises(ValueError, match="'speaker' needs several classes of speaker or voice; the data have word"):
        require_judges(["speaker"], data)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"'prdc' needs prdc: pip install 'condgen\[judges\]'"):
        require_judges(["prdc"], pictures)
    require_judges([], pictures)


# The real judges.


def test_coverage_of_its_authors_is_ours():
    pytest.importorskip("prdc", reason="the extra `judges` is not installed")
    generator = torch.Generator().manual_seed(0)
    real, ours = torch.randn(200, 8, generator=generator), 0.6 * torch.randn(150, 8, generator=generator)
    found = prdc(real, ours)
    assert found["coverage"] == pytest.approx(coverage(real, ours, 5))
    assert found["recall"] < found["precision"]  # it is narrower: what it draws is right, and half is missing


def test_pocketsphinx_takes_words_and_digits_and_hears_no_word_in_silence_twice_alike():
    pytest.importorskip("pocketsphinx", reason="the extra `judges` is not installed")
    found = recognisers({"speaker": ["left", "right"], "digit": ["0", "7"], "tag": ["left", "qzx"], "one": ["no"]})
    assert {name: spoken for name, (spoken, _) in found.items()} == {"digit": ["zero", "seven"]}
    recognise = found["digit"][1]
    noise = 0.1 * np.random.default_rng(0).standard_normal((3, 8000)).astype(np.float32)
    assert [recognise(w) for w in noise] == [recognise(w) for w in noise[::-1]][::-1]


def test_resemblyzers_network_is_its_own(monkeypatch):
    pytest.importorskip("resemblyzer", reason="the extra `judges` is not installed")
    from resemblyzer import VoiceEncoder

    generator = np.random.default_rng(0)
    for seconds in (0.4, 4.0):
        waveform = (0.1 * generator.standard_normal(int(RATE * seconds))).astype(np.float32)
        theirs = VoiceEncoder("cpu", verbose=False).embed_utterance(waveform, rate=1.25, min_coverage=0.75)
        assert resemblyzer()(waveform).numpy() == pytest.approx(theirs, abs=1e-5)
    assert torch.isfinite(resemblyzer()(np.zeros(4000, np.float32))).all()
