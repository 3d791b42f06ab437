"""`condgen fit | validate | test`: what a run leaves, how it goes on, and what is refused in one line."""

import sys
import warnings
from pathlib import Path

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from condgen.cli import main
from condgen.commands.fit import cli

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DIGITS = CONFIGS / "pixelcnn_digits.yaml"
SMALL = [
    "--model.network.channels", "4", "--model.network.layers", "2", "--model.network.head", "4",
    "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1",
    "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false",
    "--trainer.check_val_every_n_epoch", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert make.fit("pixelcnn_digits", folder) == 0
    return folder


@pytest.fixture(scope="module")
def checkpoint(run):
    return str(next(run.rglob("last.ckpt")))


def test_a_run_leaves_its_configuration_metrics_samples_and_checkpoints(run):
    names = {path.name for path in run.rglob("*") if path.is_file()}
    assert {"config.yaml", "metrics.csv", "last.ckpt", "best.ckpt"} <= names


def test_an_adversarial_run_leaves_checkpoints_figures_and_a_grid_per_class(cdcgan):
    run = Path(cdcgan).parents[1]
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/rank", "train/diversity", "val/rank", "val/frechet", "val/accuracy_digit"} <= set(header)


def test_grids_while_training_come_from_the_same_noise(make, tmp_path):
    options = ["--trainer.callbacks+", "condgen.training.SampleGrid", "--trainer.max_epochs", "2"]
    rates = ["--model.learning_rate", "0.0", "--trainer.limit_train_batches", "1", "--model.network.norm", "none"]
    assert make.fit("cdcgan_digits", tmp_path, *options, *rates) == 0
    grids = [path.read_bytes() for path in sorted(tmp_path.rglob("samples/*.png"))]
    assert len(grids) == 2
    assert grids[0] == grids[1]


def test_validate_and_test_score_a_checkpoint(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("validate", "test"):
        assert main([command, "-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--ckpt_path", checkpoint,
                     "--trainer.logger", "false", "--trainer.callbacks", "null"]) == 0  # fmt: skip
        found = capsys.readouterr()
        assert "bits_per_dim" in found.out
        assert "the checkpoint's 4 wins over 48" in found.err  # channels: said, because the configuration has others


def test_validate_and_test_need_only_the_checkpoint(checkpoint, tmp_path, capsys, monkeypatch, one_line):
    monkeypatch.chdir(tmp_path)
    for command in ("validate", "test"):
        for place in (["--ckpt_path", checkpoint], [f"--ckpt_path={checkpoint}"]):
            assert main([command, *place]) == 0
            assert "bits_per_dim" in capsys.readouterr().out
    assert main(["test"]) == 1
    one_line("are required", "-c FILE.yaml")


@pytest.mark.slow
def test_scoring_a_checkpoint_writes_nothing_into_the_current_folder(trained, tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("my own file\n")
    options = ["--trainer.enable_progress_bar", "false", "--data.cache", str(tmp_path_factory.mktemp("cache"))]
    assert main(["validate", "--ckpt_path", trained("wavenet_fsdd"), *options]) == 0
    assert (tmp_path / "config.yaml").read_text() == "my own file\n"
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-c", "nowhere.yaml"], ["nowhere.yaml"]),
        (
            ["-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--model.network.chanels", "3"],
            ["network", "Option 'chanels' is not accepted"],
        ),
        (["-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--model.network", "condgen.models.PixelRNN"], ["PixelRNN"]),
        (["-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--model.network.channels", "many"], ["channels", "many"]),
        (["-c", "bad.yaml"], ["bad.yaml"]),
    ],
)
def test_a_wrong_configuration_is_one_line(options, words, tmp_path, one_line, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("model: [unclosed")
    assert main(["fit", *options]) == 1
    one_line(*words)


def test_last_goes_on_and_says_so_or_says_that_there_is_none(make, run, checkpoint, tmp_path, capsys, one_line):
    before = torch.load(checkpoint, weights_only=True)["global_step"]
    options = ["--ckpt_path", "last", "--trainer.max_epochs", "2", "--model.learning_rate", "0.5"]
    assert make.fit("pixelcnn_digits", run, *options) == 0
    error = capsys.readouterr().err
    assert "going on from" in error
    assert "model.learning_rate: the checkpoint's 0.004 wins over 0.5" in error
    steps = [torch.load(path, weights_only=True)["global_step"] for path in run.rglob("last.ckpt")]
    assert steps == [2 * before]
    assert make.fit("pixelcnn_digits", tmp_path, "--ckpt_path", "last") == 1
    one_line("there is no last.ckpt below", "leave it out to start a new run")


def test_an_adversarial_run_goes_on_from_its_last_checkpoint(make, tmp_path):
    for epochs in ("1", "2"):
        again = ["--ckpt_path", "last"] if epochs == "2" else []
        options = ["--trainer.limit_train_batches", "3", "--trainer.max_epochs", epochs]
        assert make.fit("cdcgan_digits", tmp_path, *options, *again) == 0
    newest = max(tmp_path.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
    assert torch.load(newest, weights_only=True)["global_step"] == 6


def test_weights_start_a_new_run_with_new_hyper_parameters(make, checkpoint, tmp_path, one_line):
    assert make.fit("pixelcnn_digits", tmp_path, "--weights", checkpoint, "--model.learning_rate", "1e-9") == 0
    old, new = (torch.load(path, weights_only=True) for path in (checkpoint, next(tmp_path.rglob("last.ckpt"))))
    for name, value in old["state_dict"].items():
        torch.testing.assert_close(new["state_dict"][name], value)
    assert new["hyper_parameters"]["learning_rate"] == 1e-9
    other = ["--weights", checkpoint, "--model.network.channels", "6"]
    assert make.fit("pixelcnn_digits", tmp_path / "b", *other) == 1
    one_line("does not fit this model")


def test_a_checkpoint_of_another_task_is_refused(make, pixelcnn, cdcgan, tmp_path, one_line):
    for option in ("--ckpt_path", "--weights"):
        assert make.fit("cdcgan_digits", tmp_path, option, pixelcnn) == 1
        one_line("last.ckpt holds a LikelihoodTask (PixelCNN), and the configuration trains a AdversarialTask")
        assert make.fit("pixelcnn_digits", tmp_path, option, cdcgan) == 1
        one_line("last.ckpt holds a AdversarialTask (Generator)", "trains a LikelihoodTask: they do not fit")


def test_a_loss_that_is_not_a_number_is_one_line(make, tmp_path, one_line):
    options = ["--model.learning_rate", "1e30", "--model.warmup_steps", "1", "--trainer.max_epochs", "5"]
    assert make.fit("pixelcnn_digits", tmp_path, *options) == 1
    one_line("the loss is", "lower the learning rate")


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ("pixelcnn_digits", ["--model.network.kernel_size", "4"], ["kernel_size 4 is not an odd number"]),
        ("pixelcnn_digits", ["--model.network.norm", "batch"], ["norm 'batch'", "later inputs"]),
        ("pixelcnn_digits", ["--model.network.levels", "16"], ["levels is 16, the data's is 17"]),
        ("pixelcnn_digits", ["--model.network.shape", "[1,9,8]"], ["shape is (1, 9, 8)", "(1, 8, 8)"]),
        ("pixelcnn_digits", ["--model.conditions.digit.num_classes", "9"],
         ["the model's classes are", "the data's are"]),
        ("cdcgan_digits", ["--model.network.shape", "[1, 30, 30]"],
         ["multiples of 8; got 30 × 30: resize or crop the data, to 32 × 32"]),
        ("cdcgan_digits", ["--trainer.callbacks+", "condgen.training.EMA"],
         ["averages its generator by itself", "remove EMA"]),
        ("cdcgan_digits", ["--trainer.gradient_clip_val", "1.0"], ["manual optimization"]),
        ("cdcgan_digits", ["--trainer.accumulate_grad_batches", "2"], ["manual optimization"]),
    ],
)  # fmt: skip
def test_models_that_cannot_be_or_do_not_fit_are_one_line(config, options, words, make, tmp_path, one_line):
    assert make.fit(config, tmp_path, *options) == 1
    one_line(*words)


def test_a_folder_of_images_trains_and_its_class_names_travel(make, sample, tmp_path, capsys, one_line):
    from PIL import Image

    for name in ("apple", "pear"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (8, 8), 20 * i).save(tmp_path / "images" / name / f"{i}.png")
    config = (CONFIGS / "pixelcnn_digits.yaml").read_text().replace("digit:", "class:").replace(
        "{class_path: condgen.data.Digits}",
        f"{{class_path: condgen.data.Folder, init_args: {{root: {tmp_path / 'images'}, channels: 1, bits: 4}}}}",
    )  # fmt: skip
    path = tmp_path / "pixelcnn_fruit.yaml"
    path.write_text(config.replace("levels: 17", "levels: 16"))
    checkpoint = make.trained(path, tmp_path / "runs")
    assert sample(checkpoint, tmp_path / "out", "--condition.class", "pear") == 0
    (tmp_path / "images" / "pear" / "0.png").write_bytes(b"\x89PNG broken")
    capsys.readouterr()
    assert make.fit(path, tmp_path / "runs") == 1
    one_line("0.png is not a readable image", "remove or replace it")
    (tmp_path / "images" / "quince").mkdir()
    assert make.fit(path, tmp_path / "runs") == 1
    one_line("no images of class quince")


# Where a run goes, and modules of one's own.


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, of which nothing is imported afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    for name in [n for n, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


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


def test_a_module_that_is_nowhere_is_named_with_the_places_where_it_was_looked_for(folder, one_line):
    (folder / "own.yaml").write_text(configuration("nowhere.MyNet"))
    assert main(["fit", "-c", "own.yaml"]) == 1
    one_line("model.network", "No module named 'nowhere'", f"current folder, {folder}", "installed packages")


def test_a_network_that_lacks_members_is_told_all_of_them_before_anything_is_computed(folder, one_line):
    (folder / "mynets.py").write_text(
        "from torch import nn\n\n\nclass MyNet(nn.Module):\n    def __init__(self, shape: tuple[int, int, int], "
        "levels: int):\n        super().__init__()\n        self.shape, self.levels = shape, levels\n"
    )
    (folder / "own.yaml").write_text(configuration("mynets.MyNet"))
    assert main(["fit", "-c", "own.yaml"]) == 1
    one_line("MyNet has no agrees_with_data, blank, canvas", "film_layers", "condgen.models.contract")
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("part", ["network", "discriminator"])
def test_a_generator_or_discriminator_that_lacks_members_is_told_all_of_them(folder, one_line, part):
    (folder / "mynets.py").write_text("from torch import nn\n\n\nclass MyNet(nn.Module):\n    pass\n")
    (folder / "own.yaml").write_text(f"model: {{init_args: {{{part}: {{class_path: mynets.MyNet}}}}}}")
    assert main(["fit", "-c", str(CONFIGS / "cdcgan_digits.yaml"), "-c", "own.yaml"]) == 1
    one_line("MyNet has no", "film_layers", "shape", "condgen.models.contract")


@pytest.mark.slow
def test_a_network_of_ones_own_is_trained_sampled_and_evaluated_by_its_class_path(folder, one_line):
    """As a user has it: a module in the current folder, of which condgen knows the contract alone."""
    own = Path(__file__).parents[1] / "models" / "raster_transformer.py"
    (folder / "mynets.py").write_text(own.read_text())
    text = DIGITS.read_text()
    before, network = text.index("    network:"), text.index("    conditions:")
    ours = "    network: {class_path: mynets.RasterTransformer, init_args: {shape: [1, 8, 8], levels: 17}}\n"
    (folder / "own.yaml").write_text(text[:before] + ours + text[network:])
    assert main(["fit", "-c", "own.yaml", *SMALL[6:]]) == 0
    checkpoint = str(next(folder.rglob("last.ckpt")))
    drawing = ["sample", "--ckpt_path", checkpoint, "--condition.digit", "3,7", "--num_samples", "2", "--out"]
    assert main([*drawing, "refused"]) == 1
    one_line("names the class mynets.RasterTransformer in network", "--trust mynets")
    assert main([*drawing, "samples", "--trust", "mynets"]) == 0
    assert {"samples.npz", "grid.png", "manifest.jsonl", "digit=3_0000.png"} <= {
        path.name for path in (folder / "samples").iterdir()
    }
    options = ["--num_samples", "10", "--limit", "10", "--classifier_steps", "2", "--trust", "mynets"]
    assert main(["evaluate", "--ckpt_path", checkpoint, "--out", "report", *options]) == 0
    assert "bits/dim" in (folder / "report" / "report.md").read_text()


@pytest.mark.parametrize("config", ["wavenet_fsdd", "cdcgan_fsdd"])
def test_a_speaker_who_has_only_test_clips_is_warned_of_wherever_its_untrained_row_is_used(
    config, make, sample, evaluate, tmp_path
):
    data = make.spoken_digits(tmp_path)
    for take in (5, 6, 7, 8):  # of which training and validation are
        for path in (tmp_path / "fsdd").glob(f"*_theo_{take}.wav"):
            path.unlink()
    shapes = ["--model.network.shape=[1,1024]", "--model.discriminator.shape=[1,1024]", "--data.length", "1024"]
    own = [*shapes, "--trainer.callbacks", "null"] if config == "cdcgan_fsdd" else []

    def warned(run, *given):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            result = run(*given)
        return result, [str(w.message) for w in seen if "no training examples of theo" in str(w.message)]

    checkpoint, said = warned(make.trained, config, tmp_path, *data, *own)
    assert len(said) == 1
    held = torch.load(checkpoint, weights_only=True)["class_examples"]
    assert held == {"speaker": {"george": 6, "theo": 0}, "digit": {"0": 3, "1": 3}}
    seconds = [] if own else ["--seconds", "0.01"]
    for speaker, count in (("george", 0), ("theo", 1), ("all", 1)):
        options = ["--condition.speaker", speaker, "--condition.digit", "1", *seconds]
        status, said = warned(sample, checkpoint, tmp_path / speaker, *options)
        assert (status, len(said)) == (0, count)
    small = ["--num_samples", "6", "--limit", "2", "--classifier_steps", "1", "--lesson_samples", "0"]
    assert len(warned(evaluate, checkpoint, tmp_path / "report", *small)[1]) == 1
