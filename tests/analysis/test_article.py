"""What the analyses measure in the parameters that the article's authors published, against what is known of these."""

import os
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from condgen.analysis import clusters, neighbours, statistics

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("CONDGEN_DISTILL", ROOT.parent / "shared" / "data" / "distill_film"))

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"{FOLDER} is not there: CONDGEN_DISTILL says where the article's files are"
)


@pytest.fixture(scope="module")
def recipe():
    return runpy.run_path(str(ROOT / "recipes" / "article_figures.py"))


@pytest.mark.parametrize(("model", "between"), [
    ("style", {"both": 0.907, "gamma": 0.885, "beta": 0.923}),
    ("clevr", {"both": 0.743, "gamma": 0.672, "beta": 0.838}),
])  # fmt: skip
def test_variance_lies_between_feature_maps(recipe, model, between):
    found = statistics(recipe["scatter"](FOLDER, model))
    assert found.between == pytest.approx(between, abs=0.0005)
    assert max(found.shuffled.values()) < 0.01
    assert (found.rows, found.maps) == (256, 16)


def test_signs(recipe):
    found = statistics(recipe["scatter"](FOLDER, "clevr")).negative
    assert found == pytest.approx({"gamma": 0.351, "beta": 0.704}, abs=0.0005)


@pytest.mark.parametrize(("model", "accuracy", "majority"), [("clevr", 0.919, 0.232), ("style", 0.504, 0.134)])
def test_neighbours_on_the_maps(recipe, model, accuracy, majority):
    drawn = recipe["landscape"](FOLDER, model)
    found = neighbours(drawn.points, drawn.ids)
    assert found.k == 10
    assert (found.accuracy, found.majority) == pytest.approx((accuracy, majority), abs=0.0005)
    assert found.shuffled < majority + 0.02


def test_the_answer_changes_along_the_way(recipe):
    found = recipe["changes_of"](*recipe["answers"](FOLDER))
    assert found == [(0, "0"), (pytest.approx(0.46), "2"), (pytest.approx(0.49), "3"), (pytest.approx(0.70), "4")]


def test_in_front_and_behind_are_told_apart_by_feature_map_26(recipe):
    maps = recipe["by_word"](FOLDER, 26, "front", "behind")
    found = clusters(maps)[0]
    assert found.count == 3
    assert found.explained["word"].information > 0.3 > 0.02 > abs(found.explained["word"].shuffled)
    members, words = np.array(found.members), np.array(maps.labels["word"])
    low, _, high = sorted(range(3), key=lambda cluster: maps.gamma[members == cluster].mean())
    shares = {
        (word, c): float((members[words == word] == c).mean()) for word in ("front", "behind") for c in (low, high)
    }
    assert shares["front", low] == pytest.approx(0.55, abs=0.02)
    assert shares["behind", high] == pytest.approx(0.49, abs=0.02)
    assert shares["front", high] == shares["behind", low] == 0


def test_the_recipe_draws_all_figures(recipe, tmp_path, capsys):
    recipe["main"](str(FOLDER), str(tmp_path / "out"))
    assert "| variance between maps (η²), γ and β | 0.743 |" in capsys.readouterr().out
    pictures = sorted(path.stem for path in (tmp_path / "out").iterdir())
    assert pictures == ["clevr_interpolation", "clevr_scatter", "clevr_subclusters_26", "clevr_subclusters_76",
                        "clevr_tsne", "clevr_words_26", "style_scatter", "style_tsne"]  # fmt: skip
    assert all(Image.open(path).width > 300 for path in (tmp_path / "out").iterdir())
