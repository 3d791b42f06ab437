"""`condgen.load`: one object that takes conditions in people's words and gives what the plain functions give."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import condgen
from condgen.checkpoint import Checkpoint
from condgen.commands.conditions import combine, stacked
from condgen.conditioning import FiLMParameters
from condgen.sampling import push_forward, sample, stream


@pytest.fixture(scope="module")
def digits(trained):
    return condgen.load(trained("pixelcnn_digits"))


@pytest.fixture(scope="module")
def spoken(trained):
    return condgen.load(trained("wavenet_fsdd"))


@pytest.fixture(scope="module")
def vocoder(trained):
    return condgen.load(trained("wavenet_fsdd_mel"))


@pytest.fixture(scope="module")
def recording(trained):
    """A file of those that the vocoder was trained on."""
    folder = next(path / "fsdd" for path in Path(trained("wavenet_fsdd_mel")).parents if (path / "fsdd").is_dir())
    return folder / "0_theo_0.wav"


def test_the_package_is_imported_without_a_framework_and_has_load_on_demand():
    code = "import condgen, sys; print('torch' in sys.modules, condgen.load.__name__, 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["False", "load", "True"]
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        condgen.lode  # noqa: B018


def test_sampling_imports_no_lightning_and_no_plotting(trained):
    code = f"import condgen, sys; condgen.load({trained('pixelcnn_digits')!r}).sample(digit=7); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pytorch_lightning", "torchmetrics", "torchvision", "matplotlib", "librosa"} & set(found)


@pytest.mark.parametrize("digit", [7, "7", ["7"], np.array([7]), torch.tensor([7]), np.int64(7), torch.tensor(7)])
def test_a_digit_is_taken_in_every_form(digits, digit):
    ids = {"digit": torch.tensor([7])}
    plain = sample(digits.model, ids, num_samples=3, seed=2)
    got = digits.sample(digit=digit, num_samples=3, seed=2)
    assert torch.equal(got.x, plain.x)
    assert got.labels == ["7"] * 3
    assert torch.equal(digits.sample({"digit": digit}, num_samples=3, seed=2).x, plain.x)
    assert torch.equal(digits.log_prob(got.x, digit=digit), digits.model.log_prob(plain.x, ids))
    assert torch.equal(digits.log_prob(got.x.numpy(), digit=digit), digits.log_prob(got.x, digit=digit))
    assert torch.equal(digits.film(digit=digit).flatten(), digits.model.film(ids).flatten())


def test_film_parameters_know_their_names_have_no_gradients_and_stand_for_conditions(digits):
    film = digits.film(digit=["3", "7"])
    assert film.labels == {"digit": ["3", "7"]}
    assert not any(tensor.requires_grad for tensor in film.tensors)
    assert any(tensor.requires_grad for tensor in digits.model.film({"digit": ["3", "7"]}).tensors)
    assert torch.equal(digits.sample(film).x, digits.sample(digit=["3", "7"]).x)
    assert digits.sample(film).labels == ["3", "7"]
    assert isinstance(pickle.loads(pickle.dumps(film)), FiLMParameters)
    for name, (gamma, beta) in film.items():
        assert gamma.shape == beta.shape == (2, film[name].beta.shape[1])
        assert (gamma == 1).all()  # this model's mechanism is a bias


@pytest.mark.parametrize(("given", "message"), [
    ({"digit": "ten"}, "condition 'digit' has no class 'ten'; its classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    ({"digit": [7, "ten"]}, "condition 'digit' has no class 'ten'"), ({"digit": 10}, "has no class '10'"),
    ({}, "condition 'digit' is missing"),
    ({"digitt": 7}, "'digitt' is no condition of the model and no option; conditions: digit; options: first_index"),
    ({"digit": 7, "seconds": 1}, "seconds are for audio; this model draws images"),
    ({"digit": 7, "num_samples": 0}, "num_samples 0 is not a whole number of at least 1"),
    ({"digit": torch.tensor([10])}, "class ids"),
])  # fmt: skip
def test_what_is_wrong_is_one_line_with_what_is_right(digits, given, message):
    with pytest.raises(ValueError, match=message) as found:
        digits.sample(**given)
    assert "\n" not in str(found.value)


def test_what_is_no_condition_and_no_waveform_is_told(vocoder, spoken, recording):
    for given, message in (
        ({"speaker": "theo", "mel": 7}, "condition 'mel' takes audio files or waveforms, or frames"),
        ({"speaker": "theo", "mel": "none.wav"}, r"none\.wav does not exist"),
        ({"speaker": "theo", "mel": recording, "seconds": 1}, "mel says how long the audio is: leave seconds out"),
        ({"speaker": "theo", "mel": (np.zeros((9, 2)), 8000)}, r"a waveform is \(samples,\), of one channel"),
        ({"speaker": "theo", "mel": np.ones(3)}, "the waveform of 'mel' has fewer samples than the 80 of a whole"),
    ):
        with pytest.raises(ValueError, match=message):
            vocoder.sample(**given)
    with pytest.raises(ValueError, match="give seconds, the length of the audio: the condition 'position' depends"):
        spoken.sample(speaker="theo", digit=1)
    for wrong in (float("nan"), -1, float("inf"), 0):
        with pytest.raises(ValueError, match=f"seconds {wrong} is not a number of more than 0"):
            spoken.sample(speaker="theo", digit=1, seconds=wrong)


def test_a_call_is_what_the_command_draws(spoken):
    asked = {"speaker": "theo", "digit": "1,0"}
    rows = combine(spoken.model, asked, spoken.front_end, 0.05)
    expected = sample(spoken.model, stacked(rows), length=[row.length for row in rows], num_samples=2, seed=3)
    got = spoken.sample(speaker="theo", digit=[1, 0], seconds=0.05, num_samples=2, seed=3)
    assert torch.equal(got.x, expected.x)
    assert got.labels == ["theo, 1", "theo, 1", "theo, 0", "theo, 0"]
    assert [len(wave) for wave in got.waveforms()] == [400] * 4
    pieces = [*spoken.stream(speaker="theo", digit=[1, 0], seconds=0.05, num_samples=2, seed=3, chunk=150)]
    assert np.array_equal(np.concatenate(pieces, 1), np.stack(got.waveforms()))
    scored = spoken.log_prob(got.x, speaker="theo", digit=["1", "1", "0", "0"])
    assert torch.allclose(scored.double(), got.log_prob, rtol=1e-5)


def test_a_mel_comes_from_a_file_a_waveform_or_as_it_is(vocoder, recording):
    waveform, rate = soundfile.read(recording)
    expected = vocoder.sample(speaker="theo", mel=recording)
    frames = combine(vocoder.model, {"speaker": "theo", "mel": str(recording)}, vocoder.front_end)[0].values["mel"]
    for mel in (str(recording), [str(recording)], waveform, (waveform, rate), torch.tensor(waveform), waveform[None],
                frames[None], frames[None].numpy()):  # fmt: skip
        assert torch.equal(vocoder.sample(speaker="theo", mel=mel).x, expected.x)
    two = vocoder.sample(speaker=["theo", "george"], mel=[waveform, str(recording)])
    assert torch.equal(two.x[:1], expected.x)
    assert torch.equal(vocoder.sample(vocoder.film(speaker="theo", mel=waveform)).x, expected.x)
    assert vocoder.log_prob(waveform, speaker="theo", mel=waveform).shape == (1,)
    short = vocoder.sample(speaker="theo", mel=[waveform, waveform[:400]])
    assert [len(wave) for wave in short.waveforms()] == [len(expected.waveforms()[0]), 400]


def test_streams_go_on_without_an_end_where_nothing_says_one(spoken):
    with pytest.raises(ValueError, match="give seconds"):
        next(spoken.stream(speaker="theo", digit=1))


def test_a_generator_draws_by_the_same_call(trained):
    made = condgen.load(trained("cdcgan_digits"))
    got = made.sample(digit=[3, 7], num_samples=2, truncation=0.7)
    expected = push_forward(made.model, {"digit": torch.tensor([3, 7])}, num_samples=2, truncation=0.7)
    assert torch.equal(got.x, expected.x)
    with pytest.raises(ValueError, match="a generator draws samples and gives no log-probability"):
        made.log_prob(got.x, digit=3)
    with pytest.raises(ValueError, match="streams are for likelihood models of audio"):
        next(made.stream(digit=3))
    with pytest.raises(ValueError, match="'temperature' is no condition of the model and no option"):
        made.sample(digit=3, temperature=0.5)
    heard = condgen.load(trained("cdcgan_fsdd")).sample(speaker="theo", digit=0)
    assert [len(wave) for wave in heard.waveforms()] == [1024]


def test_the_object_says_what_it_is(digits, vocoder, spoken):
    lines = repr(digits).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("PixelCNN, ")
    assert lines[1:3] == ["conditions: digit (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)", "data: 1 × 8 × 8, 17 levels"]
    assert lines[3].startswith("trained on Digits, ")
    assert digits.conditions == {"digit": list("0123456789")}
    assert vocoder.conditions == {"speaker": ["george", "theo"], "mel": "audio files or waveforms"}
    assert spoken.conditions["position"] == "measured: give seconds"
    assert "8,000 samples a second" in repr(spoken)


def test_a_class_without_training_examples_is_warned_of(trained):
    content = torch.load(trained("pixelcnn_digits"), weights_only=True)
    made = condgen.load(trained("pixelcnn_digits"))
    counts = {"digit": {name: int(name != "3") for name in "0123456789"}}
    made = type(made)(Checkpoint(made.checkpoint.path, {**content, "class_examples": counts}), made.model, None)
    with pytest.warns(UserWarning, match="condition 'digit': the model has had no training examples of 3"):
        made.sample(digit=[3, 7])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.sample(digit=7)


def test_completion_takes_arrays(digits):
    given, known = np.full((1, 1, 8, 8), 5), np.arange(64).reshape(8, 8) < 24
    x = digits.sample(digit=3, num_samples=2, given=given, known=known).x
    assert (x[:, 0, :3] == 5).all()


def test_a_model_of_audio_without_a_data_module_is_opened_and_drawn_from(trained, tmp_path):
    content = torch.load(trained("wavenet_fsdd"), weights_only=True)
    for part in [name for name in content if name in ("datamodule_hyper_parameters", "Speech")]:
        del content[part]
    torch.save(content, tmp_path / "plain.ckpt")
    made = condgen.load(tmp_path / "plain.ckpt")
    encoder = made.model.film_generator.encoders["position"]
    position = np.zeros((1, encoder.size, 400 // made.model.network.hop // encoder.factor))
    assert made.sample(speaker="theo", digit=1, position=position).waveforms()[0].shape == (400,)
    assert "loaders of one's own" in repr(made)
    with pytest.raises(ValueError, match=r"does not tell what it was trained on: train with a data module .* or use"):
        made.checkpoint.data()


def test_the_plain_functions_agree_on_what_num_samples_is(spoken):
    position = stacked(combine(spoken.model, {"speaker": "theo", "digit": "1"}, spoken.front_end, 0.05))["position"]
    asked = {"speaker": "theo", "digit": ["1", "0"], "position": position}
    x = sample(spoken.model, asked, num_samples=2).x
    assert torch.equal(x, torch.cat([c.x for c in stream(spoken.model, asked, num_samples=2, chunk=99)], -1))
    assert len(x) == 4


@pytest.mark.slow
def test_a_text_is_spoken_for_its_phonemes(make, tmp_path):
    pytest.importorskip("espeakng_loader", reason="the wheel espeakng-loader is not installed")
    places = ["--data.source.root", str(tmp_path / "espeak"), "--data.cache", str(tmp_path / "cache")]
    checkpoint = make.trained("wavenet_espeak", tmp_path, *places, "--data.source.texts", '["ten", "net", "tent"]',
                              "--data.source.pitches", "[50]")  # fmt: skip
    made = condgen.load(checkpoint)
    assert made.conditions["text"] == "texts"
    got = made.sample(speaker="all", text="net")
    rows = combine(made.model, {"speaker": "all", "text": "net"}, made.front_end)
    assert torch.equal(got.x, sample(made.model, stacked(rows), length=[row.length for row in rows]).x)
    several = made.sample(speaker=["en-us+f2", "en-us+m3"], text=["ten", "net"], seed=[0, 0])
    assert torch.equal(several.x[1, :, : got.lengths[1]], made.sample(speaker="en-us+m3", text="net").x[0])
    with pytest.raises(ValueError, match="cannot be spoken"):
        made.sample(speaker="en-us+f2", text="Ω")


def test_a_condition_called_as_a_word_of_python_takes_an_underscore(trained, tmp_path):
    content = torch.load(trained("pixelcnn_digits"), weights_only=True)
    settings = content["hyper_parameters"]
    settings["conditions"] = {"class": settings["conditions"]["digit"]}
    for part in ("state_dict", "current_model_state"):
        content[part] = {key.replace(".digit.", ".class."): value for key, value in content.get(part, {}).items()}
    torch.save(content, tmp_path / "class.ckpt")
    model = condgen.load(tmp_path / "class.ckpt")
    drawn = model.sample(class_="7", num_samples=2)
    assert (drawn.x == model.sample({"class": "7"}, num_samples=2).x).all()
    assert torch.equal(model.log_prob(drawn.x, class_="7"), model.log_prob(drawn.x, {"class": "7"}))
    assert model.film(class_=["7", "3"]).select(class_="3").labels == {"class": ["3"]}
