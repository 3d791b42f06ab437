"""What the page shows, and what it makes of its widgets."""

import re

import pytest
import torch

import condgen
from condgen.commands.film_moves import Move
from condgen.commands.play_view import ALL, NO_TRUNCATION, chosen, heading, stage, summary, told_moves
from condgen.commands.playing import Answer, Choices, Playground
from condgen.drawn import Drawn
from condgen.sampling import Samples


def answered(count, network=None, log_prob=None):
    x = torch.randint(17, (count, 1, 8, 8)) if network is None else torch.full((count, 1, 80), 128)
    samples = Samples(x, None if log_prob is None else torch.tensor(log_prob), "cached", "")
    drawn = Drawn(samples, 17 if network is None else 256, count, ["<3>"] * count, network, [x.shape[-1]] * count)
    return Answer(drawn, None if log_prob is None else [1.25] * count, "dim", None, None)


def test_widgets_make_choices():
    moves = {("a", 3): (0.5, 0.0), ("b", None): (0.0, -1.0)}
    others = {"truncation": NO_TRUNCATION, "number": ALL, "seed": None, "num_samples": 4.0, "mix": 0.5}
    found = chosen({"digit": "3"}, {"digit": "8"}, others, moves)
    assert found == Choices({"digit": "3"}, {"digit": "8"}, 0.5, [Move("a", 3, 0.5), Move("b", None, beta=-1.0)],
                            num_samples=4)  # fmt: skip
    assert chosen({}, {}, {"number": "7", "truncation": 0.5}, {}) == Choices(number=7, truncation=0.5, moves=[])


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4), (36, 4)])
def test_pictures_lie_in_a_square_with_their_log_probabilities(count, columns):
    found = stage(answered(count, log_prob=[-1234.56] * count))
    assert len(re.findall(r'<img alt="sample \d+" src="data:image/png;base64,', found)) == count
    assert found.count("<b>1.250</b> bits/dim<br>log p = −1,234.6") == count
    assert f"repeat({columns}, 1fr)" in found


def test_a_generator_shows_no_log_probability():
    found = stage(answered(2))
    assert "a generator has no log-probability" in found
    assert "bits" not in found + summary(answered(2))


def test_sound_has_a_player_and_its_spectrogram():
    found = stage(answered(1, condgen.load("spoken_digits").model.network, [-10.0]))
    assert '<audio controls autoplay src="data:audio/wav;base64,' in found
    assert 'alt="spectrogram" src="data:image/png;base64,' in found


def test_words_are_words_and_no_tags():
    assert summary(answered(2, log_prob=[-1.0, -1.0])) == "<b>&lt;3&gt;</b> · mean 1.250 bits/dim"
    assert told_moves({("<a>", 3): (0.5, -1.0), ("b", None): (0.0, 2.0), ("c", 1): (0.0, 0.0)}) == (
        '<div class="moves">&lt;a&gt;, map 3: γ +0.5, β −1<br>b, all maps: β +2</div>'
    )
    assert told_moves({}) == ""
    model = condgen.load("digits").model
    assert heading("a<b", Playground(model)).startswith("<h1>a&lt;b</h1><p>PixelCNN · 226,689 parameters")
