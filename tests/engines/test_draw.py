"""The draw: what is no number is told, by the row that it stands in, whatever engine computed it."""

from functools import partial

import pytest
import torch

from condgen.engines.draw import Draw
from condgen.sampling import sample

sampled = partial(sample, progress=False)


EVERY = ["naive", "cached", "compiled", "graph"]


every = pytest.mark.parametrize("engine", EVERY)


def floats(conditions):
    return {name: value.float() if value.is_floating_point() else value for name, value in conditions.items()}


@pytest.mark.parametrize("channels", [12, 16, 20])
@every
def test_what_is_no_number_stays_in_its_row_and_is_named(monkeypatch, make_model, make_conditions, channels, engine):
    model = make_model(channels=channels).float()
    conditions, lost = floats(make_conditions(model, 4)), []
    conditions["map"][1] = torch.nan
    monkeypatch.setattr(Draw, "finished", lambda self, rows=None: self.log_prob)
    lost = sampled(model, conditions, engine=engine).log_prob.isnan()
    monkeypatch.undo()
    assert lost.tolist() == [False, True, False, False]
    with pytest.raises(FloatingPointError, match="for sample 1 are no finite numbers"):
        sampled(model, conditions, engine=engine)


@pytest.mark.parametrize("output", ["categorical", "logistic_mixture", "gaussian"])
@every
def test_weights_that_are_no_numbers_are_told(make_wavenet, output, engine):
    for number in (torch.nan, torch.inf):
        model = make_wavenet(output, conditioning="none").float()
        with torch.no_grad():
            model.network.head[3].bias[0] = number
        with pytest.raises(FloatingPointError, match="for sample 0, 1 are"):
            sampled(model, num_samples=2, length=9, engine=engine)
        if output != "categorical":
            break  # an infinite mean or scale is bounded
