"""The models that come with condgen: each loads, draws every class that it declares, and has a whole card; they are
found by their names everywhere; and together they are small."""

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import condgen
from condgen.checkpoint import Checkpoint
from condgen.cli import main
from condgen.commands.configurations import in_full
from condgen.commands.export_card import SECTIONS, UNSAID
from condgen.commands.fit import CondgenCLI, cli
from condgen.commands.next_step import sampling_command
from condgen.models.conditional import as_likelihood
from condgen.pretrained import CARD, CONFIG, FOLDER, WEIGHTS, find, name_of, names

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "pretrained.py"
models = pytest.mark.parametrize("name", names())


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def card(name):
    """The sections of a card by their titles."""
    text = (FOLDER / name / CARD).read_text(encoding="utf-8")
    return dict(zip(re.findall(r"^## (.+)$", text, re.MULTILINE), re.split(r"^## .+$", text, flags=re.MULTILINE)[1:],
                    strict=True))  # fmt: skip


def commands(section):
    return [shlex.split(line) for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
            for line in block.splitlines()]  # fmt: skip


def test_there_are_some():
    assert "digits" in names()


def asked(model, condition, label):
    """Every condition: one with a label, the others with their first class, or a word to say; and the time."""
    known = {name: of for name, of in model.conditions.items() if of != "measured: give seconds"}
    if "texts" in known.values():
        pytest.importorskip("espeakng_loader", reason="the wheel espeakng-loader is not installed")
    given = {name: "no" if of == "texts" else of[0] for name, of in known.items()}
    untold = as_likelihood(model.model) is not None and model.front_end is not None and "texts" not in known.values()
    return {**given, condition: label, **({"seconds": 0.05} if untold else {})}


@models
def test_it_draws_under_every_class_of_every_condition(name):
    model = condgen.load(name)
    for condition, known in model.conditions.items():
        for label in known if isinstance(known, list) else []:
            given = asked(model, condition, label)
            drawn = model.sample(**given, seed=1)
            assert 0 <= int(drawn.x.min()) <= int(drawn.x.max()) < model.model.network.levels
            assert all(torch.isfinite(part).all() for part in model.film(**given).tensors)


@models
def test_its_card_is_whole(name):
    sections, config = card(name), json.loads((FOLDER / name / CONFIG).read_text())
    assert tuple(sections) == SECTIONS
    for title, text in sections.items():
        assert text.strip(), title
        assert UNSAID not in text, title
        assert "Not measured" not in text, title
    for condition, encoder in config["task"]["init_args"]["conditions"].items():
        assert f"- {condition}: " in sections["Conditions"]
        for label in (encoder["init_args"].get("names") or [])[:40]:
            assert re.search(rf"\b{re.escape(label)}\b", sections["Conditions"]) or not label.isalnum()
    checkpoint = Checkpoint.open(name)
    front_end = checkpoint.front_end()
    features = {} if front_end is None else front_end.features
    assert sampling_command(name, checkpoint.model(), features, checkpoint.untrained) in sections["Use"]


@models
def test_the_command_that_trained_it_is_one_of_today(name, monkeypatch):
    """Every option of it is known, and it is what the recipe says."""
    parsed = []
    monkeypatch.setattr(CondgenCLI, "before_instantiate_classes", lambda self: parsed.append(self.config))
    monkeypatch.setattr(CondgenCLI, "instantiate_classes", lambda self: None)
    monkeypatch.setattr(CondgenCLI, "_run_subcommand", lambda self, subcommand: None)
    ((program, *argv),) = commands(card(name)["Training"])
    cli(in_full(argv))
    assert program == "condgen"
    assert parsed[0].subcommand == "fit"
    task = json.loads((FOLDER / name / CONFIG).read_text())["task"]
    assert parsed[0].fit.model.class_path.rpartition(".")[2] == task["class_path"].rpartition(".")[2]
    ours = json.loads(json.dumps(parsed[0].fit.model.init_args.network.init_args.as_dict()))
    theirs = task["init_args"]["network"]["init_args"]
    ignored = {"layers"} if ours.get("dilations") else set()
    compared = {key: value for key, value in ours.items() if value is not None and key in theirs and key not in ignored}
    assert {key: theirs[key] for key in compared} == compared


@models
def test_it_names_no_place_of_the_machine_that_it_was_made_on(name):
    for file in (CONFIG, CARD):
        text = (FOLDER / name / file).read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w:/.])/(?:tmp|home|root|work|Users|mnt|private|var|data)\b", text)
    assert {path.name for path in (FOLDER / name).iterdir()} == {CONFIG, WEIGHTS, CARD}


def test_together_they_are_small_in_a_wheel_and_so_is_the_package():
    def size(folder):
        """Add up what the files take in a wheel, which is compressed."""
        files = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        return sum(len(zlib.compress(path.read_bytes())) for path in files)

    assert size(FOLDER) < 12_000_000
    assert size(FOLDER.parent) < 14_000_000


def test_the_recipe_knows_every_one_and_its_command(monkeypatch):
    monkeypatch.syspath_prepend(RECIPE.parent)
    known = runpy.run_path(str(RECIPE))["MODELS"]
    assert set(names()) <= set(known)
    for name in names():
        assert known[name].data in card(name)["Data"]


