"""The recipe of normalisation that adapts."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

FOLDER = Path(__file__).resolve().parent.parent / "recipes" / "article"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("speech_adaptation")


def clips(recipe, count=60):
    rows = torch.arange(count)
    return recipe.Spoken(rows[:, None, None].float(), rows % 10, rows % 6)


@pytest.mark.parametrize("seed", [0, 4, 7])
def test_the_held_out_speaker_is_not_trained_on(recipe, seed):
    new, test, train = recipe.parted(clips(recipe), seed)
    assert set(new.speaker.tolist()) == {seed % 6}
    assert not {seed % 6} & set(torch.cat([test.speaker, train.speaker]).tolist())
    rows = torch.cat([part.mel.flatten() for part in (new, test, train)])
    assert sorted(rows.tolist()) == list(range(60))


def test_labels_are_those_of_the_recordings(recipe, tmp_path):
    rng = np.random.default_rng(0)
    for digit, speaker, seconds in ((3, "anna", 0.3), (7, "bob", 1.0)):
        sound = rng.uniform(-0.5, 0.5, round(8000 * seconds))
        for take in (0, 5, 6):
            soundfile.write(tmp_path / f"{digit}_{speaker}_{take}.wav", sound, 8000)
    found = recipe.spoken(str(tmp_path), str(tmp_path), 1.0)
    assert sorted(zip(found.digit.tolist(), found.speaker.tolist(), strict=True)) == [(3, 0)] * 3 + [(7, 1)] * 3
    quiet = (found.mel == found.mel.min()).all(1)
    assert quiet[found.digit == 3][:, 16:].all()  # behind the end of 0.3 s
    assert not quiet[found.digit == 7].any()


def test_with_constant_writers_the_dynamic_norm_is_the_plain_one(recipe):
    torch.manual_seed(0)
    plain, dynamic = recipe.Recogniser(False), recipe.Recogniser(True)
    dynamic.load_state_dict({n: w for n, w in plain.state_dict().items() if "learned" not in n}, strict=False)
    for writer in dynamic.writers.values():
        torch.nn.init.zeros_(writer.gamma.weight)
        torch.nn.init.zeros_(writer.beta.weight)
    mel = torch.randn(2, recipe.BANDS, recipe.FRAMES)
    torch.testing.assert_close(dynamic(mel), plain(mel))


def test_an_utterance_writes_its_own_parameters(recipe):
    torch.manual_seed(0)
    first, second = recipe.Recogniser(True).film(torch.randn(2, recipe.BANDS, recipe.FRAMES)).flatten()
    assert not torch.allclose(first, second)


def test_inverting_twice_changes_nothing(recipe):
    x = recipe.Digits().load("val").x
    assert torch.equal(recipe.shifts(recipe.shifts(x)["inverted"])["inverted"], x)
    assert recipe.shifts(x)["faint"].max() <= 16


def test_batch_norm_reads_inverted_digits_as_upright_ones_once_its_first_scale_is_negated(recipe):
    torch.manual_seed(0)
    model = recipe.ImageClassifier((1, 8, 8), 17, "digit", 10).eval()
    x = recipe.Digits().load("val").x
    upright = recipe.adapt_batch_statistics(model, [x])
    inverted = recipe.adapt_batch_statistics(recipe.negated(model), [recipe.shifts(x)["inverted"]])
    torch.testing.assert_close(inverted(recipe.shifts(x)["inverted"]), upright(x), rtol=1e-4, atol=1e-5)


def test_a_wrong_folder_of_recordings_is_one_line(recipe, tmp_path):
    with pytest.raises(SystemExit, match=r"^speech_adaptation: error: --fsdd: the folder .*nowhere is not there"):
        recipe.main(out=str(tmp_path / "out"), fsdd=str(tmp_path / "nowhere"))
    assert not (tmp_path / "out").exists()
