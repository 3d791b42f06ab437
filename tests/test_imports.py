"""The import table: who may import what, read from the source; and what importing the command line costs."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import condgen

ROOT = Path(condgen.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LEVELS = [
    {
        "archive",
        "atomic",
        "described",
        "paths",
        "pretrained",
        "printable",
        "exported",
        "quantization",
        "conditioning",
        "distributions",
    },
    {"models"},
    {"engines"},
    {"sampling"},
    {"data"},
    {"evaluation", "analysis"},
    {"training"},
    {"checkpoint", "trust"},
    {"commands", "drawn"},
    {"loaded"},
    {"cli", "__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
BARE = ("conditioning", "distributions", "quantization", "models", "engines", "sampling")

files = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


def imports(source, package="condgen"):
    """Every module that a source imports, inside functions too; names that are imported from a module included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -node.level + 1 or None] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return found


def imported_by(file):
    package = ".".join(["condgen", *file.relative_to(ROOT).parent.parts])
    return imports(file.read_text(encoding="utf-8"), package)


def part_of(file):
    return file.relative_to(ROOT).with_suffix("").parts[0]


def parts_imported_by(file):
    """The parts of condgen that a file imports, but for its own."""
    names = {name.split(".")[1] for name in imported_by(file) if name.startswith("condgen.")}
    return names & set(LEVEL) - {part_of(file)}


def top_level(names):
    return {name.split(".")[0] for name in names}


def test_imports_are_found_wherever_they_stand():
    source = """
import a.b as c
from .d import e
from .. import f
def g():
    from h import i
    import_module("j")
"""
    expected = {"a.b", "condgen.k.d", "condgen.k.d.e", "condgen", "condgen.f", "h", "h.i", "j"}
    assert imports(source, "condgen.k") == expected


@files
def test_every_part_has_a_place_in_the_table(file):
    assert part_of(file) in LEVEL or file == ROOT / "__init__.py"


@files
def test_imports_point_down_only(file):
    if part_of(file) in LEVEL:
        assert not {part for part in parts_imported_by(file) if LEVEL[part] > LEVEL[part_of(file)]}


def test_parts_of_one_level_do_not_import_each_other_in_a_circle():
    graph = {part: set() for part in LEVEL}
    for file in FILES:
        graph.setdefault(part_of(file), set()).update(parts_imported_by(file))
    TopologicalSorter(graph).prepare()


@files
def test_models_and_all_below_and_sampling_know_no_training_and_no_plotting(file):
    if part_of(file) in BARE:
        assert not top_level(imported_by(file)) & {
            "pytorch_lightning", "lightning", "matplotlib", "torchvision", "sklearn",
        }  # fmt: skip


@files
def test_only_pictures_import_matplotlib(file):
    drawing = {
        ROOT / place for place in ("evaluation/pictures.py", "analysis/pictures.py", "analysis/layer_picture.py")
    }
    assert "matplotlib" not in top_level(imported_by(file)) or file in drawing


@files
def test_analysis_knows_no_training(file):
    if part_of(file) == "analysis":
        assert not top_level(imported_by(file)) & {"pytorch_lightning", "lightning", "torchmetrics", "torchvision"}


@files
def test_every_file_begins_with_a_docstring(file):
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


@files
def test_no_file_has_a_name_that_says_nothing(file):
    assert not {"utils", "helpers", "common", "base", "misc"} & set(file.relative_to(ROOT).with_suffix("").parts)


def test_the_command_line_imports_nothing_heavy():
    code = "import condgen.cli, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "condgen.cli" in loaded
    assert not {"torch", "pytorch_lightning", "numpy"} & set(loaded)


@pytest.mark.parametrize(("command", "option"), [("sample", "--ckpt_path"), ("evaluate", "--ckpt_path"),
                                                 ("adapt", "--examples"),
                                                 ("show", "--trust"), ("analyze", "--between"),
                                                 ("play", "--port")])  # fmt: skip
def test_help_of_a_command_does_not_wait_for_a_framework(command, option):
    code = (
        f"import condgen.cli, sys, contextlib\nwith contextlib.suppress(SystemExit): condgen.cli.main(['{command}', "
        "'--help'])\nprint(*sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert option in found.stdout
    assert not {"torch", "pytorch_lightning", "numpy", "numba", "PIL"} & set(found.stderr.split())


def test_what_measures_conditions_and_lists_clips_needs_no_lightning():
    code = (
        "import sys, condgen.data.front_end, condgen.data.manifest\n"
        "from condgen.data import Clip, MelSpectrogram, Manifest\nprint(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pytorch_lightning", "condgen.data.images", "condgen.data.speech"} & set(found)


def test_every_public_name_of_data_is_found_and_no_other():
    import condgen.data

    assert all(getattr(condgen.data, name).__name__ == name for name in condgen.data.__all__)
    assert sorted(condgen.data.__all__, key=str.lower) == sorted(set(condgen.data.__all__), key=str.lower)
    with pytest.raises(AttributeError, match="has no attribute 'np'"):
        condgen.data.np  # noqa: B018
