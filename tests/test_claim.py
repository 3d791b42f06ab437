"""The frame of the article's recipes: verdicts follow from the figures, figures are kept, and the page holds them."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ARTICLE = Path(__file__).resolve().parent.parent / "recipes/article"
YES, NO, OPEN = "reproduced in miniature", "not reproduced", "not decided by this evidence"


@pytest.fixture
def claim(monkeypatch):
    monkeypatch.syspath_prepend(str(ARTICLE))
    sys.modules.pop("claim", None)
    import claim

    yield claim
    sys.modules.pop("claim", None)


@pytest.mark.parametrize(
    ("better", "worse", "by", "verdict"),
    [
        ([5.0, 6.0, 7.0], [1.0, 2.0, 3.0], 0, YES),
        ([1.0, 2.0, 3.0], [5.0, 6.0, 7.0], 0, NO),
        ([5.0, 6.0, 7.0], [1.0, 2.0, 3.0], 5, NO),  # better, by less than was claimed
        ([5.0, 1.0, 7.0], [1.0, 2.0, 3.0], 0, OPEN),
        ([2.0, 2.0, 2.0], [2.0, 2.0, 2.0], 0, OPEN),
        ([9.0], [1.0], 0, OPEN),  # one seed decides nothing
        # Pairs: the seeds differ by 100, and within each seed the difference is one.
        ([101.0, 201.0, 301.1], [100.0, 200.0, 300.0], 0.5, YES),
    ],
)
def test_verdicts_follow_from_differences_within_seeds(claim, better, worse, by, verdict):
    assert claim.beats(better, worse, by) == verdict


def test_a_bound_is_reached_where_the_interval_lies_above_it(claim):
    # Student's t with two degrees of freedom: 4.303 × 1 / √3 = 2.484.
    assert claim.half_width([9.0, 10.0, 11.0]) == pytest.approx(2.484, abs=1e-3)
    assert [claim.reaches([9.0, 10.0, 11.0], bound) for bound in (7.5, 8.0, 12.0, 12.5)] == [YES, OPEN, OPEN, NO]


def test_one_part_that_fails_decides_and_then_one_that_is_open(claim):
    assert claim.all_of(YES, YES) == YES
    assert claim.all_of(YES, OPEN) == OPEN
    assert claim.all_of(OPEN, NO, YES) == NO


def test_figures_are_computed_once_and_those_of_another_effort_not_taken(claim, tmp_path):
    asked = []

    def compute():
        asked.append(1)
        return {"accuracy": float(len(asked))}

    first = claim.Kept(tmp_path / "new", "recipe", 1.0)
    found = [first("a", compute), first("a", compute), claim.Kept(tmp_path / "new", "recipe", 1.0)("a", compute)]
    assert [figures["accuracy"] for figures in found] == [1.0, 1.0, 1.0]
    other = claim.Kept(tmp_path / "new", "recipe", 0.5)
    assert other("a", compute)["accuracy"] == 2.0
    assert other.seconds == other.figures["a"]["seconds"] >= 0


def story(claim, name="reading"):
    one = claim.Claim("Dhingra et al. 2017", "multiplying wins", "no figure checked", "% right",
                      {"multiply": [90.0, 91.0], "add": [80.0, 81.0]}, "reproduced in miniature")  # fmt: skip
    return claim.Story(name, "It says something.", "A curve.", [one], 1.0, 60.0)


def test_a_story_comes_back_as_it_was_written(claim, tmp_path, capsys):
    told = story(claim)
    told.write(tmp_path)
    assert claim.Story.read(tmp_path / "reading.json") == told
    assert "multiply 90.5 ± 6.4; add 80.5 ± 6.4 | **reproduced in miniature** |" in capsys.readouterr().out


def test_the_page_holds_every_story_and_a_recipe_that_fails_is_named(claim, tmp_path, monkeypatch, capsys):
    for name in ("reading", "continual"):
        story(claim, name).write(tmp_path)
    module = runpy.run_path(str(ARTICLE / "all.py"))
    ran = []
    globals_ = module["main"].__globals__
    monkeypatch.setitem(globals_, "run", lambda name, *rest: ran.append((name, *rest)) or
                        ("KeyError: 'x'" if name == "few_shot" else None))  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        module["main"](str(tmp_path), 2, 0.5, 1, ["reading", "few_shot"], "clips")
    assert ended.value.code == 1
    assert ran == [(name, tmp_path, 2, 0.5, "clips") for name in ("reading", "few_shot")]
    assert "few_shot failed: KeyError: 'x'" in capsys.readouterr().err
    page = (tmp_path / "README.md").read_text()
    for name in ("reading", "continual"):
        assert f"[`{name}.py`]({name}.py)" in page
        assert f"![A curve.]({name}.png)" in page
    assert "2 minutes of a core" in page


def test_the_page_says_where_less_than_the_full_effort_was_made(claim):
    page, told = runpy.run_path(str(ARTICLE / "all.py"))["page"], story(claim)
    assert "of a core.\n" in page([told])
    assert "of a core, at 0.25 of the full effort.\n" in page([replace(told, effort=0.25)])


def test_all_hands_each_recipe_its_options_and_one_thread(claim, tmp_path, monkeypatch):
    module = runpy.run_path(str(ARTICLE / "all.py"))
    said = []

    class Done:
        returncode = 0

    def note(command, env, stdout, **rest):
        said.append((command[1:], env["OMP_NUM_THREADS"]))
        return Done

    monkeypatch.setattr(module["run"].__globals__["subprocess"], "run", note)
    for name in ("reading", "speech_adaptation"):
        assert module["run"](name, tmp_path, 4, 0.25, "clips") is None
    plain = ["--out", str(tmp_path), "--effort", "0.25", "--seeds", "4"]
    assert said == [([str(ARTICLE / "reading.py"), *plain], "1"),
                    ([str(ARTICLE / "speech_adaptation.py"), *plain, "--fsdd", "clips"], "1")]  # fmt: skip


def test_the_published_page_is_made_of_the_published_stories(claim):
    stories = [claim.Story.read(file) for file in sorted(ARTICLE.glob("*.json"))]
    if not stories:
        pytest.skip("the stories are not published yet")
    page = (ARTICLE / "README.md").read_text()
    for one in stories:
        assert "\n".join(claim.table(one)) in page
        assert (ARTICLE / f"{one.name}.png").is_file()
        assert json.loads((ARTICLE / f"{one.name}.json").read_text())["effort"] == 1.0
