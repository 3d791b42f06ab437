"""Copy-synthesis: held-out clips generated again from their mel spectrograms, compared with Griffin-Lim's copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from condgen.data import Images, MelSpectrogram, Speech
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.samples import Generated, assess
from condgen.models import ConditionalModel


@dataclass(frozen=True)
class Copies:
    """How close copies come to the originals.

    Attributes:
        distance: mean absolute difference of log-mel bands, in dB, between the model's copies and the originals, over
            frames within 50 dB of the loudest.
        griffin_lim: same distance for Griffin-Lim's copies of the same spectrograms.
        quantized: same distance for the quantized originals, the best that a model with these levels can do.
        accuracy: share of the model's copies that the classifiers read correctly, per kind of class.
        griffin_lim_accuracy: same share for Griffin-Lim's copies.
        original_accuracy: same share for the originals.
    """

    distance: float
    griffin_lim: float
    quantized: float
    accuracy: dict[str, float]
    griffin_lim_accuracy: dict[str, float]
    original_accuracy: dict[str, float]


def mel_condition(model: ConditionalModel, data: Images | Speech) -> str | None:
    """Return the name of the condition that is a mel spectrogram, if the model has one."""
    return next((name for name in model.encoders if isinstance(data.features.get(name), MelSpectrogram)), None)


def copy_synthesis(
    model: ConditionalModel,
    data: Speech,
    generated: Generated,
    classifiers: Mapping[str, ImageClassifier],
    seed: int = 0,
) -> Copies:
    """Compare copies of held-out clips with the originals.

    Args:
        model: model conditioned on a mel spectrogram.
        data: data module after `setup()`.
        generated: samples drawn with the conditions of held-out clips, whose spectrograms are among them.
        classifiers: classifiers that read the copies, per kind of class.
        seed: seed of Griffin-Lim's phases.
    """
    name = mel_condition(model, data)
    if name is None or generated.lengths is None:
        raise ValueError("copy-synthesis needs a model with a mel spectrogram as a condition")
    feature = cast(MelSpectrogram, data.features[name])
    targets = [mel[:, : n // feature.hop] for mel, n in zip(generated.conditions[name], generated.lengths, strict=True)]
    copies = [x[0, :n] for x, n in zip(generated.x, generated.lengths, strict=True)]
    heard = griffin_lim(targets, feature, data.sample_rate, seed)
    rebuilt = [data.quantization.encode(waveform) for waveform in heard]
    originals = [x[0, :n] for x, n in zip(generated.originals, generated.lengths, strict=True)]

    def distance(waveforms: Iterable[Tensor]) -> float:
        found = [feature.measure(waveform, data.sample_rate, None) for waveform in waveforms]
        parts = [mel_distance(mel, target) for mel, target in zip(found, targets, strict=True)]
        return float(torch.cat(parts).mean())

    longest = generated.x.shape[-1]
    padded = torch.stack([torch.nn.functional.pad(r, (0, longest - len(r)), value=data.quantization.silence)
                          for r in rebuilt])[:, None]  # fmt: skip
    kinds = (generated, replace(generated, x=padded), replace(generated, x=generated.originals))
    accuracies = [{n: r.samples.accuracy for n, r in assess(kind, data, classifiers).items()} for kind in kinds]
    distances = (distance(map(data.quantization.decode, copies)), distance(heard),
                 distance(map(data.quantization.decode, originals)))  # fmt: skip
    return Copies(*distances, *accuracies)


def mel_distance(found: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference, in dB, of log10 amplitudes, (bands, frames), per frame within 50 dB of the
    loudest."""
    loud = target.max(0).values > target.max() - 2.5
    return 20 * (found - target).abs().mean(0)[loud]


def griffin_lim(mels: list[Tensor], feature: MelSpectrogram, sample_rate: int, seed: int) -> list[Tensor]:
    """Turn log-mel spectrograms, (bands, frames) each, into waveforms of frames × hop samples."""
    from torchaudio.transforms import GriffinLim

    filters = feature.filters(sample_rate)
    phases = GriffinLim(feature.window, n_iter=60, hop_length=feature.hop, power=1.0)
    waveforms = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for mel in mels:
            # Its frame i is centred on sample i · hop, ours half a hop later. With one more frame at either end, its
            # waveform begins half a hop before ours.
            bands = 10 ** torch.cat([mel[:, :1], mel, mel[:, -1:]], dim=1)
            waveform = phases(torch.linalg.lstsq(filters.T, bands, driver="gels").solution.relu())
            start = feature.hop // 2
            waveforms.append(waveform[start : start + mel.shape[1] * feature.hop].clamp(-1, 1))
    return waveforms
