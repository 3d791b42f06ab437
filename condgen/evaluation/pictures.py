"""Pictures to look at: grids of samples with their conditions beside them, and more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from condgen.atomic import whole_file
from condgen.conditioning.contract import Encoder, TokenEncoder, missing
from condgen.conditioning.token_sequence import caption_of
from condgen.models.conditional import Model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo


TILE = 96  # pixels of an image in a grid, so that one can see it
LONGEST_LABEL = 60  # characters beside a row
MOST = 40  # classes in a picture, and pairs of classes: more than that, nobody reads


def some_classes(classes: int) -> list[int]:
    """Choose the classes that a picture shows: all, or 40 of them, evenly spread."""
    return sorted({i * classes // min(classes, MOST) for i in range(min(classes, MOST))})


def conditions_grid(model: Model, example: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Make conditions for a grid: a row per class of the first class condition, or per example if there is none.

    Of more than 40 classes, 40 are shown.

    Args:
        model: model to sample from.
        example: conditions of some real examples, which supply all other conditions.

    Returns:
        Conditions, (rows, …) each, and a label per row.
    """
    encoders = model.encoders
    if not encoders:
        return {}, ["samples"]
    classes = next((name for name, encoder in encoders.items() if encoder.classes is not None), None)
    examples = len(next(iter(example.values())))
    names = list(encoders[classes].names or ()) if classes else _told(encoders, example, min(8, examples))
    shown = some_classes(len(names))
    labels, conditions = [names[label] for label in shown], {}
    for name in encoders:
        rows = torch.arange(len(labels))
        conditions[name] = torch.tensor(shown) if name == classes else example[name][rows % examples]
    return conditions, labels


def _told(encoders: Mapping[str, Encoder], example: Mapping[str, Tensor], count: int) -> list[str]:
    """Name the first examples by their captions or, where there are none, by their numbers."""
    captions = next((name for name, encoder in encoders.items() if not missing(encoder, TokenEncoder)), None)
    if captions is None:
        return [f"example {i}" for i in range(count)]
    return [caption_of(ids, encoders[captions].names or []) for ids in example[captions][:count]]


def pixels(x: Tensor, levels: int) -> np.ndarray:
    """Convert images (n, channels, height, width) of levels to red, green and blue of 8 bits, (n, height, width, 3)."""
    images = (x.detach().cpu().double() * (255 / (levels - 1))).round().to(torch.uint8)
    return images[:, [min(colour, images.shape[1] - 1) for colour in range(3)]].permute(0, 2, 3, 1).numpy()


def save_image(path: str | os.PathLike[str], image: np.ndarray, note: str = "") -> None:
    """Write an image as PNG, in its own size.

    Args:
        path: file to write.
        image: image of 8 bits, gray (height, width) or red, green and blue (height, width, 3).
        note: record of how it was made.
    """
    from PIL import Image

    Image.fromarray(image).save(path, "PNG", pnginfo=_noted(note))


def _noted(note: str) -> PngInfo:
    """Make a PNG file's text of a note."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    if note:
        text.add_text("condgen", note)
    return text


def tile(x: Tensor, levels: int, columns: int) -> np.ndarray:
    """Lay images (n, channels, height, width) of levels out in rows: (height, width, 3) of 8 bits, with white lines."""
    images = pixels(x, levels)
    n, height, width, _ = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + 1) + 1, (i % columns) * (width + 1) + 1
        canvas[top : top + height, left : left + width] = image
    return canvas


def save_grid(
    path: str | os.PathLike[str], x: Tensor, levels: int, columns: int, labels: list[str], note: str = ""
) -> None:
    """Write a grid of images as PNG; see `grid`.

    Args:
        path: file to write.
        x: levels, (images, channels, height, width).
        levels: whole levels per channel.
        columns: images per row.
        labels: label of each row.
        note: record of how they were made.
    """
    with whole_file(path) as temporary:
        grid(x, levels, columns, labels).save(temporary, pnginfo=_noted(note))


def grid(x: Tensor, levels: int, columns: int, labels: list[str]) -> Image.Image:
    """Lay images out in rows, each with its label beside it. Small images are enlarged to about 96 pixels.

    Args:
        x: levels, (images, channels, height, width).
        levels: whole levels per channel.
        columns: images per row.
        labels: label of each row.
    """
    from PIL import Image, ImageDraw, ImageFont

    tiles = Image.fromarray(tile(x, levels, columns))
    row, zoom = x.shape[-2] + 1, max(1, round(TILE / max(x.shape[-2:])))
    font = ImageFont.truetype(_font(), 15)
    labels = [label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…" for label in labels]
    margin = int(max(font.getlength(label) for label in labels)) + 12
    picture = Image.new("RGB", (margin + tiles.width * zoom, tiles.height * zoom), "white")
    picture.paste(tiles.resize((tiles.width * zoom, tiles.height * zoom), Image.Resampling.NEAREST), (margin, 0))
    writing = ImageDraw.Draw(picture)
    for i, label in enumerate(labels):
        writing.text((margin - 6, (row * (i + 0.5) + 0.5) * zoom), label, "black", font, anchor="rm")
    return picture


def _font() -> Path:
    """Find the font of matplotlib's pictures, which knows the letters of most languages, without importing it."""
    package = find_spec("matplotlib")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


