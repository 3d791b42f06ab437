"""Options of one kind of model are refused where the checkpoint holds the other."""

import pytest


@pytest.mark.parametrize("option", [
    ["--temperature", "0.9"], ["--top_k", "3"], ["--top_p", "0.5"], ["--engine", "naive"], ["--keep_rows", "2"],
    ["--complete", "x.npy"], ["--prime", "x.wav"], ["--seconds", "1.0"], ["--guidance", "1"], ["--film_guidance", "1"],
])  # fmt: skip
def test_options_of_likelihood_models_are_refused(option, cdcgan, sample, tmp_path, one_line):
    assert sample(cdcgan, tmp_path / "o", "--condition.digit", "all", *option) == 1
    reason = "size of what it draws is fixed" if option[0] == "--seconds" else "that is for likelihood models"
    one_line(f"takes no {option[0]}: ", reason, "it takes --truncation and --seed")
    assert not (tmp_path / "o").exists()


def test_truncation_is_refused_for_a_pixelcnn_and_temperature_for_a_generator(
    pixelcnn, cdcgan, sample, evaluate, tmp_path, one_line
):
    for command, options in ((sample, ["--condition.digit", "3"]), (evaluate, [])):
        assert command(pixelcnn, tmp_path / "o", "--truncation", "0.5", *options) == 1
        one_line("--truncation is for adversarial generators", "a PixelCNN: use --temperature")
        assert command(cdcgan, tmp_path / "o", "--temperature", "0.5", *options) == 1
        one_line("takes no --temperature: that is for likelihood models", "it takes --truncation")
