"""`condgen fit`: where a run goes, one's own modules, and what is said of a network that lacks members."""

import sys
from pathlib import Path

import pytest
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from condgen.cli import main
from condgen.commands.fit import cli, run_name

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DIGITS = CONFIGS / "pixelcnn_digits.yaml"
SMALL = [
    "--model.network.channels", "4", "--model.network.layers", "2", "--model.network.head", "4",
    "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1",
    "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false",
    "--trainer.check_val_every_n_epoch", "1",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, of which nothing is imported afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    for name in [n for n, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def one_line(capsys, *words):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("condgen: error:")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(("argv", "name"), [
    (["fit", "-c", "configs/a.yaml", "--seed_everything", "3"], "a"),
    (["fit", "--config=b.c.yaml"], "b.c"),
    (["fit", "-c", "a.yaml", "--trainer.max_epochs", "1", "--config", "changes.yml"], "changes"),
    (["fit", "--model", "LikelihoodTask"], "run"),
])  # fmt: skip
def test_a_run_is_named_after_its_last_configuration(argv, name):
    assert run_name(argv) == name


@pytest.mark.parametrize(("options", "kind", "place"), [
    ([], CSVLogger, "runs/pixelcnn_digits"),
    (["--trainer.logger.save_dir", "elsewhere"], CSVLogger, "elsewhere/pixelcnn_digits"),
    (["--trainer.logger.name", "first"], CSVLogger, "runs/first"),
    (["--trainer.logger", "TensorBoardLogger"], TensorBoardLogger, "runs/pixelcnn_digits"),
    (["-c", "own.yaml"], CSVLogger, "mine/named"),
])  # fmt: skip
def test_a_logger_of_ones_own_comes_first(folder, options, kind, place):
    pytest.importorskip("tensorboard")
    (folder / "own.yaml").write_text(
        "trainer: {logger: {class_path: pytorch_lightning.loggers.CSVLogger, init_args: {save_dir: mine, name: named}}}"
    )
    found = cli(["-c", str(DIGITS), *options], run=False).trainer
    assert [type(logger) for logger in found.loggers] == [kind]
    assert Path(found.log_dir) == Path(place, "version_0")


def test_without_a_log_checkpoints_go_to_a_folder_of_the_same_name(folder):
    assert main(["fit", "-c", str(DIGITS), *SMALL, "--trainer.logger", "false"]) == 0
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) == [
        f"runs/pixelcnn_digits/checkpoints/{name}.ckpt" for name in ("best", "last")
    ]


def configuration(class_path):
    return (
        f"model: {{class_path: condgen.training.LikelihoodTask, init_args: {{network: {{class_path: {class_path}, "
        "init_args: {shape: [1, 8, 8], levels: 17}}, conditioning: none}}\n"
        "data: {class_path: condgen.data.Images, init_args: {source: {class_path: condgen.data.Digits}}}\n"
    )


def test_a_network_in_the_current_folder_is_found_and_the_run_has_what_every_run_has(folder):
    (folder / "mynets.py").write_text("from condgen.models import PixelCNN\n\n\nclass MyNet(PixelCNN):\n    pass\n")
    (folder / "own.yaml").write_text(configuration("mynets.MyNet"))
    assert main(["fit", "-c", "own.yaml", *SMALL]) == 0
    names = {str(path.relative_to(folder / "runs/own/version_0")) for path in (folder / "runs").rglob("*.*")}
    assert names == {"config.yaml", "metrics.csv", "samples/step_0000002.png", "checkpoints/best.ckpt",
                     "checkpoints/last.ckpt"}  # fmt: skip


def test_a_module_that_is_nowhere_is_named_with_the_places_where_it_was_looked_for(folder, capsys):
    (folder / "own.yaml").write_text(configuration("nowhere.MyNet"))
    assert main(["fit", "-c", "own.yaml"]) == 1
    one_line(capsys, "model.network", "No module named 'nowhere'", f"current folder, {folder}", "installed packages")


def test_a_network_that_lacks_members_is_told_all_of_them_before_anything_is_computed(folder, capsys):
    (folder / "mynets.py").write_text(
        "from torch import nn\n\n\nclass MyNet(nn.Module):\n    def __init__(self, shape: tuple[int, int, int], "
        "levels: int):\n        super().__init__()\n        self.shape, self.levels = shape, levels\n"
    )
    (folder / "own.yaml").write_text(configuration("mynets.MyNet"))
    assert main(["fit", "-c", "own.yaml"]) == 1
    one_line(capsys, "MyNet has no agrees_with_data, blank, canvas", "film_layers", "condgen.models.contract")
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("part", ["network", "discriminator"])
def test_a_generator_or_discriminator_that_lacks_members_is_told_all_of_them(folder, capsys, part):
    (folder / "mynets.py").write_text("from torch import nn\n\n\nclass MyNet(nn.Module):\n    pass\n")
    (folder / "own.yaml").write_text(f"model: {{init_args: {{{part}: {{class_path: mynets.MyNet}}}}}}")
    assert main(["fit", "-c", str(CONFIGS / "cdcgan_digits.yaml"), "-c", "own.yaml"]) == 1
    one_line(capsys, "MyNet has no", "film_layers", "shape", "condgen.models.contract")