def save_counts(
    path: str | os.PathLike[str], counts: Mapping[tuple[int, int], int], names: Sequence[str], condition: str
) -> None:
    """Plot which class was read when which one was asked for: a confusion matrix or, of more than 40 classes, the
    pairs that were taken for each other most often.

    Args:
        path: path of the PNG file.
        counts: number of samples by the ids of the class asked for and the class read.
        names: names of the classes.
        condition: condition that the classes belong to.
    """
    if len(names) > MOST:
        _save_worst_pairs(path, counts, names, condition)
        return
    matrix = np.zeros((len(names), len(names)))
    for place, count in counts.items():
        matrix[place] = count
    asked = matrix.sum(1, keepdims=True)
    with figure(path, 1.5 + 0.45 * len(names), 1.2 + 0.45 * len(names)) as canvas:
        axes = canvas.add_subplot()
        axes.imshow(matrix / asked.clip(min=1), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) < 3 else 90)
        axes.set_yticks(range(len(names)), names)
        _plainly([*axes.get_xticklabels(), *axes.get_yticklabels()])
        axes.set_xlabel(f"{condition} read by the classifier")
        axes.set_ylabel(f"{condition} asked for")
        for (row, column), count in counts.items():
            colour = "white" if 2 * count > asked[row] else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)


def _save_worst_pairs(
    path: str | os.PathLike[str], counts: Mapping[tuple[int, int], int], names: Sequence[str], condition: str
) -> None:
    wrong = {pair: count for pair, count in counts.items() if pair[0] != pair[1]}
    worst = sorted(wrong, key=lambda pair: (-wrong[pair], pair))[:MOST]
    total = sum(counts.values())
    with figure(path, 8, 1.5 + 0.25 * max(1, len(worst))) as canvas:
        axes = canvas.add_subplot()
        bars = axes.barh(range(len(worst)), [wrong[pair] for pair in worst])
        axes.bar_label(bars, padding=3)
        axes.set_yticks(range(len(worst)), [f"{names[asked]} → {names[read]}" for asked, read in worst])
        _plainly(axes.get_yticklabels())
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.set_xlabel(f"samples whose {condition} was asked for → read, most often first")
        right = total - sum(wrong.values())
        axes.set_title(f"{len(names):,} classes; {right:,} of {total:,} samples read as asked", loc="left")


def _plainly(labels: Iterable[Text]) -> None:
    """Let a name with dollar signs be a name, and no formula."""
    for label in labels:
        label.set_parse_math(False)


def save_waveforms(
    path: str | os.PathLike[str],
    waveforms: Sequence[np.ndarray],
    sample_rate: int,
    titles: Sequence[str],
    note: str = "",
) -> None:
    """Draw waveforms with their spectrograms below, side by side.

    Args:
        path: path of the PNG file.
        waveforms: waveforms, (samples,) each, in [−1, 1].
        sample_rate: samples per second.
        titles: title of each waveform.
        note: record of how they were made.
    """
    columns = min(len(waveforms), 4)
    rows = -(-len(waveforms) // columns)
    with figure(path, 3.4 * columns, 3.6 * rows, note) as canvas:
        axes = canvas.subplots(2 * rows, columns, squeeze=False, height_ratios=[1, 2] * rows)
        for ax in axes.flat:
            ax.set_axis_off()
        for i, (waveform, title) in enumerate(zip(waveforms, titles, strict=True)):
            above, below = axes[2 * (i // columns), i % columns], axes[2 * (i // columns) + 1, i % columns]
            _draw_waveform(above, waveform, sample_rate, title)
            _draw_spectrogram(below, waveform, sample_rate)
            below.set_ylabel("Hz" if i % columns == 0 else "")


def _draw_waveform(axes: Axes, waveform: np.ndarray, sample_rate: int, title: str) -> None:
    axes.set_axis_on()
    axes.plot(np.arange(len(waveform)) / sample_rate, waveform, linewidth=0.5)
    axes.set_xlim(0, len(waveform) / sample_rate)
    axes.set_ylim(-1, 1)
    axes.set_xticks([])
    axes.set_title(title, fontsize=9, parse_math=False)


def _draw_spectrogram(axes: Axes, waveform: np.ndarray, sample_rate: int) -> None:
    hop = max(1, sample_rate // 200)
    levels = decibels(waveform, 8 * hop, hop)
    # Frames lie around their times, and bands around their frequencies.
    time, band = hop / sample_rate, sample_rate / (8 * hop)
    extent = (-time / 2, (levels.shape[1] - 0.5) * time, -band / 2, (sample_rate + band) / 2)
    axes.set_axis_on()
    axes.imshow(levels, cmap="magma", aspect="auto", origin="lower", extent=extent)
    axes.set_xlim(0, max(len(waveform) / sample_rate, time))
    axes.set_ylim(0, sample_rate / 2)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("seconds")


def decibels(waveform: np.ndarray, window: int, hop: int, depth: float = 70) -> np.ndarray:
    """Return the spectrogram of a waveform in dB below its peak, (window // 2 + 1, frames), `depth` dB at the most.

    Here and not from librosa, whose import takes longer than to draw a clip and all its pictures.
    """
    samples = torch.from_numpy(np.asarray(waveform, np.float32))
    spectrum = torch.stft(samples, window, hop, window=torch.hann_window(window), pad_mode="constant",
                          return_complex=True).abs().clamp(min=1e-5)  # fmt: skip
    return (20 * (spectrum / spectrum.max()).log10()).clamp(min=-depth).numpy()


@contextmanager
def figure(path: str | os.PathLike[str], width: float, height: float, note: str = "") -> Iterator[Figure]:
    """Give an empty figure of a size in inches, and write it to a PNG file with a note when the block ends well."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(canvas)
    yield canvas
    with whole_file(path) as temporary:
        canvas.savefig(temporary, facecolor="white", pil_kwargs={"pnginfo": _noted(note)})
