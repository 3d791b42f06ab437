"""The command line: train, sample, evaluate; what is refused, how, and that nothing half-written stays."""

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from condgen.cli import COMMANDS, HELP, main
from condgen.engines.draw import Draw

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = [
    "--model.network.channels", "4", "--model.network.layers", "2", "--model.network.head", "4",
    "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1", "--trainer.accelerator", "cpu",
    "--trainer.check_val_every_n_epoch", "1", "--trainer.enable_progress_bar", "false",
]  # fmt: skip


def fit(folder, *options):
    logs = ["--trainer.default_root_dir", str(folder), "--trainer.logger.save_dir", str(folder)]
    epochs = [] if "--trainer.max_epochs" in options else ["--trainer.max_epochs", "1"]
    return main(["fit", "-c", str(CONFIGS / "pixelcnn_digits.yaml"), *SMALL, *logs, *epochs, *options])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert fit(folder) == 0
    return folder


@pytest.fixture(scope="module")
def checkpoint(run):
    return str(next(run.rglob("last.ckpt")))


def one_line(capsys, *words):
    """The error is one line on stderr that holds these words."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("condgen: error:")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_help_is_quick_and_loads_no_framework():
    code = (
        "import sys, condgen.cli; status = condgen.cli.main(['--help']);"
        "heavy = {'torch', 'numpy', 'pytorch_lightning', 'librosa', 'torchaudio'} & set(sys.modules);"
        "sys.exit(status or bool(heavy))"
    )
    start = time.perf_counter()
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0
    assert time.perf_counter() - start < 2
    assert found.stdout == HELP
    assert all(f"  {command} " in HELP for command in COMMANDS)


def test_unknown_command_names_the_known_ones(capsys):
    assert main(["fitt"]) == 2
    one_line(capsys, "unknown command 'fitt'", "fit, validate, test, sample, evaluate")


def test_a_run_leaves_its_configuration_metrics_samples_and_checkpoints(run):
    names = {path.name for path in run.rglob("*") if path.is_file()}
    assert {"config.yaml", "metrics.csv", "last.ckpt", "best.ckpt"} <= names


def test_sampling_needs_only_the_checkpoint(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["sample", "--ckpt_path", checkpoint, "--condition.digit", "7,3", "--num_samples", "3", "--seed", "5"]
    assert main([*arguments, "--out", "a"]) == 0
    assert sorted(path.name for path in Path("a").iterdir()) == ["grid.png", "manifest.jsonl", "samples.npz"]
    with np.load("a/samples.npz", allow_pickle=False) as file:
        assert file["samples"].shape == (6, 1, 8, 8)
        assert file["samples"].dtype == np.uint8
        assert file["samples"].max() < 17
        assert file["digit"].tolist() == [7, 7, 7, 3, 3, 3]
        samples, log_prob = file["samples"], file["log_prob"]
    rows = [json.loads(line) for line in Path("a/manifest.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(6))
    assert [row["conditions"]["digit"] for row in rows] == list("777333")
    assert [row["log_prob"] for row in rows] == log_prob.tolist()
    assert all(row["seed"] == 5 and len(row["checkpoint"]) == 64 and "torch" in row["versions"] for row in rows)
    assert main([*arguments, "--out", "b", "--batch_size", "1", "--engine", "naive"]) == 0
    with np.load("b/samples.npz", allow_pickle=False) as file:
        assert (file["samples"] != samples).mean() < 0.01


def test_the_engine_is_named_in_a_line(checkpoint, tmp_path, capsys):
    arguments = ["sample", "--ckpt_path", checkpoint, "--condition.digit", "7", "--device", "cpu"]
    assert main([*arguments, "--out", str(tmp_path / "a")]) == 0
    assert "; engine 'compiled' (numba, " in capsys.readouterr().out
    assert main([*arguments, "--out", str(tmp_path / "b"), "--engine", "cached"]) == 0
    assert "; engine 'cached' (as asked)" in capsys.readouterr().out


def test_an_interrupted_run_keeps_the_batches_that_are_finished(checkpoint, tmp_path, monkeypatch, capsys):
    arguments = ["sample", "--ckpt_path", checkpoint, "--condition.digit", "7,3", "--num_samples", "3",
                 "--batch_size", "2"]  # fmt: skip
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    original, seen = Draw.keep, []

    def keep(self, steps, parameters, values):
        seen.append(self)
        if len({id(draw) for draw in seen}) == 3:
            raise KeyboardInterrupt
        return original(self, steps, parameters, values)

    monkeypatch.setattr(Draw, "keep", keep)
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--out", str(tmp_path / "part")])
    assert stopped.value.code == 130
    assert "stopped after 4 of 6 samples, which are kept" in capsys.readouterr().err
    whole, part = (np.load(tmp_path / name / "samples.npz") for name in ("whole", "part"))
    assert (part["samples"] == whole["samples"][:4]).all()
    assert part["digit"].tolist() == [7, 7, 7, 3]
    lines = (tmp_path / "part" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1, 2, 3]


def test_all_stands_for_every_class_and_options_are_passed_on(checkpoint, tmp_path):
    out = tmp_path / "all"
    options = ["--temperature", "0.5", "--top_k", "1", "--top_p", "0.9", "--device", "cpu"]
    assert main(["sample", "--ckpt_path", checkpoint, "--condition.digit", "all", "--num_samples", "2",
                 "--out", str(out), *options]) == 0  # fmt: skip
    with np.load(out / "samples.npz") as file:
        assert file["digit"].tolist() == [digit for digit in range(10) for _ in range(2)]
        assert (file["samples"][::2] == file["samples"][1::2]).all()  # the mode alone is drawn: no noise is left


def test_completion_keeps_the_rows_asked_for(checkpoint, tmp_path):
    image = np.random.default_rng(0).integers(0, 17, (1, 8, 8))
    np.save(tmp_path / "image.npy", image)
    complete = ["--complete", str(tmp_path / "image.npy"), "--keep_rows", "3"]
    assert main(["sample", "--ckpt_path", checkpoint, "--condition.digit", "1", "--num_samples", "4",
                 "--out", str(tmp_path / "out"), *complete]) == 0  # fmt: skip
    with np.load(tmp_path / "out" / "samples.npz") as file:
        assert (file["samples"][:, :, :3] == image[:, :3]).all()
        assert (file["samples"][0] != file["samples"][1]).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--condition.digit", "eleven"], ["condition 'digit' has no class 'eleven'", "0, 1, 2"]),
        (["--condition.digit", "10"], ["has no class '10'", "ids 0 to 9"]),
        (["--condition.digit", "-1"], ["has no class '-1'"]),
        (["--condition.speaker", "jackson", "--condition.digit", "1"], ["no condition 'speaker'", "digit"]),
        ([], ["needs --condition.digit"]),
        (["--condition.digit", "1", "--temperature", "0"], ["temperature 0.0 is not at least 0.0001"]),
        (["--condition.digit", "1", "--top_p", "2"], ["top_p 2.0 is not from 0.000001 to 1"]),
        (["--condition.digit", "1", "--num_samples", "0"], ["num_samples 0"]),
        (["--condition.digit", "1", "--engine", "warp"], ["unknown engine 'warp'", "cached, naive"]),
        (["--condition.digit", "1", "--seed", "-3"], ["seed"]),
        (["--condition.digit", "1", "--device", "tpu9"], ["device 'tpu9' is not to be had"]),
        (["--condition.digit", "1", "--keep_rows", "3"], ["keep_rows needs --complete"]),
        (["--condition.digit", "1", "--condition.digit", "2"], ["--condition.digit is given twice", "3,7"]),
        (["--condition.digit", "1", "--num_sampels", "2"], ["num_sampels"]),
        (["--condition.digit", "1", "--num_samples", "many"], ["num_samples"]),
        (["--condition.digit", "1", "--complete", "none.npy", "--keep_rows", "3"], ["none.npy does not exist"]),
    ],
)
def test_bad_requests_are_refused_in_one_line_and_leave_nothing(options, words, checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["sample", "--ckpt_path", checkpoint, "--out", str(out), *options]) == 1
    one_line(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_results_are_replaced_only_when_asked_and_nothing_else_ever(checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["sample", "--ckpt_path", checkpoint, "--condition.digit", "1", "--out", str(out)]
    assert main(arguments) == 0
    before = (out / "manifest.jsonl").read_text()
    assert main(arguments) == 1
    one_line(capsys, "is not empty", "--overwrite")
    assert main([*arguments, "--overwrite", "--top_k", "0"]) == 1
    assert (out / "manifest.jsonl").read_text() == before
    assert main([*arguments, "--overwrite", "--seed", "9"]) == 0
    assert (out / "manifest.jsonl").read_text() != before
    capsys.readouterr()
    for name in ("precious.txt", "runs"):
        (out / name).mkdir() if name == "runs" else (out / name).write_text("mine")
        assert main([*arguments, "--overwrite"]) == 1
        one_line(capsys, f"holds more than results ({name})", "not overwritten")
        (out / name).rmdir() if name == "runs" else (out / name).unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_output_that_appears_meanwhile_is_kept(tmp_path):
    from condgen.commands.output import output_folder

    with pytest.raises(ValueError, match="is not empty"), output_folder(tmp_path / "out") as folder:  # noqa: PT012
        (folder / "second.npz").touch()
        with output_folder(tmp_path / "out") as other:
            (other / "first.npz").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "first.npz"]


def test_the_manifest_says_what_decided_the_samples(checkpoint, tmp_path):
    options = ["--temperature", "0.7", "--top_k", "5"]
    assert (
        main(["sample", "--ckpt_path", checkpoint, "--condition.digit", "1", "--out", str(tmp_path / "o"), *options])
        == 0
    )
    row = json.loads((tmp_path / "o" / "manifest.jsonl").read_text().splitlines()[0])
    assert (row["temperature"], row["top_k"], row["top_p"], row["keep_rows"]) == (0.7, 5, None, 0)


@pytest.mark.parametrize("command", ["sample", "evaluate", "test", "fit"])
def test_checkpoints_that_are_broken_or_foreign_are_refused(command, checkpoint, tmp_path, capsys):
    whole = Path(checkpoint).read_bytes()
    (tmp_path / "truncated.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    (tmp_path / "empty.ckpt").touch()
    torch.save({"state_dict": {}, "hyper_parameters": {"_class_path": "other.Model"}}, tmp_path / "foreign.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    out = (
        ["-c", str(CONFIGS / "pixelcnn_digits.yaml")] if command in ("fit", "test") else ["--out", str(tmp_path / "o")]
    )
    broken, foreign = "may be truncated", "not a checkpoint of a condgen model"
    cases = {"missing": "does not exist", "truncated": broken, "text": broken, "empty": broken, "foreign": foreign}
    cases["list"] = foreign
    for name, words in cases.items():
        assert main([command, "--ckpt_path", str(tmp_path / f"{name}.ckpt"), *out]) == 1
        one_line(capsys, f"{name}.ckpt", words)
    assert not (tmp_path / "o").exists()


def test_a_checkpoint_never_runs_code(tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save(
        {"hyper_parameters": {"_class_path": "condgen.training.LikelihoodTask"}, "trap": Trap()}, tmp_path / "t.ckpt"
    )
    assert main(["sample", "--ckpt_path", str(tmp_path / "t.ckpt"), "--out", str(tmp_path / "o")]) == 1
    one_line(capsys, "t.ckpt cannot be read")
    assert not (tmp_path / "ran").exists()


def test_validate_and_test_score_a_checkpoint(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("validate", "test"):
        assert main([command, "-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--ckpt_path", checkpoint,
                     "--trainer.logger", "false", "--trainer.callbacks", "null"]) == 0  # fmt: skip
        found = capsys.readouterr()
        assert "bits_per_dim" in found.out
        assert "the checkpoint's 4 wins over 48" in found.err  # channels: said, because the configuration has others


def test_validate_and_test_need_only_the_checkpoint(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("validate", "test"):
        assert main([command, "--ckpt_path", checkpoint]) == 0
        assert "bits_per_dim" in capsys.readouterr().out
    assert main(["test"]) == 1
    one_line(capsys, "are required", "-c FILE.yaml")


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
def test_a_wrong_configuration_is_one_line(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("model: [unclosed")
    assert main(["fit", *options]) == 1
    one_line(capsys, *words)


def test_last_goes_on_and_says_so_or_says_that_there_is_none(run, tmp_path, capsys):
    before = torch.load(next(run.rglob("last.ckpt")), weights_only=True)["global_step"]
    assert fit(run, "--ckpt_path", "last", "--trainer.max_epochs", "2", "--model.learning_rate", "0.5") == 0
    error = capsys.readouterr().err
    assert "going on from" in error
    assert "model.learning_rate: the checkpoint's 0.004 wins over 0.5" in error
    steps = [torch.load(path, weights_only=True)["global_step"] for path in run.rglob("last.ckpt")]
    assert sorted(steps) == [before, 2 * before]
    assert fit(tmp_path, "--ckpt_path", "last") == 1
    one_line(capsys, "there is no last.ckpt below", "leave it out to start a new run")


def test_weights_start_a_new_run_with_new_hyper_parameters(checkpoint, tmp_path, capsys):
    assert fit(tmp_path, "--weights", checkpoint, "--model.learning_rate", "1e-9", "--trainer.max_epochs", "1") == 0
    old, new = (torch.load(path, weights_only=True) for path in (checkpoint, next(tmp_path.rglob("last.ckpt"))))
    for name, value in old["state_dict"].items():
        torch.testing.assert_close(new["state_dict"][name], value)
    assert new["hyper_parameters"]["learning_rate"] == 1e-9
    assert fit(tmp_path / "b", "--weights", checkpoint, "--model.network.channels", "6") == 1
    one_line(capsys, "does not fit this model")


def test_a_loss_that_is_not_a_number_is_one_line(tmp_path, capsys):
    assert fit(tmp_path, "--model.learning_rate", "1e30", "--model.warmup_steps", "1", "--trainer.max_epochs", "5") == 1
    one_line(capsys, "the loss is", "lower the learning rate")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.network.kernel_size", "4"], ["kernel_size 4 is not an odd number"]),
        (["--model.network.norm", "batch"], ["norm 'batch'", "later inputs"]),
        (["--model.network.levels", "16"], ["levels is 16, the data's is 17"]),
        (["--model.network.shape", "[1,9,8]"], ["shape is (1, 9, 8)", "(1, 8, 8)"]),
        (["--model.conditions.digit.num_classes", "9"], ["the model's classes are", "the data's are"]),
    ],
)
def test_models_that_cannot_be_or_do_not_fit_are_one_line(options, words, tmp_path, capsys):
    assert fit(tmp_path, *options) == 1
    one_line(capsys, *words)


def test_a_folder_of_images_trains_and_its_class_names_travel(tmp_path, capsys):
    from PIL import Image

    for name in ("apple", "pear"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (8, 8), 20 * i).save(tmp_path / "images" / name / f"{i}.png")
    config = (CONFIGS / "pixelcnn_digits.yaml").read_text().replace("digit:", "class:").replace(
        "{class_path: condgen.data.Digits}",
        f"{{class_path: condgen.data.Folder, init_args: {{root: {tmp_path / 'images'}, channels: 1, bits: 4}}}}",
    )  # fmt: skip
    (tmp_path / "config.yaml").write_text(config.replace("levels: 17", "levels: 16"))
    logs = ["--trainer.default_root_dir", str(tmp_path), "--trainer.logger.save_dir", str(tmp_path / "runs")]
    arguments = ["-c", str(tmp_path / "config.yaml"), *SMALL, *logs, "--trainer.max_epochs", "1"]
    assert main(["fit", *arguments]) == 0
    checkpoint = str(next((tmp_path / "runs").rglob("last.ckpt")))
    assert main(["sample", "--ckpt_path", checkpoint, "--condition.class", "pear", "--out", str(tmp_path / "out")]) == 0
    (tmp_path / "images" / "pear" / "0.png").write_bytes(b"\x89PNG broken")
    capsys.readouterr()
    assert main(["fit", *arguments]) == 1
    one_line(capsys, "0.png is not a readable image", "remove or replace it")
    (tmp_path / "images" / "quince").mkdir()
    assert main(["fit", *arguments]) == 1
    one_line(capsys, "no images of class quince")


@pytest.mark.slow
def test_evaluate_writes_a_report_with_pictures(checkpoint, tmp_path, capsys):
    out = tmp_path / "report"
    options = ["--num_samples", "60", "--limit", "50", "--classifier_steps", "20"]
    assert main(["evaluate", "--ckpt_path", checkpoint, "--out", str(out), *options]) == 0
    assert {path.name for path in out.iterdir()} == {"report.md", "report.json", "samples.png", "real.png",
                                                     "read_digit.png"}  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    assert report["likelihood"]["examples"] == 50
    assert report["likelihood"]["swap_gap"].keys() == {"digit"}
    assert report["samples"]["digit"]["count"] == 60
    assert (out / "report.md").read_text() in capsys.readouterr().out


def test_a_warning_is_one_line_too(monkeypatch, capsys):
    """And outside the command line nothing has changed."""
    before = warnings.formatwarning
    monkeypatch.setitem(COMMANDS, "sample", "warner")
    monkeypatch.setitem(sys.modules, "warner", SimpleNamespace(run=lambda argv: print(
        warnings.formatwarning("engine gone", UserWarning, "draw.py", 3), end="")))  # fmt: skip
    assert main(["sample"]) == 0
    assert capsys.readouterr().out == "condgen: warning: engine gone\n"
    assert warnings.formatwarning is before
