"""`condgen play`: the page in a real browser, the server, and what is refused."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import condgen
from condgen.cli import main
from condgen.commands import play
from condgen.commands.playing import Playground
from condgen.conditioning import ClassEmbedding, FeatureVector
from condgen.models import ConditionalModel, PixelCNN

# Runs the command, and notes every address that it asks for or connects to, but for this machine's.
SERVER = """
import socket, sys
from condgen.cli import main

def noted(function, place):
    def call(*arguments, **options):
        address = arguments[place]
        host = address[0] if isinstance(address, tuple) else address
        if host not in (None, "127.0.0.1", "localhost", "0.0.0.0", "", b"127.0.0.1"):
            print("foreign address:", host, file=sys.stderr)
        return function(*arguments, **options)
    return call

socket.socket.connect = noted(socket.socket.connect, 1)
socket.getaddrinfo = noted(socket.getaddrinfo, 0)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def gradio():
    return pytest.importorskip("gradio", reason="gradio is not installed: pip install 'condgen[play]'")


@pytest.fixture
def browser(gradio):
    """A headless Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def served(*options):
    """Run `condgen play`; give its process and its address, and end it by Ctrl-C."""
    with subprocess.Popen([sys.executable, "-c", SERVER, "play", *options, "--port", "0"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # fmt: skip
        try:
            line = process.stdout.readline()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+ \(Ctrl-C ends it\)\n", line), process.stderr.read()
            yield process, line.split()[0]
        finally:
            process.send_signal(signal.SIGINT)


def opened(browser, address):
    """Open the page; return it and the list of addresses elsewhere that it asks for."""
    page, foreign = browser.new_page(viewport={"width": 1200, "height": 860}), []
    page.set_default_timeout(90_000)
    page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:"))
            else foreign.append(request.url))  # fmt: skip
    page.goto(address)
    page.wait_for_selector("#stage figure")
    return page, foreign


def pick(page, widget, word):
    box = page.locator(f"#{widget} input").first
    box.click()
    box.fill(word)
    page.locator("ul[role=listbox] li").filter(has_text=re.compile(f"^\\W*{word}$")).first.click()


def slide(page, widget, number):
    box = page.locator(f"#{widget} input[type=number]")
    box.fill(str(number))
    box.press("Enter")
    box.blur()


def wait(page, script, *arguments):
    page.wait_for_function(script, arg=[*arguments], polling=200)


def shows(page, words):
    wait(page, "([words]) => document.querySelector('#status').innerText.startsWith(words)", words)


def shown(page, place):
    return page.locator(place).inner_html()


def changes(page, place, before):
    wait(page, "([place, before]) => document.querySelector(place).innerHTML != before", place, before)
    return shown(page, place)


@pytest.mark.slow
def test_one_plays_with_pictures(browser):
    with served("digits") as (process, address):
        page, foreign = opened(browser, address)
        first = shown(page, "#stage")
        pick(page, "condition-digit", "7")
        shows(page, "7 · mean")
        seven = changes(page, "#stage", first)
        drawn = condgen.load("digits").sample(digit=7, num_samples=9)
        caption = page.locator("#stage figcaption").first.inner_text()
        assert caption.split("log p = ")[1] == f"{drawn.log_prob[0]:,.1f}".replace("-", "−")
        assert page.locator("#stage figure").count() == 9
        pick(page, "mixed-digit", "3")
        slide(page, "mix", 0.5)
        shows(page, "7 → 3, 50%")
        mixed, plot = changes(page, "#stage", seven), shown(page, "#plot")
        slide(page, "beta", 4)
        changes(page, "#stage", mixed)
        moved = changes(page, "#plot", plot)
        assert page.locator("#moves").inner_text().endswith("β +4")
        assert page.locator("#gamma").count() == 0  # γ is fixed
        pick(page, "number", "all")
        changes(page, "#plot", moved)
        assert page.locator("#beta input[type=number]").input_value() == "0"
        page.click("#back")
        wait(page, "([before]) => document.querySelector('#stage').innerHTML == before", mixed)
        slide(page, "num_samples", 4)
        wait(page, "() => document.querySelectorAll('#stage figure').length == 4")
        four = shown(page, "#stage")
        slide(page, "temperature", 0.3)
        changes(page, "#stage", four)
        assert foreign == []
        process.send_signal(signal.SIGINT)  # with the page open
        assert process.wait(90) == 130
        assert process.stderr.read() == "condgen: stopped\n"


@pytest.mark.slow
def test_one_plays_with_sound(browser):
    with served("spoken_digits") as (_, address):
        page, foreign = opened(browser, address)
        slide(page, "seconds", 0.05)
        wait(page, "() => Math.abs(document.querySelector('audio').duration - 0.05) < 1e-3")
        assert "bits/sample" in page.locator("#stage figcaption").inner_text()
        sound = page.locator("audio").get_attribute("src")
        pick(page, "condition-speaker", "theo")
        shows(page, "theo, 0")
        wait(page, "([src]) => document.querySelector('audio').src != src", sound)
        plot = shown(page, "#plot")
        pick(page, "colour", "digit")
        changes(page, "#plot", plot)
        assert foreign == []


def widgets(playground):
    from condgen.commands.play_page import build

    components = build("a model", playground).config["components"]
    return {c["props"]["elem_id"] for c in components if c["props"].get("elem_id") and c["props"].get("visible", True)}


FIXED = {"status", "stage", "plot", "seed", "another"}
FILM = {"layer", "number", "moves", "back"}


def test_what_the_model_cannot_do_has_no_widget(gradio):
    network = PixelCNN((1, 4, 4), 4, "logistic_mixture", layers=2, channels=8, head=8, first_kernel_size=3)
    conditions = {"digit": ClassEmbedding(names=["3", "8"]), "tags": FeatureVector(names=["round", "red"])}
    film = widgets(Playground(ConditionalModel(network, conditions, "film", condition_dropout=0.1).eval()))
    asked = {"condition-digit", "mixed-digit", "condition-tags", "mixed-tags", "mix", "temperature", "num_samples"}
    assert film == FIXED | FILM | asked | {"film_guidance", "gamma", "beta"}
    network = PixelCNN((1, 4, 4), 4, "categorical", layers=2, channels=8, head=8, first_kernel_size=3)
    scale = widgets(Playground(ConditionalModel(network, conditions, "scale", condition_dropout=0.1).eval()))
    assert scale == FIXED | FILM | asked | {"guidance", "film_guidance", "gamma"}
    assert widgets(Playground(ConditionalModel(network, {}, "none").eval())) == (FIXED | {"temperature", "num_samples"})
    generator = widgets(Playground(condgen.load("mnist_gan").model))
    assert generator == FIXED | FILM | {"condition-digit", "mixed-digit", "mix", "truncation", "num_samples", "gamma",
                                        "beta"}  # fmt: skip
    vocoder = condgen.load(Path(__file__).parents[1] / "checkpoints" / "wavenet_fsdd_mel.format1.ckpt")
    heard = widgets(Playground(vocoder.model, vocoder.front_end))
    assert heard == FIXED | FILM | {"condition-speaker", "mixed-speaker", "mix", "condition-mel", "temperature", "beta"}


@pytest.fixture
def with_gradio(monkeypatch):
    monkeypatch.setattr(play, "find_spec", lambda name: True)


def test_without_gradio_one_is_told_what_to_install(monkeypatch, one_line):
    monkeypatch.setattr(play, "find_spec", lambda name: None)
    assert main(["play", "digits"]) == 1
    one_line("gradio, which is missing: pip install 'condgen[play]'")


def test_a_port_in_use_is_told(with_gradio, one_line):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["play", "digits", "--port", str(port)]) == 1
    one_line(f"port {port} of 127.0.0.1 is in use: give another one, such as --port {port + 1}, or --port 0")


@pytest.mark.parametrize(("options", "words"), [
    (["digits", "--port", "70000"], "port 70000 is not from 0 to 65535"),
    (["digits", "--host", "no host"], "cannot listen at no host, port 0"),
    (["digits", "--ckpt_path", "mnist"], "two models are given"), ([], "no model is given"),
    (["digitt"], "did you mean digits?"), (["missing.ckpt"], "missing.ckpt"),
])  # fmt: skip
def test_what_cannot_be_played_with_is_one_line(with_gradio, one_line, options, words):
    assert main(["play", *(options if "--port" in options else [*options, "--port", "0"])]) == 1
    one_line(words)


def test_a_broken_checkpoint_is_one_line_and_leaves_nothing_behind(with_gradio, tmp_path, monkeypatch, one_line):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "broken.ckpt").write_bytes(b"no checkpoint")
    before = {**os.environ}
    assert main(["play", str(tmp_path / "broken.ckpt"), "--port", "0"]) == 1
    one_line("broken.ckpt")
    assert os.environ == before
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_help_names_what_it_takes_and_no_folder_to_replace(capsys):
    assert main(["play", "--help"]) == 0
    told = capsys.readouterr().out
    assert "--host" in told
    assert "--overwrite" not in told
