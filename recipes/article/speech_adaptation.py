"""Normalisation that adapts: to the utterance in a recogniser of spoken digits, and to a new domain in batch norm.

    python recipes/article/speech_adaptation.py --fsdd data/free-spoken-digit-dataset

Sources: Kim et al., "Dynamic Layer Normalization for Adaptive Neural Acoustic Modeling in Speech Recognition",
Interspeech 2017: each utterance writes the (γ, β) of the layer norms that it passes through. Li et al., "Revisiting
Batch Normalization for Practical Domain Adaptation", 2016: batch norm takes its statistics from the new domain.
"""

from __future__ import annotations

import copy
import sys
from functools import cache, partial
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from bars import bars
from claim import Claim, Figures, Kept, Story, beats, reaches
from jsonargparse import auto_cli
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from condgen.analysis.projection import neighbours, project, whole
from condgen.conditioning import FiLM, FiLMGenerator, FiLMParameters, film, film_layers
from condgen.conditioning.batch_statistics import adapt_batch_statistics
from condgen.conditioning.self_conditioning import DynamicLayerNorm, lstm_gates
from condgen.data.espeak import Espeak
from condgen.data.features import MelSpectrogram
from condgen.data.image_sources import Digits
from condgen.data.images import ImageSet
from condgen.data.recordings import RecordingReader
from condgen.data.speech_sources import DIGIT_WORDS, FreeSpokenDigits
from condgen.evaluation.classifier import ImageClassifier, train_classifier

FRAMES, BANDS, HIDDEN, STEPS, BATCH = 30, 32, 48, 700, 32  # frames of 20 ms
VOICES = ["en-us+m1", "en-us+f2", "en+m3", "en+f4", "en-gb-scotland+m7", "en-us+f5"]
WHEN = ("before", "after", "after, first γ negated")
NORMS = {"plain": "plain layer norm", "dynamic": "dynamic layer norm"}


class Spoken(NamedTuple):
    """Spoken digits: log-mel frames, (clips, BANDS, FRAMES); digits and speakers, (clips,)."""

    mel: Tensor
    digit: Tensor
    speaker: Tensor

    def rows(self, chosen: Tensor) -> Spoken:
        """Return some clips."""
        return Spoken(*(part[chosen] for part in self))


@cache
def spoken(fsdd: str | None, out: str, share: float) -> Spoken:
    """Read the recordings, or let eSpeak speak."""
    if fsdd is None:
        pitches = [*range(25, 76, 5)][: max(2, round(11 * share))]
        source: Espeak | FreeSpokenDigits = Espeak(f"{out}/espeak", VOICES, DIGIT_WORDS, pitches)
    else:
        source = FreeSpokenDigits(fsdd)
    clips = [clip for split in ("train", "val", "test") for clip in source.clips(split)]
    reader, mel = RecordingReader(8000, resample=True), MelSpectrogram(BANDS, 160)
    frames = torch.full((len(clips), BANDS, FRAMES), -5.0)  # the floor of log-mel
    for row, clip in enumerate(clips):
        found = mel.measure(F.pad(reader.read(clip).waveform, (0, 160))[: 160 * FRAMES], 8000)[..., :FRAMES]
        frames[row, :, : found.shape[-1]] = found
    speakers = [source.names["speaker"].index(clip.labels["speaker"]) for clip in clips]
    digits = [DIGIT_WORDS.index(str(clip.text)) for clip in clips]
    return Spoken(frames / 2 + 1.5, torch.tensor(digits), torch.tensor(speakers))


class Recogniser(nn.Module):
    """An LSTM with layer norm in its gates and its cell, whose (γ, β) are learned, or written by each utterance.

    The paper also rewards summaries that differ between utterances, which is left out here.

    Args:
        dynamic: dynamic layer norm, used if true.
    """

    def __init__(self, dynamic: bool) -> None:
        super().__init__()
        self.input, self.recurrent = nn.Linear(BANDS, 4 * HIDDEN), nn.Linear(HIDDEN, 4 * HIDDEN, bias=False)
        self.gates, self.cell = FiLM(4 * HIDDEN, "channel", dims=1, groups=4), FiLM(HIDDEN, "channel", dims=1)
        self.head, layers = nn.Linear(HIDDEN, 10), film_layers(self)
        writers = {name: DynamicLayerNorm(BANDS, layer.channels, 16) for name, layer in layers.items()}
        self.writers = nn.ModuleDict(writers if dynamic else {})
        self.learned = None if dynamic else FiLMGenerator({}, layers, "none")

    def film(self, mel: Tensor) -> FiLMParameters:
        """Return (γ, β) of both layer norms for utterances, (batch, BANDS, FRAMES)."""
        if self.learned is not None:
            return self.learned({})
        return FiLMParameters({name: writer(mel) for name, writer in self.writers.items()})

    def forward(self, mel: Tensor) -> Tensor:
        """Map utterances, (batch, BANDS, FRAMES), to logits of the digits, (batch, 10)."""
        pairs, x = self.film(mel), self.input(mel.transpose(1, 2))
        h = c = x.new_zeros(len(mel), HIDDEN)
        heard = []
        for frame in x.unbind(1):
            cell, output = lstm_gates(self.gates(frame + self.recurrent(h), pairs["gates"]))
            c = film(c, cell.gamma, cell.beta)
            h = film(torch.tanh(self.cell(c, pairs["cell"])), output.gamma)
            heard.append(h)
        return self.head(torch.stack(heard).mean(0))


