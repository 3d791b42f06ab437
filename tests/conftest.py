"""Small conditional models and conditions for them, shared by the tests of models and of sampling; and checkpoints."""

import runpy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from condgen.conditioning import ClassEmbedding, FeatureMap, FrameSequence
from condgen.models import ConditionalModel, PixelCNN, WaveNet

torch.set_num_threads(1)  # the models are small, and a second thread waits more than it works


@pytest.fixture(scope="session", autouse=True)
def same_on_every_machine():
    """Let runs that leave their precision out train in float32, whatever this machine multiplies fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("condgen.training.precision.seconds", lambda dtype: 1 if dtype == torch.float32 else 30)
        yield


@pytest.fixture(scope="session")
def make_model():
    """Build a model in float64 under a global, a local and a spatial condition, all weights random, so that γ ≠ 1."""

    def make(
        output="categorical", colours=1, conditioning="film", norm="none", size=(5, 4), seed=0, dropped=0.0, **options
    ):
        torch.manual_seed(seed)
        options = {"layers": 3, "channels": 12, "head": 12, "first_kernel_size": 5, "mixtures": 2, **options}
        levels = options.pop("levels", 2 if output == "bernoulli" else 4)
        network = PixelCNN((colours, *size), levels, output, norm=norm, **options)
        encoders = {"label": ClassEmbedding(4, num_classes=3), "columns": FrameSequence(2, 4), "map": FeatureMap(1, 4)}
        encoders = {} if conditioning == "none" else encoders
        model = ConditionalModel(network, encoders, conditioning, condition_dropout=dropped).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.3)
        return model

    return make


@pytest.fixture(scope="session")
def make_conditions():
    """Draw random conditions for the rows of a batch, those that a model of `make_model` takes."""

    def make(model, rows, seed=0):
        generator = torch.Generator().manual_seed(seed)
        height, width = model.network.shape[1:]
        conditions = {
            "label": torch.randint(3, (rows,), generator=generator),
            "columns": torch.randn(rows, 2, width, generator=generator),
            "map": torch.randn(rows, 1, height, width, generator=generator),
        }
        return {name: conditions[name] for name in model.film_generator.encoders}

    return make


@pytest.fixture(scope="session")
def make_wavenet():
    """Build a WaveNet in float64 under a global and a local condition, all weights random, so that γ ≠ 1.

    `hop` samples per frame: repeated by the network or, for `concat`, by the encoder.
    """

    def make(
        output="categorical", conditioning="film", norm="none", input="embedding", hop=1, seed=0, dropped=0.0, **options
    ):
        torch.manual_seed(seed)
        options = {"levels": 6, "channels": 4, "dilations": [1, 2], "mixtures": 2, "sample_rate": 100, **options}
        factor, hop = (hop, 1) if conditioning == "concat" else (1, hop)
        network = WaveNet(output=output, input=input, norm=norm, hop=hop, **options)
        encoders = {"speaker": ClassEmbedding(4, num_classes=3), "melody": FrameSequence(2, 4, factor=factor)}
        encoders = {} if conditioning == "none" else encoders
        model = ConditionalModel(network, encoders, conditioning, condition_dropout=dropped).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.4)
        return model

    return make


@pytest.fixture(scope="session")
def make_melodies():
    """Draw random conditions for the rows of a batch, those that a model of `make_wavenet` takes."""

    def make(model, rows, frames, seed=0):
        generator = torch.Generator().manual_seed(seed)
        conditions = {
            "speaker": torch.randint(3, (rows,), generator=generator),
            "melody": torch.randn(rows, 2, frames, generator=generator),
        }
        return {name: conditions[name] for name in model.film_generator.encoders}

    return make


@pytest.fixture(scope="session")
def make():
    """What trains small models from the command line: `make.fit`, `make.tone`, …; see `tests/checkpoints/make.py`."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "checkpoints" / "make.py")))


@pytest.fixture(scope="session")
def trained(make, tmp_path_factory):
    """Train a small model of a kind, such as `pixelcnn_digits`, once for all tests; return its checkpoint."""
    return cache(lambda kind: str(make.KINDS[kind](tmp_path_factory.mktemp(kind))))


@pytest.fixture
def altered(trained, tmp_path):
    """Write a checkpoint with changes to the arguments of its task and of its data; return its path."""

    def write(task=None, data=None, kind="pixelcnn_digits", **other):
        content = torch.load(trained(kind), weights_only=True)
        content["hyper_parameters"] |= task or {}
        content["datamodule_hyper_parameters"] |= data or {}
        torch.save({**content, **other}, tmp_path / "altered.ckpt")
        return str(tmp_path / "altered.ckpt")

    return write


@pytest.fixture
def one_line(capsys):
    """Check that the error of a command is one line on stderr that holds some words."""

    def check(*words):
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("condgen: error:")]
        assert len(lines) == 1
        for word in words:
            assert word in lines[0]

    return check
