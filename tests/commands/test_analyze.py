"""`condgen analyze`: what a report holds for every kind of model, and what is refused."""

import json
import re

import pytest
import soundfile
import torch

from condgen.checkpoint import Checkpoint
from condgen.cli import main

QUICK = ["--num_samples", "4", "--examples", "6", "--classifier_steps", "3"]


def analyze(model, out, *options):
    return main(["analyze", str(model), "--out", str(out), *options])


def report_of(out):
    """The report; every picture and sound that it names is there, and nothing else is."""
    text, found = (out / "report.md").read_text(), json.loads((out / "report.json").read_text())
    named = {*re.findall(r"\]\(([^)]+)\)", text), "report.md", "report.json"}
    assert named == {path.name for path in out.iterdir()}
    return text, found


@pytest.mark.slow
def test_a_model_of_images_is_analysed_and_again(pixelcnn, tmp_path, capsys):
    assert analyze(pixelcnn, tmp_path / "r", *QUICK, "--between", "digit=3,8") == 0
    text, found = report_of(tmp_path / "r")
    assert text in capsys.readouterr().out
    assert found["left_out"].keys() == {"clusters", "arithmetic"}
    assert "10 rows are too few" in found["left_out"]["clusters"]
    way = found["paths"]["digit"]
    assert (way["from"], way["to"], len(way["weights"])) == ("3", "8", 11)
    assert way["read"].keys() == {"3", "8", "others"}
    assert way["first"].popitem()[1] == pytest.approx(way["bits"]["8"][-1])
    assert found["ablation"]["only"].keys() == found["figures"]["spread"].keys()
    options = [*QUICK, "--layers", "[blocks.1.vertical_film]", "--maps", "[2,0]", "--overwrite"]
    assert analyze(pixelcnn, tmp_path / "r", *options) == 0
    again = report_of(tmp_path / "r")[1]
    assert again["figures"]["as_is"]["maps"] == 2
    assert again["ablation"]["own"] == found["ablation"]["own"]


@pytest.mark.slow
def test_a_generator_is_analysed_by_what_is_read_in_its_samples(cdcgan, tmp_path):
    assert analyze(cdcgan, tmp_path / "r", *QUICK) == 0
    _, found = report_of(tmp_path / "r")
    assert found["figures"]["as_is"]["between"].keys() == {"gamma", "beta", "both"}
    assert found["ablation"]["unit"] == "share of samples not read as asked"
    assert found["ablation"]["parts"].keys() == {"gamma", "beta"}
    assert "bits" not in found["paths"]["digit"]


@pytest.mark.slow
def test_a_model_of_speech_is_analysed_with_its_position_averaged(trained, tmp_path):
    assert analyze(trained("wavenet_fsdd"), tmp_path / "r", *QUICK, "--seconds", "0.1") == 0
    text, found = report_of(tmp_path / "r")
    assert "What position (local) adds is averaged over frames" in text
    assert found["arithmetic"]["speaker + digit"]["error"] < 1e-3  # of tiny δ, which γ = 1 + δ rounds
    assert found["paths"].keys() == {"speaker", "digit"}
    assert soundfile.info(tmp_path / "r" / "path_digit_0.500.wav").frames == 800


@pytest.mark.slow
def test_a_vocoder_is_analysed_by_held_out_examples(trained, tmp_path):
    assert analyze(trained("wavenet_fsdd_mel"), tmp_path / "r", *QUICK) == 0
    _, found = report_of(tmp_path / "r")
    assert found["subject"]["rows"].startswith("held-out examples")
    assert found["subject"]["labels"] == ["speaker", "digit"]
    assert found["left_out"]["paths"] == "no condition is made of classes to go between"
    assert found["ablation"]["mean"] >= 0


@pytest.mark.slow
def test_without_data_what_needs_them_is_left_out(trained, tmp_path, monkeypatch):
    def gone(self, changes=None):
        raise ValueError("recordings are not there")

    monkeypatch.setattr(Checkpoint, "data", gone)
    assert analyze(trained("wavenet_fsdd"), tmp_path / "r", *QUICK, "--seconds", "0.1") == 0
    text, found = report_of(tmp_path / "r")
    assert found["left_out"]["ablation"] == "there are no data (recordings are not there)"
    assert "Left out: there are no data (recordings are not there)." in text
    assert "read" not in found["paths"]["digit"]
    assert found["figures"]["spread"]


def test_data_that_are_asked_for_must_be_there(pixelcnn, tmp_path, one_line):
    assert analyze(pixelcnn, tmp_path / "r", "--data.nothing", "1") == 1
    one_line("nothing")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("options", "words"), [
    (["--layers", "[blocks.9]"], ["no FiLM layer is called 'blocks.9'", "blocks.0.vertical_film"]),
    (["--maps", "[99]"], ["layer 'blocks.0.vertical_film' has no feature map 99; its maps: 0 to 7"]),
    (["--between", "digit=3,12"], ["condition 'digit' has no class '12'; its classes: 0, 1"]),
    (["--between", "digit=3"], ["give two different classes of 'digit', such as digit=0,9"]),
    (["--between", "digit=3,3"], ["give two different classes"]),
    (["--between", "3,8"], ["--between 3,8", "one of digit, such as --between digit=3,8"]),
    (["--num_samples", "0"], ["num_samples 0 is not at least 1"]),
])  # fmt: skip
def test_what_is_unknown_is_one_line_and_nothing_is_written(pixelcnn, tmp_path, one_line, options, words):
    assert analyze(pixelcnn, tmp_path / "r", *options) == 1
    one_line(*words)
    assert not (tmp_path / "r").exists()


def test_models_without_a_choice_are_refused(altered, make, tmp_path, one_line):
    unconditional = make.trained("pixelcnn_digits", tmp_path / "none", "--model.conditioning", "none",
                                 "--model.conditions", "{}")  # fmt: skip
    assert analyze(unconditional, tmp_path / "r") == 1
    one_line("holds an unconditional model, which has no task representation")


def test_a_single_class_is_refused(pixelcnn, tmp_path, one_line):
    content = torch.load(pixelcnn, weights_only=True)
    encoder = content["hyper_parameters"]["conditions"]["digit"]["init_args"]
    encoder |= {"num_classes": 1, "names": ["7"]}
    for key, value in content["state_dict"].items():
        if key.endswith("encoders.digit.embedding.weight"):
            content["state_dict"][key] = value[:1].clone()
    torch.save(content, tmp_path / "one.ckpt")
    assert analyze(tmp_path / "one.ckpt", tmp_path / "r") == 1
    one_line("there is only one task representation", "condition 'digit' has one class, '7'")


def test_a_file_of_another_kind_is_refused(tmp_path, one_line):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.ckpt")
    assert analyze(tmp_path / "other.ckpt", tmp_path / "r") == 1
    one_line("other.ckpt")