def parted(data: Spoken, seed: int) -> tuple[Spoken, Spoken, Spoken]:
    """Part clips into those of the held-out speaker, a fifth of the others' for testing, and the rest for training."""
    held_out = data.speaker == seed % int(data.speaker.max() + 1)
    new, known = data.rows(held_out), data.rows(~held_out)
    order = torch.randperm(len(known.digit), generator=torch.Generator().manual_seed(seed))
    return new, known.rows(order[: len(order) // 5]), known.rows(order[len(order) // 5 :])


@torch.no_grad()
def heard_right(model: Recogniser, clips: Spoken) -> float:
    """Return the percentage of digits recognised."""
    return 100 * float((model(clips.mel).argmax(1) == clips.digit).double().mean())


def recognise(norm: str, seed: int, effort: float, data: Spoken, folder: Path) -> Figures:
    """Train without a speaker; return what is recognised of this one and of the others."""
    torch.manual_seed(seed)
    new, test, train = parted(data, seed)
    model = Recogniser(norm == "dynamic")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(max(1, round(STEPS * effort))):
        some = train.rows(torch.randint(len(train.digit), (BATCH,)))
        loss = F.cross_entropy(model(some.mel), some.digit)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    figures = {"held-out": heard_right(model, new), "known": heard_right(model, test)}
    if norm == "dynamic":
        with torch.no_grad():
            points, rows = whole(model.film(data.mel)), range(0, len(data.digit), max(1, len(data.digit) // 500))
        found = neighbours(points[rows], [str(int(data.speaker[row])) for row in rows])
        if found is not None:
            figures |= {"speaker": 100 * found.accuracy, "speaker, shuffled": 100 * found.shuffled}
        if seed == 0:
            np.savez(
                folder / "speech_adaptation.npz",
                places=project(points[rows], "pca"),
                speakers=data.speaker.numpy()[rows],
            )
    return figures


def shifts(x: Tensor) -> dict[str, Tensor]:
    """Show digits of 17 levels with inverted contrast, and faintly on grey."""
    return {"upright": x, "inverted": 16 - x, "faint": 6 + x // 4}


def negated(model: ImageClassifier) -> ImageClassifier:
    """Return a classifier with the opposite γ in its first batch norm."""
    opposite = copy.deepcopy(model)
    first = next(module for module in opposite.modules() if isinstance(module, nn.BatchNorm2d))
    first.weight = nn.Parameter(-first.weight.detach())
    return opposite


def adapt(seed: int, effort: float) -> Figures:
    """Train on upright digits; return what is read of the others, with the statistics of the old and the new domain."""
    train, test = Digits().load("train"), Digits().load("test")
    model = train_classifier(ImageSet(train), 17, "digit", 10, max(1, round(150 * effort)), seed)
    asked, figures = test.conditions["digit"], Figures()
    for name, unlabelled in shifts(train.x).items():
        # Inverted, the first batch norm gives the opposite of what it gave: its statistics cannot undo a sign, γ can.
        new = (adapt_batch_statistics(reader, unlabelled.split(200)) for reader in (model, negated(model)))
        for when, reader in zip(WHEN, (model, *new), strict=True):
            figures[f"{name}, {when}"] = 100 * reader.accuracy(shifts(test.x)[name], asked)
    return figures


def draw(found: dict[tuple[str, int], Figures], adapted: list[Figures], folder: Path) -> None:
    """Draw what is recognised, what the utterances write, the shifted digits, and what is read of them."""
    figure, axes = plt.subplots(1, 4, figsize=(17, 3.8), layout="constrained", width_ratios=[1, 1.3, 1, 1])
    speakers = {words: {f"{part} speakers": [run[part] for (name, _), run in found.items() if name == norm]
                        for part in ("known", "held-out")} for norm, words in NORMS.items()}  # fmt: skip
    bars(axes[0], speakers, ("0.75", "tab:blue"))
    axes[0].set(ylabel="spoken digits recognised, %", ylim=(0, 118))
    kept = np.load(folder / "speech_adaptation.npz")
    for speaker in np.unique(kept["speakers"]):
        own, new = kept["places"][kept["speakers"] == speaker], speaker == 0
        label = "held-out speaker" if new else None
        style = {"s": 14, "marker": "*"} if new else {"s": 6, "marker": "o"}
        axes[1].scatter(*own.T, color=plt.get_cmap("tab10")(int(speaker)), label=label, **style)
    axes[1].set(title="what utterances write, (γ, β): a colour per speaker", xticks=[], yticks=[])
    axes[1].legend(fontsize=8)
    rows = [torch.cat([*digits[:6, 0]], 1) for digits in shifts(Digits().load("test").x).values()]
    axes[2].imshow(torch.cat(rows), cmap="gray", vmin=0, vmax=16)
    axes[2].set_xticks([])
    axes[2].set_yticks([4, 12, 20], list(shifts(torch.zeros(1))))
    names = list(shifts(torch.zeros(1)))
    read = {name: {when: [run[f"{name}, {when}"] for run in adapted] for when in WHEN} for name in names}
    bars(axes[3], read, ("0.75", "tab:orange", "wheat"))
    axes[3].set(ylabel="digits read right, %", ylim=(0, 118), title="statistics of the old and of the new domain")
    figure.savefig(folder / "speech_adaptation.png", dpi=110)
    plt.close(figure)


def claims(found: dict[tuple[str, int], Figures], adapted: list[Figures]) -> list[Claim]:
    """Say what came out."""
    heard = {f"{words}, {part}": [figures[part] for (name, _), figures in found.items() if name == norm]
             for norm, words in NORMS.items() for part in ("held-out", "known")}  # fmt: skip
    read = {f"{name}, {when}": [figures[f"{name}, {when}"] for figures in adapted]
            for name in shifts(torch.zeros(1)) for when in WHEN[: 3 if name == "inverted" else 2]}  # fmt: skip
    back = {name: [a - b for a, b in zip(read[f"{name}, after"], read[f"{name}, before"], strict=True)]
            for name in ("inverted", "faint")}  # fmt: skip
    kim, li = "Kim et al. 2017, dynamic layer normalization", "Li et al. 2016, adaptive batch normalization"
    points, published = "% of digits read right; points back", "no figure checked"
    return [
        Claim(kim, "Digits of a speaker that was held out are recognised better where each utterance writes its layer "
              "norms", published, "% of digits recognised", heard,
              beats(heard["dynamic layer norm, held-out"], heard["plain layer norm, held-out"])),
        Claim(li, "Statistics of the new domain win at least 20 points back on digits of inverted contrast", published,
              points, {**read, "back, inverted": back["inverted"]}, reaches(back["inverted"], 20)),
        Claim(li, "They do so on faint digits on grey", published, "points back", {"faint": back["faint"]},
              reaches(back["faint"], 20)),
    ]  # fmt: skip


def main(out: str = "runs/article", seeds: int = 5, effort: float = 1.0, fsdd: str | None = None) -> None:
    """Recognise a held-out speaker's digits, and read digits of another contrast; write the story and its picture.

    Args:
        out: folder for figures, story and picture.
        seeds: number of seeds, each with another speaker held out.
        effort: share of the full training budget.
        fsdd: folder of the Free Spoken Digit Dataset, or of its recordings; without it, eSpeak speaks.
    """
    torch.set_num_threads(1)
    if fsdd is not None:
        try:
            FreeSpokenDigits(fsdd).clips("test")
        except (ValueError, OSError) as error:
            sys.exit(f"speech_adaptation: error: --fsdd: {error}")
    folder = Path(out)
    kept, cells = Kept(folder, "speech_adaptation", effort), [(n, s) for n in NORMS for s in range(seeds)]
    said = "eSpeak" if fsdd is None else "fsdd"

    def hear(norm: str, seed: int) -> Figures:
        return recognise(norm, seed, effort, spoken(fsdd, out, min(1, effort)), folder)

    found = {
        cell: kept(f"{said} {cell[0]} seed {cell[1]}", partial(hear, *cell)) for cell in tqdm(cells, "recognisers")
    }
    adapted = [kept(f"contrast seed {s}", partial(adapt, s, effort)) for s in tqdm(range(seeds), "contrast")]
    draw(found, adapted, folder)
    whose = "recordings of six speakers" if fsdd else f"{len(VOICES)} of eSpeak's voices"
    nearest = [figures["speaker"] for figures in found.values() if "speaker" in figures]
    Story(
        "speech_adaptation",
        "Sections “Speech recognition” and “Domain adaptation and few-shot learning”: Kim et al. let each utterance "
        "write the (γ, β) of a recogniser's layer norms; Li et al. adapt to a domain by its batch statistics alone.",
        f"Digits spoken by {whose}, one held out per seed; each seed is a dot. What an utterance writes tells its "
        f"speaker in {mean(nearest):.0f} % of cases, by its nearest neighbours. Right: digits of another contrast; "
        "inverted, the first batch norm gives the opposite of what it gave, which γ can undo and statistics cannot.",
        claims(found, adapted), effort, kept.seconds,
    ).write(folder)  # fmt: skip


if __name__ == "__main__":
    auto_cli(main)
