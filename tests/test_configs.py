"""Every configuration is built as the command in its first lines would build it, and its model fits its data."""

from pathlib import Path

import pytest
import torch

from condgen.commands.fit import cli
from condgen.training import check_data

CONFIGS = sorted((Path(__file__).resolve().parent.parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_first_lines_say_how_to_launch_it(config):
    head = "".join(line for line in config.read_text().splitlines(keepends=True)[:10] if line.startswith("#"))
    assert f"condgen fit -c configs/{config.name}" in head


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_it_is_built_and_fits_its_data_and_starts_unconditional(config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    built = cli(["-c", str(config)], run=False)
    model, data = built.model.model.eval(), built.datamodule
    check_data(model, data)
    network = model.network
    x = torch.randint(network.levels, (2, *network.shape))
    ids = {name: torch.tensor([0, len(names) - 1]) for name, names in data.names.items()}
    with torch.no_grad():
        assert torch.equal(network(x, model.film(ids)), network(x))


def test_every_model_and_data_set_has_a_configuration():
    assert {path.stem for path in CONFIGS} >= {
        "pixelcnn_digits", "pixelcnn_mnist", "pixelcnn_mnist_binary", "pixelcnn_cifar10",
    }  # fmt: skip
