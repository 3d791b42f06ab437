"""Streaming: the chunks are the sample, and a stream goes on from a saved state."""

import dataclasses
import io
import itertools
from functools import partial

import pytest
import torch
from safetensors.torch import save as tensors
from torch import nn

from condgen.sampling import Samples, StreamState, sample, stream

CONDITIONINGS = ["none", "bias", "scale", "gate", "film", "concat"]


OUTPUTS = ["categorical", "logistic_mixture", "gaussian"]


conditionings = pytest.mark.parametrize("conditioning", CONDITIONINGS)


outputs = pytest.mark.parametrize("output", OUTPUTS)


sampled = partial(sample, progress=False)


def same(first, second):
    return torch.equal(first.x, second.x) and torch.allclose(first.log_prob, second.log_prob, rtol=0, atol=1e-10)


def joined(chunks):
    chunks = list(chunks)
    x, log_prob = torch.cat([c.x for c in chunks], -1), torch.stack([c.log_prob for c in chunks]).sum(0)
    return Samples(x, log_prob, "stream", "")


@conditionings
@outputs
@pytest.mark.parametrize("chunk", [1, 5, 12, 100])
def test_the_chunks_of_a_stream_are_the_sample(make_wavenet, make_melodies, conditioning, output, chunk):
    model = make_wavenet(output, conditioning, hop=3)
    conditions = make_melodies(model, 3, 4)
    options = {
        "num_samples": 1 if conditions else 3,
        "seed": 4,
        "first_index": 2,
        "length": 12 if conditioning == "none" else None,
    }
    chunks = list(stream(model, conditions, chunk=chunk, **options))
    assert [c.x.shape[-1] for c in chunks] == [min(chunk, 12 - at) for at in range(0, 12, chunk)]
    assert same(joined(chunks), sampled(model, conditions, **options))


def test_a_stream_is_tempered_as_a_sample_is(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, levels=8)
    conditions, options = make_melodies(model, 3, 4), {"temperature": 0.7, "top_k": 5, "top_p": 0.8, "length": 10}
    assert same(joined(stream(model, conditions, chunk=4, **options)), sampled(model, conditions, **options))


def test_a_stream_without_an_end_goes_on(make_wavenet):
    model = make_wavenet("gaussian", "none")
    chunks = itertools.islice(stream(model, chunk=5, num_samples=2), 5)
    assert same(joined(chunks), sampled(model, num_samples=2, length=25))


