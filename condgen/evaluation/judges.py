"""Judges from outside, which nobody here has trained: voices, words and naturalness of speech, and neighbours.

Each reads samples, real training examples of the same classes, and real held-out examples. What it says of the real
ones is its floor: how far to believe it on these data. The packages are those of the extra `judges`, imported where
they are used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast

import numpy as np
from torch import Tensor

from condgen.data import Images, Speech
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.heard import RATE, Clips, clips, enrolled
from condgen.evaluation.samples import NEIGHBOURS, Generated, matching_rows
from condgen.evaluation.views import view
from condgen.evaluation.voices import resemblyzer, voices

Judge = Literal["speaker", "words", "naturalness", "prdc"]
PACKAGES: dict[Judge, tuple[str, ...]] = {
    "speaker": ("resemblyzer",), "words": ("pocketsphinx",), "naturalness": ("speechmos", "onnxruntime", "requests"),
    "prdc": ("prdc",),
}  # fmt: skip
VOICES = ("speaker", "voice")  # conditions that say who speaks
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HEARD = 50  # clips of a kind that DNSMOS hears, since each takes it a second or two
Figures = dict[str, dict[str, float]]
Recogniser = Callable[[np.ndarray], str]


def require_judges(judges: Sequence[Judge], data: Images | Speech) -> None:
    """Raise a ValueError, before any long work, if a judge's package is missing or a judge cannot judge the data."""
    for judge in judges:
        lacking = [package for package in PACKAGES[judge] if importlib.util.find_spec(package) is None]
        if lacking:
            raise ValueError(f"the judge '{judge}' needs {', '.join(lacking)}: pip install 'condgen[judges]'")
        if judge != "prdc" and data.sample_rate is None:
            raise ValueError(f"the judge '{judge}' hears speech, and the data are pictures, which only prdc judges")
    told = ", ".join(data.names) or "none"
    if "speaker" in judges and speaker(data.names) is None:
        raise ValueError(f"the judge 'speaker' needs several classes of {' or '.join(VOICES)}; the data have {told}")
    if "words" in judges and not recognisers(data.names):
        raise ValueError(f"the judge 'words' needs classes that are English words or digits; the data have {told}")


def judged(
    judges: Sequence[Judge], generated: Generated, data: Images | Speech, classifiers: Mapping[str, ImageClassifier]
) -> dict[str, Figures]:
    """Let judges judge samples, training examples of the same classes, and held-out examples.

    Args:
        judges: judges to ask, which `require_judges` has let pass.
        generated: samples with the conditions of held-out examples.
        data: data module after `setup()`.
        classifiers: classifiers per kind of class, whose features `prdc` takes.

    Returns:
        By judge, each figure of `samples`, `training` and `held_out`.
    """
    found: dict[str, Figures] = {}
    if set(judges) - {"prdc"}:
        speech = cast(Speech, data)
        heard, condition = clips(generated, speech), speaker(data.names)
        if "speaker" in judges and condition is not None:
            known = enrolled(generated, speech, condition)
            found["speaker"] = voices(heard, known, condition, resemblyzer())
        if "words" in judges:
            found["words"] = words(heard, recognisers(data.names))
        if "naturalness" in judges:
            found["naturalness"] = naturalness(heard, dnsmos())
    if "prdc" in judges:
        found["prdc"] = neighbours(generated, data, classifiers)
    return found


def speaker(names: Mapping[str, Sequence[str]]) -> str | None:
    """Return the condition that says who speaks, if there is one with several classes."""
    return next((name for name in VOICES if len(names.get(name, ())) > 1), None)


def recognisers(names: Mapping[str, Sequence[str]]) -> dict[str, tuple[list[str], Recogniser]]:
    """Return words and their recogniser per condition whose classes are words and do not say who speaks."""
    found = {}
    for condition, classes in names.items():
        spoken = [DIGITS[int(name)] if name.isdecimal() and int(name) < 10 else name.lower() for name in classes]
        recognise = pocketsphinx(spoken) if condition not in VOICES and len(classes) > 1 else None
        if recognise is not None:
            found[condition] = spoken, recognise
    return found


