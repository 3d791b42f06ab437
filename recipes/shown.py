"""Conditions that are shown or told: a voice by a recording of a speaker whom the model has never heard, and a picture
by a caption, some of whose words the model has never seen together.

    python recipes/shown.py --voice CHECKPOINT --root FSDD --captions CHECKPOINT ...

The first checkpoint is of configs/wavenet_fsdd_voice.yaml, trained on a folder without the recordings of one speaker;
FSDD holds those of all. The others are of configs/pixelcnn_captions.yaml or configs/cdcgan_captions.yaml, and are told
apart by the names of their files. Either kind may be left out. Samples are read by
classifiers of real data, each time beside what these read in real examples, the floor. A sampling whose figures are
already in the output folder is not repeated.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from few_shot import classifiers_of
from jsonargparse import auto_cli
from torch import Tensor

from condgen.checkpoint import Checkpoint
from condgen.conditioning import FiLMParameters
from condgen.conditioning.token_sequence import caption_of
from condgen.data import Batch, Images, Speech
from condgen.data.images import words_of
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.pictures import save_grid
from condgen.evaluation.sound import write_wav
from condgen.evaluation.views import view
from condgen.models.conditional import ConditionalModel, Model, as_likelihood
from condgen.sampling import sample, sampler

VOICES = ("shown", "another", "average")
EACH = 4  # recordings of each training speaker whose voices are averaged
HEARD = 6  # samples that are kept as sound


def once(path: Path, measure: Callable[[], Any]) -> Any:
    """Measure, unless the figures are there from an earlier run."""
    if not path.is_file():
        partial = path.with_suffix(".partial")  # an interrupted run must be repeated
        partial.write_text(json.dumps(measure(), indent=2) + "\n")
        partial.replace(path)
    return json.loads(path.read_text())


def opened(path: str, device: str) -> ConditionalModel:
    """Open a likelihood model."""
    model = as_likelihood(Checkpoint.open(path).model("ema", device))
    if model is None:
        raise SystemExit(f"{path} is no likelihood model")
    return model


class Voices:
    """Draws what the held-out speaker said, in a voice that is shown, in another one, and in the average one.

    Args:
        path: checkpoint.
        data: data of all speakers, after `setup()`.
        speaker: speaker whom the model has never heard.
        clips: number of clips to say again.
        device: device of the model.
    """

    def __init__(self, path: str, data: Speech, speaker: str, clips: int, device: str) -> None:
        self.model, self.data, self.device = opened(path, device), data, device
        names = data.names["speaker"]
        if speaker not in names:
            raise SystemExit(f"there is no speaker '{speaker}' in the data; there are {', '.join(names)}")
        self.speaker = names.index(speaker)
        test, speakers = data.dataset("test"), data.class_ids("test")["speaker"]
        rows = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
        own = rows[speakers[rows] == self.speaker][:clips].tolist()
        self.clips: Batch = test.__getitems__(sorted(own, key=lambda row: int(test.lengths[row])))
        train, ids = data.dataset("train"), data.class_ids("train")["speaker"]
        others = [(ids == i).nonzero()[:EACH, 0].tolist() for i in range(len(names)) if i != self.speaker]
        # Each is shown by another clip of the same speaker, as in training; these are fixed by the seed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.heard = train.__getitems__([row for rows in others for row in rows]).conditions["voice"]

    @property
    def lengths(self) -> list[int]:
        """Samples of each clip."""
        return [] if self.clips.scored is None else self.clips.scored.sum(1).tolist()

    @torch.no_grad()
    def film(self, voice: str) -> FiLMParameters:
        """Write the FiLM parameters of all clips in a voice."""
        count = len(self.clips.x)
        if voice == "shown":
            return self._film(self.clips.conditions["voice"])
        if voice == "another":
            return self._film(self.heard[torch.arange(count) % len(self.heard)])
        first, *others = self.heard
        total = self._film(first[None].expand(count, -1, -1))
        for other in others:
            total = total + self._film(other[None].expand(count, -1, -1))
        return total * (1 / len(self.heard))

    def _film(self, voice: Tensor) -> FiLMParameters:
        given = {**self.clips.conditions, "voice": voice}
        return self.model.film({name: given[name].to(self.device) for name in self.model.encoders})

    def drawn(self, voice: str, seed: int) -> Tensor:
        """Draw every clip again, (clips, 1, time), with the same noise in every voice."""
        return sample(self.model, self.film(voice), seed=seed, length=self.lengths).x.cpu()


def reading(classifier: ImageClassifier, pictures: Tensor, asked: Tensor) -> tuple[Tensor, float]:
    """Return the probability that a classifier gives what was asked for, per picture, and how often it reads that."""
    with torch.no_grad():
        found = torch.cat([classifier(part) for part in pictures.split(500)]).softmax(1)
    rows = torch.arange(len(asked))
    return found[rows, asked], float((found.argmax(1) == asked).double().mean())


def voice_sampling(voices: Voices, classifiers: dict[str, ImageClassifier], folder: Path, seed: int) -> dict[str, Any]:
    """Draw once in all voices; return what is read."""
    seen, conditions = view(voices.data), voices.clips.conditions
    figures, right = dict[str, Any](), dict[str, Tensor]()
    for voice in VOICES:
        x = voices.drawn(voice, seed)
        pictures = seen.pictures(x, voices.lengths)
        right[voice], speaker = reading(classifiers["speaker"], pictures, conditions["speaker"])
        digit = reading(classifiers["digit"], pictures, conditions["digit"])[1]
        figures[voice] = {"speaker": speaker, "digit": digit, "probability": float(right[voice].mean())}
        for i, n in enumerate(voices.lengths[:HEARD] if seed == 0 else []):
            digit_name = voices.data.names["digit"][int(conditions["digit"][i])]
            waveform = voices.data.quantization.decode(x[i, 0, :n]).numpy()
            write_wav(folder / f"{i}_{digit_name}_{voice}.wav", waveform, voices.data.sample_rate)
    for voice in VOICES[1:]:
        figures[f"nearer_than_{voice}"] = float((right["shown"] > right[voice]).double().mean())
    return figures


def voice_report(
    path: str, root: str, speaker: str, clips: int, samplings: int, steps: int, folder: Path, device: str
) -> dict[str, Any]:
    """Measure the voices that are shown."""
    folder.mkdir(parents=True, exist_ok=True)
    data: Any = Checkpoint.open(path).data({"root": root, "cache": str(folder.parent / "prepared")})
    data.setup()
    classifiers = classifiers_of(data, folder / "classifiers.pt", steps)
    voices = Voices(path, data, speaker, clips, device)
    pictures, asked = view(data).pictures(voices.clips.x, voices.lengths), voices.clips.conditions
    real = {name: reading(classifiers[name], pictures, asked[name])[1] for name in ("speaker", "digit")}
    real["probability"] = float(reading(classifiers["speaker"], pictures, asked["speaker"])[0].mean())
    for i, n in enumerate(voices.lengths[:HEARD]):
        waveform = data.quantization.decode(voices.clips.x[i, 0, :n]).numpy()
        write_wav(folder / f"{i}_{data.names['digit'][int(asked['digit'][i])]}_real.wav", waveform, data.sample_rate)
    runs = [once(folder / f"sampling_{seed}.json", lambda: voice_sampling(voices, classifiers, folder, seed))  # noqa: B023
            for seed in range(samplings)]  # fmt: skip
    return {"checkpoint": path, "speaker": speaker, "clips": len(voices.clips.x), "real": real, "samplings": runs}


def caption_rows(data: Images, count: int) -> dict[str, list[int]]:
    """Choose test pictures whose captions are of combinations that training had, and of those that it lacked."""
    names, train, test = data.names, data.class_ids("train"), data.class_ids("test")
    known = set(zip(*(train[name].tolist() for name in names), strict=True))
    each = list(zip(*(test[name].tolist() for name in names), strict=True))
    order = torch.randperm(len(each), generator=torch.Generator().manual_seed(0)).tolist()
    rows = {"seen": [i for i in order if each[i] in known][:count],
            "never together": [i for i in order if each[i] not in known][:count]}  # fmt: skip
    return {kind: found for kind, found in rows.items() if found}


def caption_sampling(
    model: Model, real: Batch, classifiers: dict[str, ImageClassifier], seed: int | None
) -> dict[str, float]:
    """Draw a picture of each caption once, or take the real ones; return the share that is read as it says."""
    caption = real.conditions["caption"].to(next(model.parameters()).device)
    x = real.x if seed is None else sampler(model)(model, {"caption": caption}, seed=seed).x.cpu()
    right = {name: classifier.classify(x)[1] == real.conditions[name] for name, classifier in classifiers.items()}
    every = torch.stack(list(right.values())).all(0)
    return {name: float(found.double().mean()) for name, found in {**right, "all": every}.items()}


def caption_report(path: str, count: int, samplings: int, steps: int, folder: Path, device: str) -> dict[str, Any]:
    """Measure the pictures that one model draws of captions."""
    folder.mkdir(parents=True, exist_ok=True)
    model, data = Checkpoint.open(path).model("ema", device), Checkpoint.open(path).data()
    if not isinstance(data, Images):
        raise SystemExit(f"{path} was not trained on images")
    data.setup()
    # Models of pictures of one size are read by the same classifiers.
    classifiers = classifiers_of(data, folder.parent / f"classifiers_{data.shape[-1]}.pt", steps)  # type: ignore[arg-type]
    report: dict[str, Any] = {}
    for kind, rows in caption_rows(data, count).items():
        batch = data.dataset("test").__getitems__(rows)
        place = folder / kind.replace(" ", "_")
        runs = [once(Path(f"{place}_{seed}.json"), lambda: caption_sampling(model, batch, classifiers, seed))  # noqa: B023
                for seed in range(samplings)]  # fmt: skip
        real = caption_sampling(model, batch, classifiers, None)
        report[kind] = {"captions": len(rows), "real": real, "samplings": runs}
        captions = batch.conditions["caption"][:8].to(device)
        x = sampler(model)(model, {"caption": captions}, num_samples=8, seed=samplings).x.cpu()
        labels = [caption_of(ids, words_of(data.source)["caption"]) for ids in captions]
        save_grid(f"{place}.png", x, data.levels, 8, labels)
    return report


def spread(values: list[float]) -> str:
    """Write a mean and a standard deviation in per cent."""
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"


def table(report: dict[str, Any]) -> list[str]:
    """Write the tables: means over samplings, and their standard deviations, in per cent."""
    lines = []
    if "voice" in report:
        found, runs = report["voice"], report["voice"]["samplings"]
        lines += [f"| voice of {found['speaker']}, never heard | speaker | probability | digit |", "| --- " * 4 + "|"]
        for name, each in {**{voice: [run[voice] for run in runs] for voice in VOICES},
                           "real clips": [found["real"]]}.items():  # fmt: skip
            cells = [spread([one[key] for one in each]) for key in ("speaker", "probability", "digit")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        for other in VOICES[1:]:
            nearer = spread([run[f"nearer_than_{other}"] for run in runs])
            lines += ["", f"Nearer to {found['speaker']} than in {other} voice: {nearer} % of samples."]
    for i, (model, found) in enumerate(report.get("captions", {}).items()):
        names = list(next(iter(found.values()))["real"])
        if i == 0:
            lines += ["", f"| model | words of the caption | {' | '.join(names)} |", "| --- " * (2 + len(names)) + "|"]
        for kind, figures in found.items():
            for which, each in ((kind, figures["samplings"]), (f"{kind}, real pictures", [figures["real"]])):
                cells = [spread([one[name] for one in each]) for name in names]
                lines.append(f"| {model} | {which} | {' | '.join(cells)} |")
    return lines


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw the readings as bars, beside those of real examples."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels: dict[str, dict[str, list[dict[str, float]]]] = {}
    if "voice" in report:
        runs = report["voice"]["samplings"]
        panels[f"a voice never heard, {report['voice']['speaker']}"] = {
            **{voice: [run[voice] for run in runs] for voice in VOICES}, "real": [report["voice"]["real"]]}  # fmt: skip
    models = report.get("captions", {})
    for kind in dict.fromkeys(kind for found in models.values() for kind in found):
        bars = {model: found[kind]["samplings"] for model, found in models.items() if kind in found}
        real = [found[kind]["real"] for found in models.values() if kind in found][:1]
        panels[f"captions, words {kind}"] = {**bars, "real": real}
    figure, axes = plt.subplots(1, len(panels), figsize=(4.4 * len(panels), 3.2), layout="constrained", squeeze=False)
    for axis, (title, bars) in zip(axes[0], panels.items(), strict=True):
        names = list(next(iter(bars.values()))[0])
        for i, (label, runs) in enumerate(bars.items()):
            each = [[100 * run[name] for run in runs] for name in names]
            at = [k + (i - (len(bars) - 1) / 2) * 0.8 / len(bars) for k in range(len(names))]
            deviations = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in each]
            axis.bar(at, [statistics.mean(values) for values in each], 0.8 / len(bars), yerr=deviations, label=label,
                     color="lightgrey" if label == "real" else None)  # fmt: skip
        axis.set(title=title, ylabel="read as asked, %", ylim=(0, 105))
        axis.set_xticks(range(len(names)), names)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(
    voice: str | None = None,
    root: str | None = None,
    captions: list[str] | None = None,
    out: str = "runs/shown",
    speaker: str = "lucas",
    clips: int = 50,
    pictures: int = 150,
    samplings: int = 3,
    classifier_steps: int = 600,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Run everything; write report.json, table.md, shown.png, sound and pictures, and print the tables.

    Args:
        voice: checkpoint of a model that is shown voices, trained without the speaker.
        root: folder of the Free Spoken Digit Dataset, or of its recordings, of all speakers.
        captions: checkpoints of models that are told captions.
        out: folder for all that is written.
        speaker: speaker whom the first model has never heard.
        clips: number of the speaker's test clips.
        pictures: number of captions of each kind.
        samplings: number of times that everything is drawn.
        classifier_steps: training steps of the classifiers that read samples.
        device: `cpu`, `cuda`, …
        threads: threads that measuring takes.
    """
    if (voice is None and not captions) or (voice is not None and root is None):
        raise SystemExit("give --captions CHECKPOINT, or --voice CHECKPOINT with --root FSDD, or all of them")
    torch.set_num_threads(threads)
    folder, report = Path(out), dict[str, Any]()
    folder.mkdir(parents=True, exist_ok=True)
    if voice is not None and root is not None:
        report["voice"] = voice_report(
            voice, root, speaker, clips, samplings, classifier_steps, folder / "voice", device
        )
    if captions:
        report["captions"] = {
            Path(path).stem: caption_report(
                path, pictures, samplings, classifier_steps, folder / "captions" / Path(path).stem, device
            )
            for path in captions
        }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "table.md").write_text("\n".join(table(report)).strip() + "\n")
    plot(report, folder / "shown.png")
    print((folder / "table.md").read_text(), end="")


if __name__ == "__main__":
    auto_cli(main)