@outputs
@pytest.mark.parametrize("conditioning", ["none", "film", "concat"])
def test_a_stream_goes_on_exactly_from_a_saved_state(tmp_path, make_wavenet, make_melodies, conditioning, output):
    model = make_wavenet(output, conditioning, hop=3, kernel_size=3)
    conditions, options = make_melodies(model, 2, 6), {"length": 18, "seed": 3}
    whole = sampled(model, conditions, **options)
    for chunk in (1, 4, 7):
        first = next(stream(model, conditions, chunk=chunk, **options))
        first.state.save(tmp_path / "state")
        rest = stream(model, conditions, chunk=5, state=StreamState.load(tmp_path / "state"), **options)
        assert same(joined([first, *rest]), whole)
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_a_state_before_the_first_sample_can_be_saved(tmp_path, make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions = make_melodies(model, 2, 4)
    StreamState(model.network.start(2), None).save(tmp_path / "state")
    (tmp_path / "other").touch()
    assert (tmp_path / "state").stat().st_mode == (tmp_path / "other").stat().st_mode
    rest = stream(model, conditions, chunk=5, state=StreamState.load(tmp_path / "state"))
    assert same(joined(rest), sampled(model, conditions))


def contents(state):
    return [t.clone() for t in (*itertools.chain(*state.network.past), state.values)]


def test_going_on_twice_from_a_state_gives_the_same_twice(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, kernel_size=3)
    conditions = make_melodies(model, 2, 4)
    state = next(stream(model, conditions, chunk=5)).state
    before, step = contents(state), state.network.step
    once, twice = (joined(stream(model, conditions, chunk=4, state=state)) for _ in range(2))
    assert same(once, twice)
    assert state.network.step == step
    assert all(map(torch.equal, contents(state), before))


def test_chunks_and_states_that_were_given_do_not_change_later(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, kernel_size=3)
    seen = []
    for chunk in stream(model, make_melodies(model, 2, 4), chunk=2):
        seen.append((chunk, chunk.x.clone(), contents(chunk.state)))
        for earlier, x, state in seen:
            assert torch.equal(earlier.x, x)
            assert all(map(torch.equal, contents(earlier.state), state))


def test_between_two_chunks_the_model_is_as_it_was(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, weight_norm=True).train()
    conditions = make_melodies(model, 2, 4)
    for chunk in stream(model, conditions, chunk=5):
        assert all(module.training for module in model.modules())
        assert not torch.is_inference_mode_enabled()
        x, frames = chunk.x.clone()[..., :2].repeat(1, 1, 6), conditions
        model.log_prob(x, frames).sum().backward()


def pickled(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


STEP, PAST = torch.tensor(1), torch.zeros(2, 1, 4)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"nonsense", pickled([1, 2]), pickled({"step": STEP, "past.0": PAST}), pickled(nn.Linear(1, 1)),
        tensors({"step": STEP}), tensors({"past.0": PAST}), tensors({"step": STEP, "past.1": PAST}),
        tensors({"step": STEP, "past.0": PAST})[:-9], tensors({"step": torch.zeros(3), "past.0": PAST}), tensors({}),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_state_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(ValueError, match="state holds no state of a stream") as found:
        StreamState.load(tmp_path / "state")
    assert "\n" not in str(found.value)


def test_a_missing_state_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing does not exist; give a file with the state of a stream"):
        StreamState.load(tmp_path / "nothing")


def test_a_state_of_another_model_is_refused(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions = make_melodies(model, 2, 4)
    others = [
        (make_wavenet(hop=3, dilations=[1]), 2), (make_wavenet(hop=3, dilations=[1, 2, 4]), 2),
        (make_wavenet(hop=3, dilations=[2, 1]), 2), (make_wavenet(hop=3, channels=5), 2),
        (make_wavenet(hop=3, kernel_size=3), 2), (make_wavenet(hop=3), 3),
    ]  # fmt: skip
    for other, rows in others:
        state = next(stream(other, make_melodies(other, rows, 4), chunk=2)).state
        with pytest.raises(ValueError, match="state is of another network or another number of samples"):
            next(stream(model, conditions, state=state))


@pytest.mark.parametrize("engine", ["cached", "compiled", "graph"])
def test_a_stream_refuses_a_state_with_other_levels_or_of_another_type(make_wavenet, engine):
    many, few = (make_wavenet(conditioning="none", levels=levels).float() for levels in (256, 6))
    state = StreamState(many.network.start(1), None)
    state = StreamState(dataclasses.replace(state.network, step=1), torch.tensor([[200]]))
    for model in (few, many.double()):
        with pytest.raises(ValueError, match="state is of another network"):
            next(stream(model, length=9, state=state, engine=engine))


def test_a_stream_refuses_the_engine_without_a_state(make_wavenet):
    with pytest.raises(ValueError, match="engine 'naive' keeps no state"):
        next(stream(make_wavenet(conditioning="none"), length=3, engine="naive"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 0}, "chunk 0 is not at least 1 sample"),
        ({"length": 13}, "length 13 is more than the local conditions cover: 4 frames × hop 3 = 12 samples"),
        ({"length": 0}, "length 0 is not at least 1 sample"),
        ({"length": -1}, "length -1 is not at least 1 sample"),
        ({"num_samples": 0}, "num_samples 0 is not a whole number of at least 1"),
        ({"temperature": 0}, "temperature 0 is not at least 0.0001"),
        ({"seed": -1}, "not a whole number from 0"),
    ],
)
def test_an_argument_of_a_stream_that_does_not_fit_is_refused(make_wavenet, make_melodies, options, message):
    model = make_wavenet(hop=3)
    with pytest.raises(ValueError, match=message):
        next(stream(model, make_melodies(model, 3, 4), **options))


def test_a_stream_of_no_samples_is_refused_without_conditions(make_wavenet):
    with pytest.raises(ValueError, match="length 0 is not at least 1 sample"):
        next(stream(make_wavenet(conditioning="none"), length=0))


def test_images_are_not_streamed(make_model):
    with pytest.raises(ValueError, match="streams are for audio"):
        next(stream(make_model(conditioning="none")))


def test_a_stream_has_a_seed_per_row(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions = make_melodies(model, 2, 4)
    for count in (1, 2):
        options = {"seed": [3, 8], "num_samples": count, "first_index": 1}
        assert same(joined(stream(model, conditions, chunk=5, **options)), sampled(model, conditions, **options))
    named = {"speaker": "0", "melody": conditions["melody"].numpy()}
    same_named = {"speaker": torch.zeros(2, dtype=torch.long), "melody": conditions["melody"]}
    assert same(joined(stream(model, named, chunk=5)), sampled(model, same_named))
