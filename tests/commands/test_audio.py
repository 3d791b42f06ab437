"""The command line on audio: train in miniature, sample, prime, copy, measure; and one line for everything wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from condgen.cli import main

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1",
         "--trainer.enable_progress_bar", "false", "--trainer.check_val_every_n_epoch", "1",
         "--model.network.layers", "4", "--model.network.channels", "4", "--model.network.head", "4",
         "--model.compile", "false"]  # fmt: skip


def tone(path, pitch, samples, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(pitch).normal(0, 0.02, samples)
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * pitch * np.arange(samples) / rate) + noise, rate)


def one_line(capsys, *words):
    """The error is one line on stderr that holds these words."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("condgen: error:")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tones laid out as the Free Spoken Digit Dataset, and two models trained on them."""
    root = tmp_path_factory.mktemp("audio")
    for digit in range(2):
        for number, speaker in enumerate(("george", "theo")):
            for take in (0, 1, 2, 5, 6, 7, 8):
                name = f"{digit}_{speaker}_{take}.wav"
                tone(root / "fsdd" / name, 150 + 100 * number + 300 * digit, 800 + 80 * (take % 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in ("wavenet_fsdd", "wavenet_fsdd_mel"):
            assert main(["fit", "-c", str(CONFIGS / f"{name}.yaml"), "--data.source.root", "fsdd", *SMALL,
                         *(["--data.crop", "400"] if name.endswith("mel") else [])]) == 0  # fmt: skip
    return root


@pytest.fixture
def at(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def draw(model, out, *options):
    checkpoint = f"runs/{model}/version_0/checkpoints/last.ckpt"
    return main(["sample", "--ckpt_path", checkpoint, "--out", str(out), *options])


def rows(out):
    return [json.loads(line) for line in Path(out, "manifest.jsonl").read_text().splitlines()]


def asked(speaker="theo", digit="1", seconds="0.05"):
    return ["--condition.speaker", speaker, "--condition.digit", digit, "--seconds", seconds]


@pytest.mark.slow
def test_samples_are_sound_with_a_manifest_and_a_picture(at, tmp_path):
    out = tmp_path / "out"
    assert draw("wavenet_fsdd", out, *asked("all"), "--num_samples", "2") == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "0000.wav", "0001.wav", "0002.wav", "0003.wav", "manifest.jsonl", "samples.npz", "waveforms.png",
    ]  # fmt: skip
    found = soundfile.info(out / "0003.wav")
    assert (found.samplerate, found.channels, found.subtype, found.frames) == (8000, 1, "PCM_16", 400)
    assert [row["conditions"] for row in rows(out)] == [{"speaker": s, "digit": "1"} for s in ("george", "theo")
                                                        for _ in range(2)]  # fmt: skip
    assert all(row["samples"] == 400 and row["log_prob"] < 0 for row in rows(out))
    with np.load(out / "samples.npz") as file:
        assert file["samples"].shape == (4, 1, 400)
        assert file["samples"].dtype == np.uint8
        assert file["position"].shape == (4, 10, 5)


@pytest.mark.slow
def test_a_sample_depends_on_seed_and_index_alone(at, tmp_path):
    assert draw("wavenet_fsdd", tmp_path / "a", *asked(), "--num_samples", "3", "--seed", "4") == 0
    assert draw("wavenet_fsdd", tmp_path / "b", *asked(), "--num_samples", "3", "--seed", "4", "--batch_size", "1") == 0
    assert draw("wavenet_fsdd", tmp_path / "c", *asked(), "--num_samples", "3", "--seed", "5") == 0
    a, b, c = (np.load(tmp_path / name / "samples.npz")["samples"] for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert not np.array_equal(a[0], a[1])


@pytest.mark.slow
def test_a_primed_sample_begins_with_what_was_given(at, tmp_path):
    tone(tmp_path / "given.wav", 200, 240)
    assert draw("wavenet_fsdd", tmp_path / "out", *asked(), "--prime", str(tmp_path / "given.wav")) == 0
    given, _ = soundfile.read(tmp_path / "given.wav")
    drawn, _ = soundfile.read(tmp_path / "out" / "0000.wav")
    assert np.allclose(drawn[:240], given, atol=0.03)


@pytest.mark.slow
def test_copies_are_as_long_as_what_they_copy(at, tmp_path):
    tone(tmp_path / "long.wav", 200, 1234)
    tone(tmp_path / "short.wav", 200, 500, rate=4000)
    mels = f"{tmp_path / 'long.wav'},{tmp_path / 'short.wav'}"
    assert draw("wavenet_fsdd_mel", tmp_path / "out", "--condition.speaker", "theo", "--condition.mel", mels) == 0
    lengths = [soundfile.info(tmp_path / "out" / f"000{i}.wav").frames for i in range(2)]
    assert lengths == [1200, 960]
    assert not (tmp_path / "out" / "samples.npz").exists()


@pytest.mark.slow
def test_reports_name_bits_gaps_readings_and_copies(at, tmp_path):
    for model in ("wavenet_fsdd", "wavenet_fsdd_mel"):
        checkpoint = f"runs/{model}/version_0/checkpoints/last.ckpt"
        assert main(["evaluate", "--ckpt_path", checkpoint, "--out", str(tmp_path / model), "--num_samples", "8",
                     "--classifier_steps", "3", "--temperature", "0.9"]) == 0  # fmt: skip
        report = json.loads((tmp_path / model / "report.json").read_text())
        assert report["likelihood"]["dim"] == "sample"
        assert 6 < report["likelihood"]["bits_per_dim"] < 9
        assert set(report["samples"]) == {"speaker", "digit"}
        assert (tmp_path / model / "samples.png").is_file()
        assert soundfile.info(tmp_path / model / "real_0.wav").samplerate == 8000
        assert "bits per sample" in (tmp_path / model / "report.md").read_text()
        assert ("copy_synthesis" in report) == (model == "wavenet_fsdd_mel")
    assert report["copy_synthesis"]["quantized"] < report["copy_synthesis"]["distance"]
    assert list(report["likelihood"]["swap_gap"]) == ["speaker"]
    first = json.loads((tmp_path / "wavenet_fsdd" / "report.json").read_text())
    assert list(first["likelihood"]["swap_gap"]) == ["speaker", "digit", "speaker + digit"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("wavenet_fsdd", asked("jackson"), ["no class 'jackson'", "george, theo"]),
        ("wavenet_fsdd", asked()[:4], ["--seconds"]),
        ("wavenet_fsdd", asked(seconds="-1"), ["seconds -1.0 is not more than 0"]),
        ("wavenet_fsdd", asked(seconds="0.001"), ["less than a frame of 0.01 seconds"]),
        ("wavenet_fsdd", [*asked(), "--condition.position", "x.npy"], ["no condition 'position' to choose"]),
        ("wavenet_fsdd", [*asked(), "--keep_rows", "2"], ["--prime FILE.wav"]),
        ("wavenet_fsdd", [*asked(), "--prime", "fsdd/0_theo_0.wav"], ["has 0.10 s, more than the 0.05 s"]),
        ("wavenet_fsdd", [*asked(), "--prime", "nowhere.wav"], ["nowhere.wav does not exist"]),
        ("wavenet_fsdd_mel", ["--condition.speaker", "theo"], ["--condition.mel", "an audio file"]),
        ("wavenet_fsdd_mel", ["--condition.speaker", "theo", "--condition.mel", "no.wav"], ["no.wav does not exist"]),
        ("wavenet_fsdd_mel", ["--condition.speaker", "theo", "--condition.mel", "fsdd/0_theo_0.wav", "--seconds", "1"],
         ["leave --seconds out"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_leaves_nothing(at, tmp_path, capsys, model, options, words):
    assert draw(model, tmp_path / "out", *options) == 1
    one_line(capsys, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_text_is_spoken_in_each_voice_and_a_bad_one_is_one_line(tmp_path, monkeypatch, capsys):
    pytest.importorskip("espeakng_loader", reason="the wheel espeakng-loader is not installed")
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "-c", str(CONFIGS / "wavenet_espeak.yaml"), "--data.source.texts", '["ten", "net", "tent"]',
                 "--data.source.pitches", "[50]", *SMALL]) == 0  # fmt: skip
    voices = ["--condition.speaker", "all", "--condition.text"]
    assert draw("wavenet_espeak", "out", *voices, "net") == 0
    lengths = [soundfile.info(tmp_path / "out" / f"000{i}.wav").frames for i in range(2)]
    assert all(1000 < n < 8000 and n % 40 == 0 for n in lengths)
    assert [row["conditions"]["speaker"] for row in rows("out")] == ["en-us+f2", "en-us+m3"]
    for text, words in (("Ω", ["cannot be spoken", "'Ω'"]), ("fish", ["phonemes that the data do not have", "ʃ"])):
        capsys.readouterr()
        assert draw("wavenet_espeak", "other", *voices, text) == 1
        one_line(capsys, *words)
        assert not Path("other").exists()


@pytest.mark.slow
def test_a_folder_of_recordings_is_never_overwritten(at, tmp_path, capsys):
    """It looks like one of results: sound, and a list of it in JSON lines."""
    for file in ("0000.wav", "0001.wav"):
        tone(tmp_path / "mine" / file, 200, 400)
    (tmp_path / "mine" / "manifest.jsonl").write_text('{"path": "0000.wav", "speaker": "theo"}\n')
    assert draw("wavenet_fsdd", tmp_path / "mine", *asked(), "--overwrite") == 1
    one_line(capsys, "holds more than results")
    assert len(list((tmp_path / "mine").iterdir())) == 3
    assert draw("wavenet_fsdd", tmp_path / "out", *asked()) == 0
    assert draw("wavenet_fsdd", tmp_path / "out", *asked(), "--overwrite") == 0


@pytest.mark.slow
def test_scoring_a_checkpoint_writes_nothing_into_the_current_folder(at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("my own file\n")
    checkpoint = at / "runs/wavenet_fsdd/version_0/checkpoints/last.ckpt"
    assert main(["validate", "--ckpt_path", str(checkpoint), "--data.source.root", str(at / "fsdd"), "--data.cache",
                 str(at / "data/prepared"), "--trainer.enable_progress_bar", "false"]) == 0  # fmt: skip
    assert (tmp_path / "config.yaml").read_text() == "my own file\n"
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]
