"""Docstrings are the help text: an argument's entry begins with the noun that it describes."""

import ast
import re
from pathlib import Path

import pytest

import condgen

ROOT = Path(condgen.__file__).parent
FILES = sorted(ROOT.rglob("*.py")) + sorted((ROOT.parent / "recipes").glob("*.py"))
# Words with which an entry begins that says what is done with a thing, or where or whose it is, but not what it is.
NO_NOUNS = """
of that this these those theirs their its his it they both each every
what where which who whose when how why whether if as
for in on at by to from with without behind before after over under between beside beyond besides than like
is are was be can may must do does has have not only also and or but see give given gives
draw draws drop bring make makes add adds convert keep keeps show shows use uses replace replaces take takes choose
read reads write writes say says call calls split start fetch print return returns leave divide
drawn made used added shown told kept taken needed left learned measured
"""


def entries(source):
    """Every (name, text) below "Args:" and "Attributes:" of the docstrings of a source."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        doc = ast.get_docstring(node) or ""
        for section in re.findall(r"^(?:Args|Attributes)[^\n]*:\n((?: {4}.*\n?|\n)+)", doc, flags=re.MULTILINE):
            for name, text in re.findall(r"^ {4}(\w+): ((?:.*)(?:\n {8}.*)*)", section, flags=re.MULTILINE):
                yield f"{node.name}: {name}", " ".join(text.split())


def first_word(text):
    return re.match(r"[^\w`]*(`[^`]*`|[\w-]*)", text)[1].lower()


def test_entries_are_found():
    source = '''
def f(a, b):
    """Do.

    Args:
        a: number of things, and
            more of it.
        b: of both.

    Returns:
        Nothing.
    """
'''
    assert dict(entries(source)) == {"f: a": "number of things, and more of it.", "f: b": "of both."}
    assert [first_word(text) in NO_NOUNS.split() for _, text in entries(source)] == [False, True]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT.parent)))
def test_every_entry_begins_with_a_noun(file):
    wrong = {
        name: text for name, text in entries(file.read_text(encoding="utf-8")) if first_word(text) in NO_NOUNS.split()
    }
    assert not wrong
