"""What samples are written as: arrays, sound, pictures, and a manifest that says what decided each."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from condgen.commands.plan import Plan
from condgen.commands.writing import read_record, write_batch, write_whole
from condgen.sampling import Batch, Samples


def rows(out):
    return [json.loads(line) for line in Path(out, "manifest.jsonl").read_text().splitlines()]


def test_the_manifest_says_what_decided_the_samples(pixelcnn, sample, tmp_path):
    options = ["--temperature", "0.7", "--top_k", "5"]
    assert sample(pixelcnn, tmp_path / "o", "--condition.digit", "1", *options) == 0
    row = rows(tmp_path / "o")[0]
    assert (row["temperature"], row["top_k"], row["top_p"], row["keep_rows"]) == (0.7, 5, None, 0)


def test_a_generator_writes_what_every_model_writes(cdcgan, sample, tmp_path):
    options = ["--condition.digit", "all", "--num_samples", "3", "--seed", "5", "--truncation", "0.8"]
    assert sample(cdcgan, tmp_path / "o", *options) == 0
    pictures = {f"digit={i // 3}_{i:04d}.png" for i in range(30)}
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        "samples.npz",
        "grid.png",
        "manifest.jsonl",
        *pictures,
    }
    assert [row["file"] for row in rows(tmp_path / "o")] == sorted(pictures)
    with np.load(tmp_path / "o" / "samples.npz") as arrays:
        assert set(arrays) == {"samples", "digit", "provenance"}
        assert arrays["samples"].shape == (30, 1, 8, 8)
        assert arrays["samples"].dtype == np.uint8
        assert arrays["samples"].max() <= 16
        assert arrays["digit"].tolist() == [i // 3 for i in range(30)]
    row = rows(tmp_path / "o")[29]
    assert {k: row[k] for k in ("index", "conditions", "seed", "truncation", "weights")} == {
        "index": 29, "conditions": {"digit": "9"}, "seed": 5, "truncation": 0.8, "weights": "ema",
    }  # fmt: skip
    assert "temperature" not in row


def test_audio_of_a_generator_is_written_as_wav_files_of_its_length(cdcgan_audio, sample, tmp_path):
    options = ["--condition.digit", "1,2", "--condition.speaker", "theo", "--num_samples", "2"]
    assert sample(cdcgan_audio, tmp_path / "o", *options) == 0
    waves = sorted((tmp_path / "o").glob("*.wav"))
    assert [soundfile.info(wave).frames for wave in waves] == [1024] * 4
    assert soundfile.info(waves[0]).samplerate == 8000
    with np.load(tmp_path / "o" / "samples.npz") as arrays:
        assert arrays["samples"].shape == (4, 1, 1024)
    assert rows(tmp_path / "o")[3]["samples"] == 1024


@pytest.mark.slow
def test_samples_are_sound_with_a_manifest_and_a_picture(draw, asked, tmp_path):
    out = tmp_path / "out"
    assert draw("wavenet_fsdd", out, *asked("all"), "--num_samples", "2") == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "manifest.jsonl", "samples.npz", *(f"speaker={name}_digit=1_{i:04d}.wav" for i, name in enumerate(
            ["george", "george", "theo", "theo"])), "waveforms.png",
    ]  # fmt: skip
    found = soundfile.info(out / "speaker=theo_digit=1_0003.wav")
    assert (found.samplerate, found.channels, found.subtype, found.frames) == (8000, 1, "PCM_16", 400)
    assert [row["conditions"] for row in rows(out)] == [{"speaker": s, "digit": "1"} for s in ("george", "theo")
                                                        for _ in range(2)]  # fmt: skip
    assert all(row["samples"] == 400 and row["log_prob"] < 0 for row in rows(out))
    with np.load(out / "samples.npz") as file:
        assert file["samples"].shape == (4, 1, 400)
        assert file["samples"].dtype == np.uint8
        assert file["position"].shape == (4, 10, 5)


# Samples to files: each beside what decided it.


def written(folder, batches, levels=256, rows=(0,), size=3, **facts):
    """Write batches of pictures, (numbers, levels, log-probabilities) each, and all that is of the whole."""
    model = SimpleNamespace(network=SimpleNamespace(levels=levels, sample_rate=None))
    labels = [{"digit": str(i)} for i in rows]
    plan = Plan(labels, None, 1, size, levels, None, {"seed": 5, "engine": "auto", **facts}, {})
    records = [folder / f"{number}.npz" for number in range(len(batches))]
    for number, (indices, x, log_prob) in enumerate(batches):
        samples = Samples(x, None if log_prob is None else torch.tensor(log_prob), "cached", "")
        write_batch(folder, records[number], model, plan, Batch(number, indices, samples, None))
    write_whole(folder, plan, [read_record(file) for file in records], {"digit": np.array(rows)})


def test_the_manifest_names_the_index_that_made_each_sample(tmp_path):
    x = torch.arange(3)[:, None, None, None].expand(3, 1, 4, 4)
    written(tmp_path, [([0, 1], x[:2], [-1.0, -3.0]), ([2], x[2:], [-4.0])], rows=(7, 8, 9), size=2)
    listed = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [(row["index"], row["conditions"]["digit"], row["log_prob"], row["seed"]) for row in listed] == [
        (0, "7", -1.0, 5), (1, "8", -3.0, 5), (2, "9", -4.0, 5),
    ]  # fmt: skip
    with np.load(tmp_path / "samples.npz") as arrays:
        assert arrays["samples"][:, 0, 0, 0].tolist() == [0, 1, 2]
        assert arrays["digit"].tolist() == [7, 8, 9]


def test_every_file_says_of_itself_what_made_it(tmp_path):
    """The picture of each sample, in its own size and levels; the arrays; and the grid, of those that it shows."""
    x = torch.tensor([0, 1, 2])[:, None, None, None].expand(3, 1, 4, 5)
    written(tmp_path, [([0, 1, 2], x, None)], levels=3, rows=(1, 3, 4), checkpoint="c")
    listed = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    for row, level in zip(listed, (0, 128, 255), strict=True):
        with Image.open(tmp_path / row.pop("file")) as picture:
            assert json.loads(picture.text["condgen"]) == row
            assert (picture.size, picture.mode, picture.getextrema()) == ((5, 4), "L", (level, level))
    with Image.open(tmp_path / "grid.png") as grid, np.load(tmp_path / "samples.npz") as arrays:
        for record in (json.loads(grid.text["condgen"]), json.loads(str(arrays["provenance"]))):
            assert (record["index"], record["conditions"][2], record["seed"]) == ([0, 1, 2], {"digit": "4"}, 5)


def test_the_arrays_are_those_that_numpy_would_write(tmp_path):
    x = torch.arange(6, dtype=torch.int64).view(3, 1, 1, 2)
    written(tmp_path, [([0, 1, 2], x, [-1.0, -2.0, -3.0])], rows=(1, 3, 4))
    with np.load(tmp_path / "samples.npz") as arrays:
        held = {name: arrays[name] for name in arrays.files}
    np.savez_compressed(tmp_path / "other.npz", **held)
    assert list(held) == ["samples", "provenance", "digit", "log_prob"]
    assert (tmp_path / "other.npz").read_bytes() == (tmp_path / "samples.npz").read_bytes()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_number_of_channels_are_pictures(channels, tmp_path):
    written(tmp_path, [([0], torch.ones(1, channels, 4, 4), None)], levels=2)
    with Image.open(tmp_path / "digit=0_0000.png") as picture:
        assert picture.mode == ("L" if channels == 1 else "RGB")


def test_sound_says_of_itself_what_made_it(cdcgan_audio, sample, tmp_path):
    assert sample(cdcgan_audio, tmp_path / "o", "--condition.digit", "1", "--condition.speaker", "theo") == 0
    row = rows(tmp_path / "o")[0]
    with soundfile.SoundFile(tmp_path / "o" / row.pop("file")) as file:
        assert json.loads(file.comment) == row
    assert (row["conditions"], row["seed"], row["index"]) == ({"digit": "1", "speaker": "theo"}, 0, 0)
    assert row["command"].startswith(f"condgen sample --ckpt_path {cdcgan_audio} --out ")
