"""The page of `condgen play`: it wires widgets to `playing.answer`, and shows what `play_view` makes of it."""

from __future__ import annotations

import html
import random
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr
from fastapi import FastAPI
from numba.core import event

from condgen.commands.play_view import ALL, NO_TRUNCATION, Moves, chosen, heading, number_of, plot, stage, summary
from condgen.commands.play_view import told_moves as told
from condgen.commands.playing import Answer, Choices, Playground, answer, look, most_varied
from condgen.engines.compiled import COMPILING
from condgen.models.conditional import as_likelihood
from condgen.models.contract import audio

SYSTEM = ["ui-sans-serif", "system-ui", "sans-serif"]  # fonts that nobody has to be asked for
CSS = """
.gradio-container { max-width: 1440px !important; margin: 0 auto !important }
.gradio-container main { padding: 6px 20px !important }
.gradio-container .gap { gap: 12px }
.heading h1 { display: inline; font-size: 1.4rem; margin: 0 0.8em 0 0 }
.heading p { display: inline; opacity: 0.65 }
.samples { display: grid; gap: 10px }
.samples figure { margin: 0 }
.samples img { width: 100%; image-rendering: pixelated; border-radius: 4px; background: white }
.samples img.sound, img.plot { width: 100%; image-rendering: auto; border-radius: 4px; background: white }
.samples audio { width: 100%; margin-bottom: 6px }
.samples figcaption { text-align: center; font-size: 0.8rem; line-height: 1.3; font-variant-numeric: tabular-nums }
.status { min-height: 1.5em; margin-bottom: -6px }
.error { color: #b91c1c }
.warning { color: #b45309 }
.note { margin: 8px 0 0; text-align: center; font-size: 0.8rem; opacity: 0.65 }
.moves { font-size: 0.8rem; opacity: 0.75 }
"""
RANGE = 5.0  # of moves of γ and β
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
DRAWS: dict[str, Any] = {**QUIET, "trigger_mode": "always_last", "concurrency_limit": 1, "concurrency_id": "model"}


@dataclass(frozen=True)
class Widgets:
    """What one chooses with.

    Attributes:
        conditions: widget of each condition.
        mixed: widget of each condition that can be mixed, for the other end.
        others: widgets of other fields of `Choices`, by their names.
        place: widgets of the layer and the feature map that one looks at, by their names.
    """

    conditions: dict[str, gr.components.Component]
    mixed: dict[str, gr.components.Component]
    others: dict[str, gr.components.Component]
    place: dict[str, gr.components.Component]

    @property
    def asking(self) -> list[gr.components.Component]:
        """The widgets on which samples depend."""
        return [*self.conditions.values(), *self.mixed.values(), *self.others.values()]

    @property
    def all(self) -> list[gr.components.Component]:
        """All widgets."""
        return [*self.asking, *self.place.values()]

    def choices(self, values: Sequence[Any], moves: Moves) -> Choices:
        """Make choices of the values of all widgets."""
        left = iter(values)
        conditions, mixed, others = ({name: next(left) for name in part} for part in (
            self.conditions, self.mixed, {**self.others, **self.place}))  # fmt: skip
        return chosen(conditions, mixed, others, moves)


class Mover(NamedTuple):
    """What one moves γ and β with: a slider each, the list of what is moved, and the button that puts it back."""

    gamma: gr.Slider
    beta: gr.Slider
    listed: gr.HTML
    back: gr.Button


class Compiling(event.Listener):
    """Notes that kernels are being compiled."""

    def __init__(self) -> None:
        self.heard = False

    def on_start(self, event: event.Event) -> None:
        self.heard = True

    def on_end(self, event: event.Event) -> None:
        pass


def page(name: str, playground: Playground) -> FastAPI:
    """Make the page of a model, as an application to serve."""
    theme = gr.themes.Default(primary_hue="blue", font=SYSTEM, font_mono=["ui-monospace", "monospace"])
    blocks = build(name, playground)
    return gr.mount_gradio_app(FastAPI(), blocks, "/", footer_links=[], theme=theme, css=CSS, max_file_size="100mb")