def words(heard: Mapping[str, Clips], recognisers: Mapping[str, tuple[Sequence[str], Recogniser]]) -> Figures:
    """Return the share of clips that are recognised as the word asked for, per condition.

    Args:
        heard: clips to judge, by kind.
        recognisers: words of the classes, in the order of their ids, and their recogniser, per condition.
    """
    figures: Figures = {}
    for condition, (spoken, recognise) in recognisers.items():
        for kind, given in heard.items():
            asked = [spoken[label] for label in given.classes[condition].tolist()]
            right = [recognise(w) == word for w, word in zip(given.waveforms, asked, strict=True)]
            figures.setdefault(condition, {})[kind] = float(np.mean(right))
    return figures


def pocketsphinx(spoken: Sequence[str]) -> Recogniser | None:
    """Return a recogniser of one word among those given, or `None` where its dictionary lacks one."""
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=RATE, lm=None, loglevel="FATAL")
    if any(decoder.lookup_word(word) is None for word in spoken):
        return None
    decoder.add_jsgf_string("words", f"#JSGF V1.0; grammar words; public <word> = {' | '.join(spoken)};")
    decoder.activate_search("words")
    pause = np.zeros(RATE // 4, np.float32)  # it misses words that begin and end with the clip

    def recognise(waveform: np.ndarray) -> str:
        decoder.reinit_feat()  # otherwise what it hears depends on the clips before
        decoder.start_utt()
        pcm = (np.concatenate([pause, waveform, pause]) * 32767).astype(np.int16)
        decoder.process_raw(pcm.tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return "" if found is None else str(found.hypstr)

    return recognise


def dnsmos() -> Callable[[np.ndarray], dict[str, float]]:
    """Return DNSMOS, which maps a waveform of 16 kHz to opinion scores from 1 to 5."""
    from speechmos import dnsmos as found

    return lambda waveform: found.run(waveform, RATE)


def naturalness(heard: Mapping[str, Clips], score: Callable[[np.ndarray], Mapping[str, float]]) -> Figures:
    """Return mean and standard deviation over clips of the overall opinion score, and the mean of that of the speech
    alone; of the first `HEARD` clips."""
    figures: Figures = {"overall": {}, "overall_spread": {}, "speech": {}, "clips": {}}
    for kind, given in heard.items():
        scores = [score(waveform) for waveform in given.waveforms[:HEARD]]
        overall = [float(found["ovrl_mos"]) for found in scores]
        figures["overall"][kind], figures["overall_spread"][kind] = float(np.mean(overall)), float(np.std(overall))
        figures["speech"][kind] = float(np.mean([float(found["sig_mos"]) for found in scores]))
        figures["clips"][kind] = len(overall)
    return figures


def neighbours(generated: Generated, data: Images | Speech, classifiers: Mapping[str, ImageClassifier]) -> Figures:
    """Return precision, recall, density and coverage of the held-out examples, in the features of each classifier."""
    seen = view(data)
    train, held_out = seen.split("train"), seen.split("test").images
    known = train.images.conditions
    real, _, _ = train.__getitems__(matching_rows(known, {name: generated.conditions[name] for name in known}))
    pictures = {"samples": seen.pictures(generated.x, generated.lengths or []), "training": real}
    figures: Figures = {}
    for name, classifier in classifiers.items():
        reference = classifier.classify(held_out.x)[0]
        for kind, x in pictures.items():
            for figure, value in prdc(reference, classifier.classify(x)[0]).items():
                figures.setdefault(f"{figure} ({name})", {})[kind] = value
    return figures


def prdc(real: Tensor, generated: Tensor) -> dict[str, float]:
    """Return precision, recall, density and coverage of features, each (examples, features).

    Source: Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020, by its authors' code.
    """
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its numbers of examples
        found = compute_prdc(real.double().numpy(), generated.double().numpy(), nearest_k=NEIGHBOURS)
    return {name: float(value) for name, value in found.items()}