def test_the_list_has_a_line_for_each(capsys, one_line):
    assert main(["pretrained"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names()
    assert all(len(line.split()) > 2 for line in lines)
    assert main(["pretrained", "--help"]) == 0
    assert "condgen sample NAME" in capsys.readouterr().out
    assert main(["pretrained", "digits"]) == 1
    one_line("takes no digits")


def test_a_name_does_where_a_checkpoint_does(capsys):
    three = ["--condition.digit", "7", "--num_samples", "3", "--out"]
    assert main(["sample", "digits", *three, "sevens"]) == 0
    assert main(["sample", *three, "again", "digits", "--seed", "0"]) == 0
    assert main(["sample", "--ckpt_path", "digits", *three, "too"]) == 0
    drawn = [np.load(Path(out, "samples.npz"))["samples"] for out in ("sevens", "again", "too")]
    assert drawn[0].shape == (3, 1, 8, 8)
    assert all(np.array_equal(drawn[0], samples) for samples in drawn)
    small = ["--num_samples", "20", "--limit", "20", "--classifier_steps", "2"]
    assert main(["evaluate", "digits", "--out", "report", *small]) == 0
    capsys.readouterr()
    assert main(["show", "digits"]) == 0
    assert "condgen sample digits --condition.digit 0 --out samples" in capsys.readouterr().out
    assert main(["export", "digits", "--out", "whole", "--weights", "32-bit"]) == 0
    mine, theirs = (condgen.load(path).model.state_dict() for path in ("whole", "digits"))
    assert all(torch.equal(value, theirs[key]) for key, value in mine.items())


def test_a_name_that_there_is_not_is_one_line_with_the_list(one_line):
    for command in (["sample", "digitz", "--out", "o"], ["sample", "--ckpt_path", "digitz", "--out", "o"],
                    ["evaluate", "digitz", "--out", "o"], ["show", "digitz"], ["export", "digitz", "--out", "o"],
                    ["test", "--ckpt_path", "digitz"]):  # fmt: skip
        assert main(command) == 1
        one_line("the model digitz does not exist", "did you mean digits?", ", ".join(names()))
    with pytest.raises(ValueError, match=r"the model nothing does not exist, .*: they are .*digits"):
        condgen.load("nothing")


def test_a_model_is_given_once(one_line):
    assert main(["sample", "digits", "--ckpt_path", "a.ckpt", "--out", "o"]) == 1
    one_line("two models are given, digits and --ckpt_path a.ckpt")
    assert main(["evaluate", "--out", "o"]) == 1
    one_line("no model is given: give its name", "digits")
    assert not Path("o").exists()


def test_of_a_model_and_a_folder_of_one_name_each_can_be_called(capsys):
    assert main(["export", "digits", "--out", "digits", "--weights", "32-bit"]) == 0
    with pytest.warns(UserWarning, match=r"digits is the model that comes with condgen; \./digits is the one here"):
        assert find("digits") == FOLDER / "digits"
    assert find("./digits") == Path("digits")
    assert (name_of(FOLDER / "digits"), name_of(Path("a/digits"))) == ("digits", "a/digits")
    shutil.rmtree("digits")
    assert main(["sample", "digits", "--condition.digit", "1", "--out", "digits"]) == 0
    assert find("digits") == FOLDER / "digits"
    capsys.readouterr()
    assert main(["show", "digits"]) == 0  # samples, since these are here
    assert "conditions" in capsys.readouterr().out


def test_drawing_loads_little(tmp_path):
    code = (
        "import sys\nfrom condgen.cli import main\n"
        "assert main(['sample', 'digits', '--condition.digit', '1', '--out', 'o', '--engine', 'cached']) == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    heavy = {"pytorch_lightning", "torchmetrics", "torchvision", "torchaudio", "librosa", "sklearn", "matplotlib",
             "numba", "scipy", "torch._dynamo", "torch._inductor", "condgen.training"}  # fmt: skip
    assert not heavy & set(found)


def test_the_wheel_holds_them():
    """By the build's own rules: the folder of the package is taken whole, but for what git ignores."""
    root = FOLDER.parents[1]
    if not (root / ".git").exists():
        pytest.skip("no clone")
    files = [str(FOLDER / name / file) for name in names() for file in (CONFIG, WEIGHTS, CARD)]
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=root, capture_output=True, text=True)
    assert ignored.returncode == 1, ignored.stdout


def test_spoken_digits_need_no_length(tmp_path):
    model = condgen.load("spoken_digits")
    given = {"speaker": "jackson", "digit": "7"}
    assert len(model.sample(**given).waveforms()[0]) == 3600  # 0.45 s
    assert len(model.sample(**given, seconds=0.1).waveforms()[0]) == 800
    argv = ["sample", "spoken_digits", "--condition.speaker", "jackson", "--condition.digit", "7", "--out", "seven"]
    assert main(argv) == 0
    (made,) = (tmp_path / "seven").glob("*.wav")
    assert soundfile.info(made).frames == 3600
