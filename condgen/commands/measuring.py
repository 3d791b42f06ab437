"""What `condgen evaluate` measures besides likelihoods, and the pictures and sounds of its report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from condgen.checkpoint import Checkpoint, changed
from condgen.commands.moved import saying_where
from condgen.data.class_order import known_otherwise
from condgen.evaluation.copy_synthesis import copy_synthesis, mel_condition
from condgen.evaluation.judges import Judge, judged, require_judges
from condgen.evaluation.likelihood import likelihood
from condgen.evaluation.pictures import conditions_grid, save_counts, save_grid, save_waveforms, some_classes
from condgen.evaluation.samples import (
    Assessment,
    Generated,
    Lesson,
    assess,
    generate,
    summary,
    teach,
    train_classifiers,
)
from condgen.evaluation.sound import write_wav
from condgen.models.conditional import Model, as_generator, as_likelihood
from condgen.sampling import sampler
from condgen.training.compatibility import check_data


class Wanted(NamedTuple):
    """What `condgen evaluate` is asked to measure; see its arguments.

    Attributes:
        num_samples: samples to draw and have read.
        lesson_samples: samples to teach a classifier with.
        limit: held-out examples whose likelihood is scored.
        seed: seed of the samples and the classifiers.
        samplings: times that all samples are drawn, with another seed each.
        classifier_steps: training steps of the classifiers.
        batch_size: examples scored or drawn together.
        tempering: options of the model's sampler.
        judges: judges from outside.
    """

    num_samples: int
    lesson_samples: int | None
    limit: int | None
    seed: int
    samplings: int
    classifier_steps: int
    batch_size: int
    tempering: dict[str, Any]
    judges: Sequence[Judge] = ()


def measured(folder: Path, model: Model, data: Any, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Measure a model, part by part; yield all figures so far whenever a part is finished.

    Args:
        folder: folder for the pictures and sounds.
        model: model in evaluation mode.
        data: data module after `setup()`.
        wanted: arguments of `condgen evaluate`.
    """
    require_judges(wanted.judges, data)
    scored, seed, steps = as_likelihood(model), wanted.seed, wanted.classifier_steps
    figures, held_out = None, len(data.dataset("test"))
    if scored is not None:
        _begin(f"scoring {min(held_out, wanted.limit or held_out):,} held-out examples")
        figures = likelihood(scored, data, wanted.limit, wanted.batch_size)
        yield summary(figures, [])
    options: dict[str, Any] = {"batch_size": wanted.batch_size, **wanted.tempering}
    _begin(f"drawing {min(wanted.num_samples, held_out, len(data.dataset('train'))):,} samples")
    generated = generate(model, data, wanted.num_samples, seed, **options)
    _begin(f"training the classifiers of {', '.join(data.names)} that read them, {steps:,} steps each")
    classifiers = train_classifiers(data, steps, seed)
    assessments = [assess(generated, data, classifiers)]
    yield summary(figures, assessments)
    illustrate(folder, model, data, generated, assessments[0], seed, wanted.tempering)
    for i in range(1, wanted.samplings):
        _begin(f"drawing samples again: {i + 1} of {wanted.samplings}")
        again = generate(model, data, wanted.num_samples, seed + i, **options)
        assessments.append(assess(again, data, classifiers))
        yield summary(figures, assessments)
    taught = lessons(model, data, wanted.lesson_samples, seed, steps, **options)
    report = summary(figures, assessments, taught)
    yield report
    if wanted.judges:
        _begin(f"asking the judges {', '.join(wanted.judges)}")
        report = {**report, "judges": judged(wanted.judges, generated, data, classifiers)}
        yield report
    if scored is not None and mel_condition(scored, data):
        _begin("copying held-out clips from their mel spectrograms")
        yield {**report, "copy_synthesis": asdict(copy_synthesis(scored, data, generated, classifiers, seed))}


def enough_steps(data: Any) -> int:
    """Return how many steps a classifier needs: 1,000, or fewer where these pass 110 times through the training data.

    Args:
        data: data module after `setup()`.
    """
    return min(1000, max(100, 110 * len(data.dataset("train")) // 128))


def _begin(part: str) -> None:
    """Say what is done now, which may take a while."""
    print(f"condgen: {part}", file=sys.stderr)


def data_of(checkpoint: Checkpoint, model: Model, changes: Mapping[str, Any]) -> Any:
    """Rebuild the data module of a checkpoint, with changes of the command line, compare it with the model, and read
    its data; what is wrong is one line. Classes have the model's numbers, and it may know more than the data have."""
    with saying_where(changed(checkpoint.data_settings, changes)["source"]):
        try:
            module: Any = checkpoint.data(changes)
            known = {name: encoder.names or [] for name, encoder in model.encoders.items() if encoder.classes}
            if names := known_otherwise(known, module.names):
                module = checkpoint.data({**changes, "class_names": names})
        except Exception as error:
            raise ValueError(f"data with {changes}: {error}" if changes else str(error)) from error
        check_data(model, module)
        module.setup()
    return module


def lessons(
    model: Model, data: Any, count: int | None, seed: int, classifier_steps: int, **options: Any
) -> dict[str, Lesson]:
    """Teach with samples, and with as many real examples; see `condgen evaluate` for what a missing count means."""
    available = len(data.dataset("train"))
    if count is None:
        count = available if as_generator(model) is not None else 0
    count = min(count, available)
    if not count:
        return {}
    _begin(f"drawing {count:,} samples that teach classifiers, and teaching others with as many real examples")
    own = teach(model, data, count, seed, classifier_steps, **options)
    real = teach(None, data, count, seed, classifier_steps)
    return {name: Lesson(count, own[name], real[name]) for name in own}


def illustrate(
    folder: Path,
    model: Model,
    data: Any,
    generated: Generated,
    assessments: Mapping[str, Assessment],
    seed: int,
    tempering: dict[str, Any],
) -> None:
    """Draw samples and real examples, and which class was read for which."""
    for name, found in assessments.items():
        save_counts(folder / f"read_{name}.png", found.asked_and_read, found.names, name)
    if generated.lengths is not None:
        _sounds(folder, data, generated)
        return
    test = data.dataset("test")
    conditions, labels = conditions_grid(model, generated.conditions)
    samples = sampler(model)(model, conditions, num_samples=12, seed=seed + 1, **tempering)
    save_grid(folder / "samples.png", samples.x, data.levels, 12, labels)
    for name, names in list(data.names.items())[:1]:
        shown = some_classes(len(names))
        real = [test.images.x[test.images.conditions[name] == label][:12] for label in shown]
        if all(len(images) == 12 for images in real):
            save_grid(folder / "real.png", torch.cat(real), data.levels, 12, [names[label] for label in shown])


def _sounds(folder: Path, data: Any, generated: Generated, count: int = 8) -> None:
    """Write some samples, and the held-out clips whose conditions they have, as sound and as pictures."""
    ids = {name: values for name, values in generated.conditions.items() if name in data.names}
    for kind, x in (("sample", generated.x), ("real", generated.originals)):
        waveforms = [w[0, :n].numpy() for w, n in zip(data.quantization.decode(x[:count]), generated.lengths or [],
                                                      strict=False)]  # fmt: skip
        labels = [", ".join(data.names[n][int(v[i])] for n, v in ids.items()) for i in range(len(waveforms))]
        titles = [f"{kind}_{i}.wav  {label}" for i, label in enumerate(labels)]
        for i, waveform in enumerate(waveforms):
            write_wav(folder / f"{kind}_{i}.wav", waveform, data.sample_rate)
        save_waveforms(folder / f"{kind}s.png", waveforms, data.sample_rate, titles)