def build(name: str, playground: Playground) -> gr.Blocks:
    """Lay the page out, and wire it."""
    with gr.Blocks(title=f"condgen play {name}", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(heading(name, playground), elem_classes="heading")
        with gr.Row():
            with gr.Column(scale=3, min_width=260):
                conditions, mixed = _conditions(playground)
                others = _drawing(playground, bool(mixed))
            with gr.Column(scale=5, min_width=320):
                status = gr.HTML(elem_id="status", elem_classes="status", padding=False)
                shown = gr.HTML(elem_id="stage", padding=False)
            with gr.Column(scale=5, min_width=320, visible=bool(playground.layers)):
                picture = gr.HTML(elem_id="plot", padding=False)
                place, mover = _film(playground)
        widgets, moves = Widgets(conditions, mixed, others, place), gr.State({})
        _wire(blocks, playground, widgets, moves, [status, shown, picture])
        if mover is not None:
            _wire_moves(playground, widgets, moves, mover, [status, picture])
    return blocks


def _conditions(playground: Playground) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the widgets of the conditions, and those of the other end for all that can be mixed."""
    conditions, mixed = dict[str, Any](), dict[str, Any]()
    for name, kind in playground.kinds.items():
        if kind in ("class", "tags"):
            first, second = _first(playground, name) if kind == "class" else ([], [])
            several = {"choices": playground.names(name), "multiselect": kind == "tags", "min_width": 100}
            with gr.Row():
                conditions[name] = gr.Dropdown(value=first, label=name, elem_id=f"condition-{name}", **several)
                mixed[name] = gr.Dropdown(value=second, label="mixed with", elem_id=f"mixed-{name}", **several)
        elif kind == "text":
            conditions[name] = gr.Textbox(
                _said(playground)[name], label=f"{name} (Enter speaks it)", elem_id=f"condition-{name}"
            )
        elif kind == "caption":
            known = f"words: {', '.join(playground.names(name))}"
            conditions[name] = gr.Textbox(_said(playground)[name], label=f"{name} (Enter draws it)", info=known,
                                          elem_id=f"condition-{name}")  # fmt: skip
        elif kind == "picture":
            conditions[name] = gr.Image(type="filepath", label=name, elem_id=f"condition-{name}")
        elif kind in ("audio", "reference"):
            conditions[name] = gr.Audio(type="filepath", label=f"{name} of a recording", elem_id=f"condition-{name}")
        elif kind == "array":
            conditions[name] = gr.File(file_types=[".npy"], label=f"{name}: .npy, a row per value",
                                       elem_id=f"condition-{name}")  # fmt: skip
    return conditions, mixed


def _first(playground: Playground, name: str) -> tuple[str, str]:
    """Choose two classes to begin with, trained ones where there are any."""
    known = playground.names(name)
    trained = [word for word in known if word not in playground.untrained.get(name, ())] or known
    return trained[0], trained[min(1, len(trained) - 1)]


def _drawing(playground: Playground, mixes: bool) -> dict[str, Any]:
    """Make the widgets that say how to draw: those that the model heeds."""
    likelihood = as_likelihood(playground.model) is not None
    by_logits, by_film = playground.guided
    found: dict[str, Any] = {}
    if mixes:
        found["mix"] = gr.Slider(0, 1, 0, step=0.01, label="mix", info="share of the other in γ and β", elem_id="mix")
    if likelihood:
        found["temperature"] = gr.Slider(0.1, 1.5, 1, step=0.05, label="temperature", elem_id="temperature")
    else:
        info = f"bound of the noise; {NO_TRUNCATION:g}: none"
        found["truncation"] = gr.Slider(0.1, NO_TRUNCATION, NO_TRUNCATION, step=0.1, label="truncation", info=info,
                                        elem_id="truncation")  # fmt: skip
    if by_logits:
        found["guidance"] = gr.Slider(-1, 4, 0, step=0.1, label="guidance", info="in the logits", elem_id="guidance")
    if by_film:
        found["film_guidance"] = gr.Slider(-1, 4, 0, step=0.1, label="guidance of γ and β", elem_id="film_guidance")
    if playground.seconds is not None:
        most = max(3.0, 2 * playground.seconds)
        found["seconds"] = gr.Slider(0.05, most, playground.seconds, step=0.05, label="seconds", elem_id="seconds")
    if audio(playground.model.network) is None:
        found["num_samples"] = gr.Slider(1, 36, 9, step=1, label="pictures", elem_id="num_samples")
    found["seed"] = gr.Number(0, label="seed", precision=0, minimum=0, elem_id="seed")
    other = gr.Button("another seed", size="sm", elem_id="another")
    other.click(lambda: random.randrange(10**6), None, found["seed"], **QUIET)
    return found


def _film(playground: Playground) -> tuple[dict[str, Any], Mover | None]:
    """Make the widgets of the place that one looks at, and of what is moved there."""
    if not playground.layers:
        return {}, None
    layer, number = _place(playground)
    with gr.Row():
        place: dict[str, Any] = {"layer": gr.Dropdown(list(playground.layers), value=layer, label="FiLM layer",
                                                      scale=4, min_width=120, elem_id="layer")}  # fmt: skip
        place["number"] = gr.Dropdown(_numbers(playground, layer), value=str(number), label="map", scale=2,
                                      min_width=70, elem_id="number")  # fmt: skip
        if len(playground.classes) > 1:
            place["colour"] = gr.Dropdown(playground.classes, value=playground.classes[0], label="points of", scale=3,
                                          min_width=100, elem_id="colour")  # fmt: skip
    free = playground.model.film_generator.free[layer]
    with gr.Row():
        gamma, beta = (gr.Slider(-RANGE, RANGE, 0, step=0.05, label=f"Δ{greek}", visible=part in free, min_width=120,
                                 elem_id=part) for part, greek in (("gamma", "γ"), ("beta", "β")))  # fmt: skip
    return place, Mover(
        gamma, beta, gr.HTML(elem_id="moves", padding=False), gr.Button("put all back", size="sm", elem_id="back")
    )


def _place(playground: Playground) -> tuple[str, int]:
    """Choose where to look first: where classes differ most, if there is all that they need."""
    trained = {name: _first(playground, name)[0] for name in playground.classes}
    try:
        found = most_varied(playground, Choices({**trained, **_said(playground)}))
    except (ValueError, OSError):
        found = None
    return found or (next(iter(playground.layers)), 0)


def _said(playground: Playground) -> dict[str, str]:
    """Return what stands in the text fields at first."""
    first = {"text": lambda name: "what to say", "caption": lambda name: playground.names(name)[0]}
    return {name: first[kind](name) for name, kind in playground.kinds.items() if kind in first}


def _numbers(playground: Playground, layer: str) -> list[str]:
    return [ALL, *map(str, range(playground.layers[layer]))]


def _wire(
    blocks: gr.Blocks, playground: Playground, widgets: Widgets, moves: gr.State, outputs: Sequence[gr.HTML]
) -> None:
    """Let every choice draw anew."""

    def draw(*values: Any) -> Iterator[tuple[Any, ...]]:
        for words, found in _work(lambda: _drawn(playground, widgets.choices(values[:-1], values[-1]))):
            if found is None:
                yield words, gr.skip(), gr.skip()
            else:
                shown, notes = found
                yield summary(shown) + notes, stage(shown), plot(shown.plot)

    typed = [widget for widget in widgets.asking if isinstance(widget, gr.Textbox)]
    changed = [widget.change for widget in widgets.asking if widget not in typed] + [widget.submit for widget in typed]
    gr.on([blocks.load, *changed, moves.change], draw, [*widgets.all, moves], list(outputs), **DRAWS)


def _drawn(playground: Playground, choices: Choices) -> tuple[Answer, str]:
    """Answer, with the warnings on the way."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        shown = answer(playground, choices)
    notes = dict.fromkeys(str(w.message) for w in found if issubclass(w.category, UserWarning))
    return shown, "".join(f'<div class="warning">{html.escape(note)}</div>' for note in notes)


def _work(task: Callable[[], Any]) -> Iterator[tuple[str, Any]]:
    """Work in a thread that Ctrl-C does not wait for; tell meanwhile what is going on, and then the result or, in a
    line, the error."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except BaseException as error:
            future.set_exception(error)

    compiling = Compiling()
    with event.install_listener("numba:compile", compiling):
        threading.Thread(target=run, daemon=True).start()
        while not wait([future], timeout=0.3).done:
            yield (COMPILING if compiling.heard else "drawing …"), None
    error = future.exception()
    if error is None:
        yield "", future.result()
    else:
        yield f'<span class="error">{html.escape(" ".join(str(error).split()) or type(error).__name__)}</span>', None


def _wire_moves(
    playground: Playground, widgets: Widgets, moves: gr.State, mover: Mover, outputs: Sequence[gr.HTML]
) -> None:
    """Let sliders move γ and β of the place that one looks at, and show it when one looks elsewhere."""
    sliders, listed = [mover.gamma, mover.beta], mover.listed
    layer, number = widgets.place["layer"], widgets.place["number"]

    def move(layer: str, number: str, gamma: float, beta: float, moves: Moves) -> tuple[Moves, str]:
        now = {**moves, (layer, number_of(number)): (gamma, beta)}
        return now, told(now)

    def turn(layer: str, number: str, moves: Moves) -> list[Any]:
        known = _numbers(playground, layer)
        number = number if number in known else ALL
        change, free = moves.get((layer, number_of(number)), (0.0, 0.0)), playground.model.film_generator.free[layer]
        updates = [gr.Slider(value=value, visible=part in free)
                   for part, value in zip(("gamma", "beta"), change, strict=True)]  # fmt: skip
        return [gr.Dropdown(choices=known, value=number), *updates]

    def see(*values: Any) -> tuple[Any, ...]:
        try:
            return gr.skip(), plot(look(playground, widgets.choices(values[:-1], values[-1])))
        except (ValueError, OSError) as error:
            return f'<span class="error">{html.escape(str(error))}</span>', gr.skip()

    for slider in sliders:
        slider.input(move, [layer, number, *sliders, moves], [moves, listed], **QUIET, trigger_mode="always_last")
    seen = {"fn": see, "inputs": [*widgets.all, moves], "outputs": list(outputs)}
    gr.on([layer.input, number.input], turn, [layer, number, moves], [number, *sliders], **QUIET).then(**seen, **QUIET)
    if "colour" in widgets.place:
        widgets.place["colour"].input(**seen, **QUIET)
    mover.back.click(lambda: ({}, "", 0, 0), None, [moves, listed, *sliders], **QUIET)
