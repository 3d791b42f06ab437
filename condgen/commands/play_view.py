"""What the page of `condgen play` shows of an answer, as HTML by itself: pictures and sound are inside it."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np

from condgen.commands.film_moves import Move
from condgen.commands.playing import Answer, Choices, Playground, Word
from condgen.conditioning.mechanism import in_words
from condgen.evaluation.pictures import save_image, save_waveforms
from condgen.evaluation.sound import wav
from condgen.models.contract import audio

Moves: TypeAlias = Mapping[tuple[str, int | None], tuple[float, float]]
NO_TRUNCATION = 4.0  # right end of the slider, at which the noise has no bound
ALL = "all"


def chosen(
    conditions: Mapping[str, Word], mixed: Mapping[str, Word], others: Mapping[str, Any], moves: Moves
) -> Choices:
    """Make choices of what widgets hold.

    Args:
        conditions: value of each condition.
        mixed: value of each condition at the other end.
        others: values of other fields of `Choices`.
        moves: changes of γ and of β, by layer and feature map.
    """
    fields = dict(others)
    if fields.get("truncation") == NO_TRUNCATION:
        fields["truncation"] = None
    if "number" in fields:
        fields["number"] = number_of(fields["number"])
    fields |= {name: int(fields[name] or 0) for name in ("seed", "num_samples") if name in fields}
    return Choices(conditions, mixed, moves=[Move(*place, *change) for place, change in moves.items()], **fields)


def number_of(word: str) -> int | None:
    """Return the feature map that a word names; `None` for all."""
    return None if word == ALL else int(word)


def stage(answer: Answer) -> str:
    """Show samples with their log-probabilities."""
    if answer.drawn.network is None:
        tags = [f'<img alt="sample {i}" src="{_png(image)}">' for i, image in enumerate(answer.drawn.images())]
    else:
        tags = [_sound(answer, i) for i in range(len(answer.drawn))]
    captions = _captions(answer)
    figures = "".join(f"<figure>{t}<figcaption>{c}</figcaption></figure>" for t, c in zip(tags, captions, strict=True))
    columns = 1 if answer.drawn.network is not None else min(4, round(len(tags) ** 0.5 + 0.49))
    note = "log p(x | γ, β) in nats, at temperature 1" if answer.bits else "a generator has no log-probability"
    grid = f'<div class="samples" style="grid-template-columns: repeat({columns}, 1fr)">{figures}</div>'
    return f'{grid}<p class="note">{note}</p>'


def _captions(answer: Answer) -> list[str]:
    if answer.drawn.log_prob is None or answer.bits is None:
        return [""] * len(answer.drawn)
    pairs = zip(answer.drawn.log_prob.tolist(), answer.bits, strict=True)
    return [f"<b>{bits:.3f}</b> bits/{answer.unit}<br>log p = {_signed(log_prob)}" for log_prob, bits in pairs]


def _signed(number: float) -> str:
    return f"{number:,.1f}".replace("-", "−")


def summary(answer: Answer) -> str:
    """Say in a line what is shown."""
    label = answer.drawn.labels[0] or "unconditional"
    mean = None if answer.bits is None else sum(answer.bits) / len(answer.bits)
    parts = [f"<b>{html.escape(label)}</b>"]
    if mean is not None and len(answer.drawn) > 1:
        parts.append(f"mean {mean:.3f} bits/{answer.unit}")
    return " · ".join(parts)


def told_moves(moves: Moves) -> str:
    """List what is moved."""
    lines = []
    for (layer, number), change in moves.items():
        signs = [f"{greek} {part:+g}".replace("-", "−") for greek, part in zip("γβ", change, strict=True) if part]
        if signs:
            where = "all maps" if number is None else f"map {number}"
            lines.append(f"{html.escape(layer)}, {where}: {', '.join(signs)}")
    return f'<div class="moves">{"<br>".join(lines)}</div>' if lines else ""


def plot(picture: bytes | None) -> str:
    """Show the picture of the layer."""
    return "" if picture is None else f'<img class="plot" alt="FiLM layer" src="{_data("image/png", picture)}">'


def heading(name: str, playground: Playground) -> str:
    """Say what model this is."""
    network, generator = playground.model.network, playground.model.film_generator
    heard = audio(network)
    size = sum(parameter.numel() for parameter in playground.model.parameters())
    words = [type(network).__name__, f"{size:,} parameters", f"conditioning “{in_words(generator.conditioning)}”"]
    words += [f"{heard.sample_rate:,} Hz"] if heard else []
    return f"<h1>{html.escape(name)}</h1><p>{' · '.join(map(html.escape, words))}</p>"


def _sound(answer: Answer, row: int) -> str:
    rate, wave = answer.drawn.sample_rate or 1, answer.drawn.waveforms()[row]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sound.png"
        save_waveforms(path, [wave], rate, [""])
        picture = _data("image/png", path.read_bytes())
    sound = _data("audio/wav", wav(wave, rate))
    return f'<audio controls autoplay src="{sound}"></audio><img class="sound" alt="spectrogram" src="{picture}">'


def _png(image: np.ndarray) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        save_image(path, image)
        return _data("image/png", path.read_bytes())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
