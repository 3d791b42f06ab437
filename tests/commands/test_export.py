"""`condgen export`: what it writes is what sampling uses, exactly or rounded as said, names no place of this machine,
and takes the place of a checkpoint everywhere; and what is wrong with such a folder is one line."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import condgen
from condgen import exported
from condgen.checkpoint import Checkpoint
from condgen.cli import main
from condgen.exported import FORMAT, placeless
from condgen.pretrained import CARD, CONFIG, WEIGHTS

KINDS = ("pixelcnn_digits", "cdcgan_digits", "wavenet_fsdd", "wavenet_fsdd_mel", "cdcgan_fsdd")
FILES = {CONFIG, WEIGHTS, CARD}
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="session")
def export(trained, tmp_path_factory):
    """Export a small trained model of a kind once; return the folder."""
    made = {}

    def folder(kind="pixelcnn_digits", bits="16-bit"):
        if (kind, bits) not in made:
            made[kind, bits] = tmp_path_factory.mktemp("export") / f"{kind}_{bits[:2]}"
            assert main(["export", trained(kind), "--out", str(made[kind, bits]), "--weights", bits]) == 0
        return made[kind, bits]

    return folder


@pytest.fixture
def broken(export, tmp_path):
    """Copy an export, with changes to its configuration and to its weights; return the folder."""

    def write(config=lambda config: config, weights=lambda weights: weights, kind="pixelcnn_digits"):
        folder = tmp_path / "broken"
        shutil.copytree(export(kind), folder, dirs_exist_ok=True)
        told = json.loads((folder / CONFIG).read_text())
        del told[exported.SEAL]  # as whoever writes such a folder by hand does
        (folder / CONFIG).write_text(json.dumps(config(told)))
        save_file(weights(load_file(folder / WEIGHTS)), folder / WEIGHTS)
        return folder

    return write


def refused(folder, one_line, *words):
    """Every command that takes a model says of a folder, in one line and without a trace, what is wrong."""
    for command in (["sample", str(folder), "--condition.digit", "1", "--out", "o"], ["show", str(folder)],
                    ["evaluate", str(folder), "--out", "o"], ["export", str(folder), "--out", "o"]):  # fmt: skip
        assert main(command) == 1
        one_line(folder.name, *words)
    assert not Path("o").exists()


def first_conditions(model):
    """The first class of each condition, a wave for each that is heard."""
    wave = np.sin(np.arange(800) * 0.3).astype(np.float32) / 2
    return {name: known[0] if isinstance(known, list) else wave for name, known in model.conditions.items()
            if known != "measured: give seconds"}  # fmt: skip


def drawn(path, kind, **options):
    model = condgen.load(path)
    timed = {"seconds": 0.05} if kind == "wavenet_fsdd" else {}
    return model.sample(**first_conditions(model), **timed, num_samples=2, seed=3, **options).samples


@kinds
def test_in_32_bits_the_model_is_the_checkpoints_bit_for_bit(kind, trained, export):
    """The running average, that is: the last weights are others."""
    ours, theirs = (condgen.load(path).model.state_dict() for path in (export(kind, "32-bit"), trained(kind)))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    live = condgen.load(trained(kind), weights="live").model.state_dict()
    assert any(not torch.equal(value, live[name]) for name, value in ours.items())
    one, other = (drawn(path, kind) for path in (export(kind, "32-bit"), trained(kind)))
    assert torch.equal(one.x, other.x)
    assert one.log_prob is other.log_prob is None or torch.equal(one.log_prob, other.log_prob)


@kinds
def test_in_16_bits_matrices_are_the_nearest_float16_and_vectors_stay(kind, trained, export):
    model, kept = condgen.load(trained(kind)).model.state_dict(), load_file(export(kind) / WEIGHTS)
    read = condgen.load(export(kind)).model.state_dict()
    assert model.keys() == kept.keys() == read.keys()
    for name, value in model.items():
        matrix = value.is_floating_point() and value.ndim > 1
        assert kept[name].dtype == (torch.float16 if matrix else value.dtype)
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name], value.half().float() if matrix else value)
        if matrix:
            assert ((read[name] - value).abs() <= (value.abs() / 2048).clamp(min=2**-25)).all()


def test_the_likelihood_in_16_bits_is_that_of_32_within_a_thousandth_of_a_bit_per_dimension(trained, export):
    whole, rounded = condgen.load(trained("pixelcnn_digits")), condgen.load(export())
    x = whole.sample(digit=whole.conditions["digit"], num_samples=4).x
    labels = [digit for digit in whole.conditions["digit"] for _ in range(4)]
    difference = (whole.log_prob(x, digit=labels) - rounded.log_prob(x, digit=labels)).abs() / x[0].numel()
    assert 0 < difference.max() < 0.001


@kinds
def test_nothing_of_this_machine_is_in_it_but_all_of_the_model(kind, trained, export):
    """No path that leads out of a folder: neither of the run, nor of the data, nor of a cache."""
    folder, checkpoint = export(kind), Checkpoint.open(trained(kind))
    assert {path.name for path in folder.iterdir()} == FILES
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    for file in folder.iterdir():
        content = file.read_bytes().decode("latin-1")
        assert str(Path(trained(kind)).parents[3]) not in content
        assert not re.search(r"/(?:tmp|home|root|work|Users|private|var)/", content)
    config = json.loads((folder / CONFIG).read_text())
    assert config["format"] == FORMAT
    assert config["condgen"] == condgen.__version__
    assert config["checkpoint"] == checkpoint.sha256
    assert config["task"]["class_path"] == checkpoint.task_path
    assert config["task"]["init_args"] == json.loads(json.dumps(checkpoint.hyper_parameters))
    assert config["class_examples"] == json.loads(json.dumps(checkpoint.content["class_examples"]))
    source = config["data"]["init_args"]["source"]["init_args"]
    assert source.get("root", "fsdd") == "fsdd"
    again = Checkpoint.open(folder)
    assert again.trained_on == checkpoint.trained_on
    assert (again.front_end() is None) == (checkpoint.front_end() is None)


@pytest.mark.parametrize(("value", "kept"), [
    ("/home/ann/fsdd", "fsdd"), ("C:\\Users\\ann\\fsdd", "fsdd"), ("../ann/fsdd", "fsdd"), ("~/fsdd", "fsdd"),
    ("/", "data"), ("data/mnist", "data/mnist"), ("none", "none"), ("en-us+m3", "en-us+m3"), (3, 3), (None, None),
    (["/a/b", "/"], ["/a/b", "/"]), ({"source": {"root": "/a/b"}}, {"source": {"root": "b"}}),
])  # fmt: skip
def test_of_a_path_that_leads_out_of_the_folder_the_last_part_is_left(value, kept):
    assert placeless(value) == kept


def test_a_folder_takes_the_place_of_a_checkpoint(export, sample, evaluate, tmp_path, capsys, one_line):
    folder, out = export(), tmp_path / "o"
    assert sample(folder, out, "--condition.digit", "7", "--num_samples", "2") == 0
    row = json.loads((out / "manifest.jsonl").read_text().splitlines()[0])
    both = (folder / WEIGHTS).read_bytes() + (folder / CONFIG).read_bytes()
    assert row["checkpoint"] == hashlib.sha256(both).hexdigest()
    small = ["--num_samples", "20", "--limit", "20", "--classifier_steps", "2"]
    assert evaluate(folder, tmp_path / "r", *small) == 0
    capsys.readouterr()
    assert main(["show", str(folder)]) == 0
    shown = capsys.readouterr().out
    for words in ("exported", "PixelCNN", "digit: ClassEmbedding", "1 epochs, 2 steps", "val/bits_per_dim",
                  f"condgen sample {folder} --condition.digit"):  # fmt: skip
        assert words in shown
    assert main(["test", "--ckpt_path", str(folder)]) == 0
    assert sample(folder, tmp_path / "live", "--condition.digit", "7", "--weights", "live") == 1
    one_line("exported model, of which the running average alone is left")


def test_what_is_tested_is_the_exported_model(trained, export, capsys):
    figures = []
    for model in (trained("pixelcnn_digits"), export(bits="32-bit")):
        capsys.readouterr()
        assert main(["test", "--ckpt_path", str(model)]) == 0
        figures.append(re.findall(r"test/\w+\W+([\d.]+)", capsys.readouterr().out))
    assert figures[0] == figures[1]
    assert len(figures[0]) == 2


def test_the_data_lie_where_it_is_said(trained, export, evaluate, tmp_path, one_line):
    recordings = next(p / "fsdd" for p in Path(trained("cdcgan_fsdd")).parents if (p / "fsdd").is_dir())
    folder, small = export("cdcgan_fsdd"), ["--num_samples", "6", "--classifier_steps", "1", "--lesson_samples", "0"]
    assert evaluate(folder, tmp_path / "r", *small) == 1
    one_line("fsdd", "--data.source.root NEW")
    assert evaluate(folder, tmp_path / "r", *small, "--data.source.root", str(recordings)) == 0


@pytest.mark.parametrize("kind", ["pixelcnn_digits", "cdcgan_digits"])
def test_a_new_run_starts_from_it_and_none_goes_on(kind, export, make, tmp_path, capsys, one_line):
    folder = export(kind, "32-bit")
    config = str(Path(__file__).resolve().parents[2] / "configs" / f"{kind}.yaml")
    for given in ([], ["-c", config]):
        assert main(["fit", *given, "--ckpt_path", str(folder)]) == 1
        one_line(folder.name, "holds no optimizer state to go on from", f"--weights {folder}")
    still = ["--model.learning_rate", "0", "--trainer.limit_train_batches", "1"]
    assert make.fit(kind, tmp_path, "--weights", str(folder), *still) == 0
    error = capsys.readouterr().err
    assert ("has no discriminator: that starts anew" in error) == (kind == "cdcgan_digits")
    begun = torch.load(next(tmp_path.rglob("last.ckpt")), weights_only=True)["state_dict"]
    model = condgen.load(folder).model.state_dict()
    live = "generator." if kind == "cdcgan_digits" else "model."
    for name, value in model.items():
        if "running_" not in name and "num_batches" not in name:
            assert torch.equal(begun[live + name], value)


def test_a_discriminator_that_is_not_there_is_not_asked(export, one_line):
    assert main(["validate", "--ckpt_path", str(export("cdcgan_digits"))]) == 1
    one_line("without its discriminator", "condgen evaluate")
    task = Checkpoint.open(export("cdcgan_digits")).task()
    assert all(torch.equal(v, task.model.state_dict()[n]) for n, v in task.generator.state_dict().items())


def test_the_command_writes_a_whole_folder_or_none(trained, export, tmp_path, one_line):
    checkpoint, out = trained("pixelcnn_digits"), tmp_path / "o"
    assert main(["export", checkpoint, "--out", str(out)]) == 0
    assert {file: (out / file).read_bytes() for file in FILES - {CARD}} == {
        file: (export() / file).read_bytes() for file in FILES - {CARD}
    }
    assert main(["export", checkpoint, "--out", str(out)]) == 1
    one_line("is not empty", "--overwrite")
    assert main(["export", checkpoint, "--out", str(out), "--overwrite", "--weights", "32-bit"]) == 0
    assert json.loads((out / CONFIG).read_text())["weights"] == "32-bit"
    (out / "mine.txt").touch()
    assert main(["export", checkpoint, "--out", str(out), "--overwrite"]) == 1
    one_line("holds more than results (mine.txt)")
    (tmp_path / "report").mkdir()
    for name, text in (("report.json", '{"checkpoint": "1"}'), (CARD, "mine")):
        (tmp_path / "report" / name).write_text(text)
    assert main(["export", checkpoint, "--out", str(tmp_path / "report"), "--overwrite"]) == 1
    one_line(f"holds more than results ({CARD})")


def test_weights_that_16_bits_do_not_hold_are_refused(trained, tmp_path, one_line):
    content = torch.load(trained("pixelcnn_digits"), weights_only=True)
    name = next(n for n, v in content["state_dict"].items() if v.ndim > 1)
    for value, words in ((70_000.0, ["reaches 70,000", "--weights 32-bit"]), (float("nan"), ["is not finite"])):
        state = {**content["state_dict"], name: torch.full_like(content["state_dict"][name], value)}
        torch.save({**content, "state_dict": state}, tmp_path / "large.ckpt")
        assert main(["export", str(tmp_path / "large.ckpt"), "--out", str(tmp_path / "o")]) == 1
        one_line(name.removeprefix("model."), *words)
        assert not (tmp_path / "o").exists()
    state[name] = torch.full_like(state[name], 70_000.0)
    torch.save({**content, "state_dict": state}, tmp_path / "large.ckpt")
    assert main(["export", str(tmp_path / "large.ckpt"), "--out", str(tmp_path / "o"), "--weights", "32-bit"]) == 0


def report_of(checkpoint, **changes):
    read = {"count": 300, "accuracy": 0.987, "held_out_accuracy": 0.991, "coverage": 0.872, "frechet": 7.71,
            "floor": {"coverage": 0.95, "frechet": 1.02}}  # fmt: skip
    likelihood = {"dim": "dim", "examples": 500, "bits_per_dim": 1.6621}
    return {"checkpoint": Checkpoint.open(checkpoint).sha256, "weights": "ema", "seed": 0, "temperature": 1.0,
            "likelihood": likelihood, "samples": {"digit": read}, **changes}  # fmt: skip


def test_the_card_says_what_it_was_told_and_the_figures_of_the_report(trained, tmp_path):
    checkpoint = trained("pixelcnn_digits")
    Path("report.json").write_text(json.dumps(report_of(checkpoint)))
    said = {"trained_by": "condgen fit -c pixelcnn_digits --steps 9", "licence": "MIT.", "data_licence": "CC BY 4.0."}
    options = [word for name, text in said.items() for word in (f"--{name}", text)]
    assert main(["export", checkpoint, "--out", "tiny", "--report", "report.json", *options]) == 0
    card = Path("tiny", CARD).read_text()
    assert card.startswith("# tiny\n\nPixelCNN, 1,377 weights")
    for words in (*said.values(), "condgen sample tiny --condition.digit 0 --out samples", "1 epochs, 2 steps",
                  "- digit: ClassEmbedding of 0, 1, 2, 3", 'condgen.load("tiny")',
                  "| bits/dim, 500 held-out examples | 1.662 | |",
                  "| digit read as asked, 300 samples | 98.7% | 99.1% |", "| 87.2% | 95.0% |",
                  "| 7.71 | 1.02 |"):  # fmt: skip
        assert words in card
    assert re.findall(r"^## (\w+)", card, re.MULTILINE) == ["Use", "Conditions", "Data", "Training", "Figures",
                                                           "Licence"]  # fmt: skip
    assert "Not said" not in card


def test_the_card_says_with_which_guidance_the_figures_were_measured(trained, tmp_path):
    checkpoint = trained("pixelcnn_digits")
    for guidance in (0.0, 0.7):
        report = {**report_of(checkpoint), "guidance": guidance, "film_guidance": 0.0}
        (tmp_path / "report.json").write_text(json.dumps(report))
        out = tmp_path / f"out_{guidance}"
        assert main(["export", checkpoint, "--out", str(out), "--report", str(tmp_path / "report.json")]) == 0
        card = (out / "README.md").read_text()
        assert (f"--out samples --guidance {guidance:g}\n" in card) == bool(guidance)
        assert (f"temperature 1, guidance {guidance:g}." in card) == bool(guidance)
        assert "film_guidance" not in card


def test_figures_of_another_model_stand_on_no_card(trained, one_line):
    checkpoint = trained("pixelcnn_digits")
    for report, words in ((report_of(trained("cdcgan_digits")), "is of another checkpoint"),
                          (report_of(checkpoint, weights="live"), "measured the last weights"),
                          ({"a": 1}, "is no report.json"), ([1], "is no report.json")):  # fmt: skip
        Path("report.json").write_text(json.dumps(report))
        assert main(["export", checkpoint, "--out", "o", "--report", "report.json"]) == 1
        one_line("report.json", words)
    assert main(["export", checkpoint, "--out", "o", "--report", "nowhere.json"]) == 1
    one_line("nowhere.json does not exist")
    assert not Path("o").exists()


def test_a_weight_that_is_missing_or_foreign_is_named(broken, one_line):
    name = "network.blocks.0.link.weight"
    refused(broken(weights=lambda w: {n: v for n, v in w.items() if n != name}), one_line, f"lacks the weight {name}")
    refused(broken(weights=lambda w: {**w, name + "s": w[name].clone()}), one_line, f"holds the weight {name}s")


def test_a_weight_of_another_shape_or_kind_is_named(broken, one_line):
    name = "network.blocks.0.link.weight"
    flat = {"transposed": lambda v: v.flatten().contiguous(), "one row": lambda v: v[:1].clone()}
    for change in flat.values():
        folder = broken(weights=lambda w, change=change: {**w, name: change(w[name])})
        refused(folder, one_line, f"{WEIGHTS} holds {name} as [", "takes [8, 8, 1, 1]")
    kinds = {torch.int64: "int64", torch.bool: "bool", torch.float64: "float64"}
    for dtype, word in kinds.items():
        refused(broken(weights=lambda w, dtype=dtype: {**w, name: w[name].to(dtype)}), one_line, name, word)


@pytest.mark.parametrize(("changes", "words"), [
    ({"format": FORMAT + 1}, [f"format {FORMAT + 1}", f"this one reads format {FORMAT}"]),
    ({"format": None}, ["format none"]), ({"format": "1"}, ["another version"]),
    ({"format": True}, ["another version"]), ({"task": None}, ["says of task"]),
    ({"task": {"class_path": 5, "init_args": {}}}, ["says of task"]),
    ({"data": [1]}, ["says of data"]), ({"class_examples": 5}, ["says of class_examples"]),
    ({"seconds": "long"}, ["says of seconds"]), ({"seconds": -1}, ["says of seconds"]),
    ({"training": {"steps": "many"}}, ["says of training"]),
    ({"training": {"scores": {"a": []}}}, ["says of training"]),
])  # fmt: skip
def test_a_configuration_of_another_format_or_of_odd_parts_is_one_line(changes, words, broken, one_line):
    refused(broken(lambda config: {**config, **changes}), one_line, CONFIG, *words)


def test_files_that_are_missing_or_broken_are_named(export, tmp_path, one_line):
    folder = tmp_path / "broken"
    for name, words in ((CONFIG, "describes no model"), (WEIGHTS, "cannot be read")):
        shutil.copytree(export(), folder, dirs_exist_ok=True)
        (folder / name).unlink()
        refused(folder, one_line, name, "does not exist")
        (folder / name).write_text("[1]")
        refused(folder, one_line, name, words)
        (folder / name).write_bytes((export() / name).read_bytes()[:-40])
        refused(folder, one_line, name, "cannot be read")
        (folder / name).write_text("[" * 100_000)
        refused(folder, one_line, name, "cannot be read")
    (tmp_path / "empty").mkdir()
    assert main(["sample", str(tmp_path / "empty"), "--out", "o"]) == 1
    one_line("empty is a folder; give a file that `condgen fit` wrote, or a folder that `condgen export` wrote")


def test_the_configuration_of_another_model_does_not_fit(broken, export, one_line):
    for kind, words in (("cdcgan_digits", "lacks the weight"), ("wavenet_fsdd", "lacks the weight")):
        other = json.loads((export(kind) / CONFIG).read_text())
        refused(broken(lambda config, other=other: {**config, "task": other["task"]}), one_line, words)


def with_network(**arguments):
    def change(config):
        network = config["task"]["init_args"]["network"]
        return {
            **config,
            "task": {
                **config["task"],
                "init_args": {
                    **config["task"]["init_args"],
                    "network": {**network, "init_args": {**network["init_args"], **arguments}},
                },
            },
        }

    return change


@pytest.mark.parametrize("size", [
    {"channels": 40_000}, {"head": 10**7}, {"layers": 10**9}, {"layers": 100_000}, {"channels": 10**12},
    {"shape": [1, 10**5, 10**5]}, {"levels": 10**8}, {"first_kernel_size": 10**5 + 1}, {"dilations": [1] * 100},
], ids=str)  # fmt: skip
def test_sizes_that_the_weights_do_not_bear_out_take_no_memory(size, broken, one_line):
    folder = broken(with_network(**size))
    code = (
        f"import resource, condgen\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try: condgen.load({str(folder)!r}); found = 'opened'\nexcept ValueError as error: found = str(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, found)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    grown, words = found.stdout.split(" ", 1)
    assert folder.name in words
    assert len(words.strip().splitlines()) == 1
    assert int(grown) < 400  # megabytes, most of which importing PyTorch takes


@pytest.mark.parametrize("size", [{"window": 10**9}, {"bands": 10**6}], ids=str)
def test_nor_do_sizes_of_what_is_measured(size, broken, one_line):
    def change(config):
        mel = config["data"]["init_args"]["features"]["mel"]
        mel["init_args"] |= size
        return config

    folder = broken(change, kind="wavenet_fsdd_mel")
    assert main(["sample", str(folder), "--condition.speaker", "theo", "--condition.mel", "a.wav", "--out", "o"]) == 1
    one_line(folder.name, f"gives {next(iter(size))} as {next(iter(size.values()))}")


def test_a_configuration_is_data(broken, one_line):
    """As in a checkpoint; see tests/test_hostile_checkpoints.py for the many places."""
    payload = {"class_path": "os.system", "init_args": {"command": "touch ran"}}
    for change in (
        lambda c: {**c, "task": payload}, lambda c: {**c, "data": payload},
        lambda c: {**c, "task": {**c["task"], "init_args": {**c["task"]["init_args"], "network": payload}}},
        lambda c: {**c, "task": {**c["task"], "init_args": {**c["task"]["init_args"], "_instantiator": "os.system"}}},
        lambda c: {**c, "data": {**c["data"], "init_args": {**c["data"]["init_args"], "source": payload}}},
    ):  # fmt: skip
        refused(broken(change), one_line, "names")
    assert not Path("ran").exists()


def test_the_bound_on_what_is_built_is_of_its_block_and_thread_alone():
    with exported.no_larger_than({"a": torch.zeros(3)}):
        torch.nn.Linear(100, 100)
        with pytest.raises(ValueError, match="a much larger model"):
            torch.nn.Linear(2000, 2000)
        other = threading.Thread(target=lambda: built.append(torch.nn.Linear(2000, 2000)))
        built = []
        other.start()
        other.join()
        assert built
    torch.nn.Linear(2000, 2000)


def test_a_weight_that_memory_cannot_hold_is_a_larger_model_too():
    with pytest.raises(ValueError, match="a much larger model"), exported.no_larger_than({"a": torch.zeros(3)}):
        torch.nn.GRU(10**7, 10**7)


def test_a_list_is_no_longer_than_the_weights_have_rows():
    """Such as a vocabulary of millions, whose every word would be looked at before anything is refused."""

    def check(words):
        encoder = {"class_path": "condgen.conditioning.TokenSequence", "init_args": {"names": words}}
        exported.check_sizes({"conditions": {"caption": encoder}}, {}, {"embedding": torch.zeros(5000, 2)})

    check(["word"] * 5000)
    with pytest.raises(ValueError, match="lists 5,001 names, and no weight has more than 5,000 rows"):
        check(["word"] * 5001)


def test_help_waits_for_no_framework():
    code = (
        "import condgen.cli, sys, contextlib\nwith contextlib.suppress(SystemExit): condgen.cli.main(['export', "
        "'--help'])\nprint(*sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--trained_by" in found.stdout
    assert not {"torch", "pytorch_lightning", "numpy", "numba", "PIL", "safetensors"} & set(found.stderr.split())


def test_sound_is_drawn_without_what_measures_it(export, tmp_path):
    """Importing librosa takes longer than to draw a clip and its pictures."""
    options = ["--condition.digit", "1", "--condition.speaker", "theo", "--out", str(tmp_path / "o")]
    code = (
        "import sys\nfrom condgen.cli import main\n"
        f"assert main(['sample', {str(export('cdcgan_fsdd'))!r}, *{options}]) == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert (tmp_path / "o" / "waveforms.png").is_file()
    assert not {"librosa", "scipy", "sklearn", "numba", "torchaudio", "torchvision", "pytorch_lightning"} & set(found)
