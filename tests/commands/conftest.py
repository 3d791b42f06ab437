"""Small trained models, and the ways in which commands are called on them."""

from pathlib import Path

import pytest

from condgen.cli import main


@pytest.fixture(autouse=True)
def current_folder(tmp_path_factory, monkeypatch):
    """A current folder that is empty: there a command prepares data unless it is told of another place."""
    monkeypatch.chdir(tmp_path_factory.mktemp("current"))


@pytest.fixture(scope="session")
def pixelcnn(trained):
    return trained("pixelcnn_digits")


@pytest.fixture(scope="session")
def cdcgan(trained):
    return trained("cdcgan_digits")


@pytest.fixture(scope="session")
def cdcgan_audio(trained):
    return trained("cdcgan_fsdd")


@pytest.fixture(scope="session")
def recordings(trained):
    """The tones that the audio models were trained on, laid out as the Free Spoken Digit Dataset."""
    return next(path / "fsdd" for path in Path(trained("wavenet_fsdd")).parents if (path / "fsdd").is_dir())


@pytest.fixture(scope="session")
def sample():
    """Call `condgen sample`; return the exit status."""
    return lambda checkpoint, out, *options: main(
        ["sample", "--ckpt_path", str(checkpoint), "--out", str(out), *options]
    )


@pytest.fixture(scope="session")
def evaluate():
    """Call `condgen evaluate`; return the exit status."""
    return lambda checkpoint, out, *options: main(
        ["evaluate", "--ckpt_path", str(checkpoint), "--out", str(out), *options]
    )


@pytest.fixture(scope="session")
def draw(trained, sample):
    """Call `condgen sample` on an audio model of a kind."""
    return lambda kind, out, *options: sample(trained(kind), out, *options)


@pytest.fixture(scope="session")
def asked():
    """The options that a `wavenet_fsdd` needs."""

    def options(speaker="theo", digit="1", seconds="0.05"):
        return ["--condition.speaker", speaker, "--condition.digit", digit, "--seconds", seconds]

    return options
