"""Sampling of audio: engines agree, whatever the lengths; streams go on from a saved state; pitches come out right."""

import io
import itertools
import math
from functools import partial

import pytest
import torch
from torch import nn

from condgen.conditioning import ClassEmbedding, FrameSequence, GammaBeta
from condgen.models import ConditionalModel, WaveNet
from condgen.models.convolutions import CausalConv1d
from condgen.models.wavenet import WaveNetState
from condgen.quantization import Quantization
from condgen.sampling import Samples, StreamState, sample, stream, uniform_noise

CONDITIONINGS = ["none", "bias", "scale", "gate", "film", "concat"]
OUTPUTS = ["categorical", "logistic_mixture", "gaussian"]
conditionings = pytest.mark.parametrize("conditioning", CONDITIONINGS)
outputs = pytest.mark.parametrize("output", OUTPUTS)
QUANTIZATION = Quantization(256, "linear")
draw = partial(sample, progress=False)


def same(first, second):
    return torch.equal(first.x, second.x) and torch.allclose(first.log_prob, second.log_prob, rtol=0, atol=1e-10)


def row(conditions, i):
    return {name: condition[i : i + 1] for name, condition in conditions.items()}


def levels(model, rows, time, seed=0):
    return torch.randint(model.network.levels, (rows, 1, time), generator=torch.Generator().manual_seed(seed))


def both_engines(model, conditions, **options):
    return tuple(draw(model, conditions, engine=engine, **options) for engine in ("cached", "naive"))


# The engines.


@conditionings
@outputs
@pytest.mark.parametrize("input", ["embedding", "scalar"])
@pytest.mark.parametrize("hop", [1, 3])
def test_cached_equals_naive_sample_for_sample(make_wavenet, make_melodies, conditioning, output, input, hop):
    model = make_wavenet(output, conditioning, "channel" if input == "scalar" else "none", input, hop)
    options = {"num_samples": 3, "length": [12, 7, 10], "seed": 5}
    assert same(*both_engines(model, make_melodies(model, 3, 12 // hop), **options))


@pytest.mark.parametrize("kernel_size", [2, 3, 4])
@pytest.mark.parametrize("dilations", [[1], [5], [1, 2, 4], [3, 1], [2, 2]], ids=str)
@pytest.mark.parametrize("weight_norm", [False, True])
def test_cached_equals_naive_with_every_dilation(make_wavenet, make_melodies, kernel_size, dilations, weight_norm):
    model = make_wavenet("gaussian", hop=4, kernel_size=kernel_size, dilations=dilations, weight_norm=weight_norm)
    assert same(*both_engines(model, make_melodies(model, 2, 4)))


@outputs
@pytest.mark.parametrize("conditioning", ["film", "concat"])
@pytest.mark.parametrize("given", [1, 2, 3, 4, 7])
def test_cached_equals_naive_after_a_beginning(make_wavenet, make_melodies, output, conditioning, given):
    model = make_wavenet(output, conditioning, hop=3)
    options = {"given": levels(model, 3, given), "length": [12, 7, 10]}
    assert same(*both_engines(model, make_melodies(model, 3, 4), **options))


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_cached_equals_naive_around_known_samples(make_wavenet, make_melodies, share):
    model = make_wavenet(hop=3)
    known = torch.rand(12, generator=torch.Generator().manual_seed(0)) < share
    given = levels(model, 3, 12)
    cached, naive = both_engines(model, make_melodies(model, 3, 4), given=given, known=known)
    assert same(cached, naive)
    assert torch.equal(cached.x[..., known], given[..., known])
    assert not torch.equal(cached.x[..., ~known], given[..., ~known])


def test_cached_equals_naive_under_tempering(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, levels=8)
    conditions = make_melodies(model, 3, 4)
    assert same(*both_engines(model, conditions, temperature=0.7, top_k=5, top_p=0.8, length=[12, 7, 10]))


@pytest.mark.parametrize("output", OUTPUTS[1:])
def test_cached_equals_naive_at_another_temperature(make_wavenet, make_melodies, output):
    model = make_wavenet(output, hop=3)
    assert same(*both_engines(model, make_melodies(model, 3, 4), temperature=0.7))


def stale_history(monkeypatch):
    original = WaveNet.step

    def step(network, values, film, state):
        parameters, new = original(network, values, film, state)
        return parameters, WaveNetState(new.step, (state.past[0], *new.past[1:]))

    monkeypatch.setattr(WaveNet, "step", step)


def history_in_the_wrong_order(monkeypatch):
    original = CausalConv1d.step
    monkeypatch.setattr(CausalConv1d, "step", lambda conv, x, past: original(conv, x, past[::-1]))


def history_of_another_layer(monkeypatch):
    original = WaveNet.step

    def step(network, values, film, state):
        first = state.past[0]
        return original(network, values, film, WaveNetState(state.step, (first, (*first, *first), *state.past[2:])))

    monkeypatch.setattr(WaveNet, "step", step)


def condition_of_the_first_frame(monkeypatch):
    original = GammaBeta.at
    monkeypatch.setattr(GammaBeta, "at", lambda pair, frame: original(pair, 0))


def condition_of_the_frame_before(monkeypatch):
    original = GammaBeta.at
    monkeypatch.setattr(GammaBeta, "at", lambda pair, frame: original(pair, max(0, frame - 1)))


def condition_forgotten(monkeypatch):
    monkeypatch.setattr(GammaBeta, "at", lambda pair, frame: GammaBeta())


def sample_before_forgotten(monkeypatch):
    original = WaveNet.step
    monkeypatch.setattr(WaveNet, "step", lambda network, values, film, state: original(network, None, film, state))


MUTANTS = [
    stale_history, history_in_the_wrong_order, history_of_another_layer, condition_of_the_first_frame,
    condition_of_the_frame_before, condition_forgotten, sample_before_forgotten,
]  # fmt: skip


@pytest.mark.parametrize("plant", MUTANTS)
@outputs
def test_the_equality_catches(monkeypatch, make_wavenet, make_melodies, plant, output):
    model = make_wavenet(output, hop=3, kernel_size=3)
    conditions = make_melodies(model, 3, 6)
    naive = draw(model, conditions, engine="naive")
    assert same(draw(model, conditions), naive)
    plant(monkeypatch)
    assert not same(draw(model, conditions), naive)


def primed_one_sample_early(monkeypatch):
    original = WaveNet.prime

    def prime(network, x, film=None):
        return WaveNetState(x.shape[-1], original(network, x[..., :-1], film).past)

    monkeypatch.setattr(WaveNet, "prime", prime)


def primed_without_a_condition(monkeypatch):
    original = WaveNet.prime
    monkeypatch.setattr(WaveNet, "prime", lambda network, x, film=None: original(network, x))


def primed_with_nothing(monkeypatch):
    monkeypatch.setattr(
        WaveNet, "prime", lambda network, x, film=None: WaveNetState(x.shape[-1], network.start(len(x)).past)
    )


@pytest.mark.parametrize("plant", [primed_one_sample_early, primed_without_a_condition, primed_with_nothing])
@outputs
def test_the_equality_after_a_beginning_catches(monkeypatch, make_wavenet, make_melodies, plant, output):
    model = make_wavenet(output, hop=3, kernel_size=3)
    conditions, given = make_melodies(model, 3, 6), levels(model, 3, 7)
    naive = draw(model, conditions, given=given, engine="naive")
    assert same(draw(model, conditions, given=given), naive)
    plant(monkeypatch)
    assert not same(draw(model, conditions, given=given), naive)


# Batches of different lengths and speakers.


def one_by_one(model, conditions, lengths, **options):
    """Each row drawn alone, and silence behind its end."""
    rows = [draw(model, row(conditions, i), length=n, first_index=i, **options) for i, n in enumerate(lengths)]
    whole = torch.full((len(lengths), 1, max(lengths)), model.network.blank)
    for i, drawn in enumerate(rows):
        whole[i, :, : lengths[i]] = drawn.x[0]
    return Samples(whole, torch.cat([drawn.log_prob for drawn in rows]))


@conditionings
@outputs
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_batch_of_speakers_and_lengths_is_its_rows_one_by_one(
    make_wavenet, make_melodies, conditioning, output, batch_size
):
    model, lengths = make_wavenet(output, conditioning, hop=3), [5, 12, 1, 9, 12]
    conditions = make_melodies(model, 5, 4)
    together = draw(model, conditions, num_samples=5, length=lengths, seed=3, batch_size=batch_size)
    assert same(together, one_by_one(model, conditions, lengths, seed=3))


@outputs
def test_a_batch_with_beginnings_is_its_rows_one_by_one(make_wavenet, make_melodies, output):
    model, lengths = make_wavenet(output, hop=3), [5, 12, 7]
    conditions, given = make_melodies(model, 3, 4), levels(model, 3, 4)
    alone = [
        draw(model, row(conditions, i), length=n, first_index=i, given=given[i : i + 1]) for i, n in enumerate(lengths)
    ]
    together = draw(model, conditions, length=lengths, given=given, batch_size=2)
    for i, n in enumerate(lengths):
        assert torch.equal(together.x[i, :, :n], alone[i].x[0])
        assert (together.x[i, :, n:] == model.network.blank).all()
    assert torch.allclose(together.log_prob, torch.cat([drawn.log_prob for drawn in alone]), atol=1e-10)


@outputs
def test_the_log_probability_of_what_was_drawn_is_the_teacher_forced_one(make_wavenet, make_melodies, output):
    model, lengths = make_wavenet(output, hop=3), [12, 7, 10]
    conditions, given = make_melodies(model, 3, 4), levels(model, 3, 2)
    at = torch.arange(12)
    for options, first in (({}, 0), ({"temperature": 0.5}, 0), ({"given": given}, 2)):
        drawn = draw(model, conditions, length=lengths, **options)
        scored = (at >= first) & (at < torch.tensor(lengths)[:, None])
        assert torch.allclose(drawn.log_prob, model.log_prob(drawn.x, conditions, scored), atol=1e-10)


@pytest.mark.parametrize("length", [12, 8, 1, None])
def test_a_shorter_draw_begins_the_longer_one(make_wavenet, make_melodies, length):
    model = make_wavenet(hop=3)
    conditions = make_melodies(model, 2, 4)
    drawn = draw(model, conditions, length=length)
    assert drawn.x.shape == (2, 1, length or 12)
    assert torch.equal(drawn.x, draw(model, conditions).x[..., :length])


def test_a_beginning_is_kept_and_what_follows_it_is_drawn_after_it(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions = make_melodies(model, 2, 4)
    whole = draw(model, conditions)
    again = draw(model, conditions, given=whole.x[..., :5])
    assert torch.equal(again.x, whole.x)
    other = (whole.x[..., :5] + 1) % model.network.levels
    assert torch.equal(draw(model, conditions, given=other).x[..., :5], other)


def test_one_beginning_serves_all(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions, given = make_melodies(model, 3, 4), levels(model, 1, 5)
    assert same(draw(model, conditions, given=given), draw(model, conditions, given=given.expand(3, -1, -1)))


def test_a_beginning_of_nothing_or_of_everything(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions, given = make_melodies(model, 2, 4), levels(model, 2, 12)
    everything = draw(model, conditions, given=given)
    assert torch.equal(everything.x, given)
    assert (everything.log_prob == 0).all()
    assert same(draw(model, conditions, given=given[..., :0]), draw(model, conditions))


@pytest.mark.parametrize("length", [8, [8, 6]])
def test_known_samples_may_end_before_the_audio_does(make_wavenet, make_melodies, length):
    """`given` and `known` fit each other; neither has to be as long as what the conditions cover."""
    model = make_wavenet(hop=3)
    conditions, given = make_melodies(model, 2, 4), levels(model, 2, 5)
    known = torch.tensor([True, True, False, True, False])
    cached, naive = both_engines(model, conditions, given=given, known=known, length=length)
    assert same(cached, naive)
    assert cached.x.shape == (2, 1, 8)
    assert torch.equal(cached.x[..., :5][..., known], given[..., known])


# What a call takes, and what it leaves.


def test_the_mode_is_drawn_at_a_low_temperature(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions = make_melodies(model, 2, 4)
    x = draw(model, conditions, temperature=1e-4).x
    assert torch.equal(x, model(x, conditions).logits.argmax(-1))


def test_the_mean_is_drawn_from_a_gaussian_at_a_low_temperature(make_wavenet, make_melodies):
    model = make_wavenet("gaussian", hop=3, levels=17)
    conditions = make_melodies(model, 2, 4)
    x = draw(model, conditions, temperature=1e-4).x
    means = model(x, conditions).mean_level
    assert torch.equal(x, (means[..., None] - torch.linspace(-1, 1, 17)).abs().argmin(-1))
    assert torch.equal(x, draw(model, conditions, temperature=1e-4, seed=1).x)


def test_the_mean_of_the_likeliest_component_is_drawn_from_a_mixture_at_a_low_temperature(make_wavenet, make_melodies):
    model = make_wavenet("logistic_mixture", hop=3, levels=17)
    conditions = make_melodies(model, 2, 4)
    x = draw(model, conditions, temperature=1e-4).x
    found = model(x, conditions)
    means = found.means[:, :, 0].gather(1, found.logits.argmax(1, keepdim=True))
    assert torch.equal(x, (means[..., None] - torch.linspace(-1, 1, 17)).abs().argmin(-1))


def test_film_parameters_stand_for_their_conditions(make_wavenet, make_melodies):
    for conditioning in CONDITIONINGS[1:]:
        model = make_wavenet(conditioning=conditioning, hop=3)
        conditions = make_melodies(model, 3, 4)
        options = {"length": [12, 5, 8], "batch_size": 2}
        assert same(draw(model, model.film(conditions), **options), draw(model, conditions, **options))


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("engine", ["cached", "naive"])
def test_other_weights_are_used_from_the_next_call_on(make_wavenet, make_melodies, weight_norm, engine):
    model, other = (make_wavenet(hop=3, weight_norm=weight_norm, seed=seed) for seed in (0, 1))
    conditions = make_melodies(model, 3, 4)
    before = draw(model, conditions, engine=engine)
    model.load_state_dict(other.state_dict())
    assert same(draw(model, conditions, engine=engine), draw(other, conditions, engine=engine))
    assert not torch.equal(draw(model, conditions, engine=engine).x, before.x)


@pytest.mark.parametrize("weight_norm", [False, True])
def test_sampling_leaves_a_model_that_can_be_trained(make_wavenet, make_melodies, weight_norm):
    model = make_wavenet(hop=3, weight_norm=weight_norm, dropout=0.5).train()
    conditions = make_melodies(model, 2, 4)
    modes = {name: module.training for name, module in model.named_modules()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = draw(model, conditions)
    for _ in stream(model, conditions, chunk=5):
        pass
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    model.log_prob(first.x.clone(), conditions).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert same(draw(model, conditions), first)


def test_levels_are_on_the_grid_in_float32(make_wavenet, make_melodies):
    for output, levels in itertools.product(OUTPUTS, (6, 256)):
        model = make_wavenet(output, hop=3, levels=levels).float()
        x = draw(model, make_melodies(model, 3, 4)).x
        assert x.dtype == torch.long
        assert 0 <= x.min() <= x.max() < levels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length 0 is not at least 1 sample"),
        ({"length": -3}, "length -3 is not at least 1 sample"),
        ({"length": [4, 0, 6]}, "length 0 is not at least 1 sample"),
        ({"length": [4, 5]}, "2 lengths do not fit 3 samples"),
        ({"length": 13}, "length 13 is more than the local conditions cover: 4 frames × hop 3 = 12 samples"),
        ({"length": [4, 5, 13]}, "length 13 is more than the local conditions cover"),
        ({"given": torch.zeros(3, 1, 6).long(), "length": [12, 5, 8]}, "6 positions are given, more than the shortest"),
        ({"given": torch.zeros(3, 1, 13).long()}, r"`given` is \(3, 1, 13\)"),
        ({"given": torch.zeros(2, 1, 4).long()}, r"`given` is \(2, 1, 4\); expected \(3 or 1, 1, 12\)"),
        ({"given": torch.zeros(3, 2, 4).long()}, r"`given` is \(3, 2, 4\)"),
        ({"given": torch.zeros(3, 4).long()}, r"`given` is \(3, 4\)"),
        ({"given": torch.zeros(3, 1, 4)}, "`given` must hold whole levels from 0 to 5"),
        ({"given": torch.full((3, 1, 4), 6)}, "`given` must hold whole levels from 0 to 5"),
        ({"known": torch.ones(4).bool()}, "needs both `given` and `known`"),
        ({"given": torch.zeros(3, 1, 4).long(), "known": torch.ones(5).bool()}, r"`known` is \(5,\); expected \(4,\)"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(make_wavenet, make_melodies, options, message):
    model = make_wavenet(hop=3)
    with pytest.raises(ValueError, match=message):
        draw(model, make_melodies(model, 3, 4), **options)


@pytest.mark.parametrize("options", [{"top_k": 2}, {"top_p": 0.5}])
@pytest.mark.parametrize("output", OUTPUTS[1:])
def test_top_k_and_top_p_are_refused_for_other_outputs(make_wavenet, make_melodies, output, options):
    model = make_wavenet(output, hop=3)
    with pytest.raises(ValueError, match=f"for categorical outputs; this model's output is '{output}'"):
        draw(model, make_melodies(model, 3, 4), **options)


def test_a_length_is_needed_where_no_local_condition_says(make_wavenet):
    model = make_wavenet(conditioning="none")
    with pytest.raises(ValueError, match="no local condition says how long the audio should be: give a length"):
        draw(model, num_samples=2)
    assert draw(model, num_samples=2, length=7).x.shape == (2, 1, 7)


def test_an_image_has_no_length(make_model):
    with pytest.raises(ValueError, match="a length is for audio"):
        draw(make_model(conditioning="none"), length=5)


# Noise.


@pytest.mark.parametrize("shape", [(7,), (9, 1), (9, 2), (9, 3), (9, 4), (9, 5), (6, 2, 3), (8, 1, 1)], ids=str)
def test_noise_may_begin_anywhere(shape):
    whole = uniform_noise(7, [3, 0], shape)
    for skip in range(shape[0]):
        tail = uniform_noise(7, [3, 0], (shape[0] - skip, *shape[1:]), skip=skip)
        assert torch.equal(tail, whole[:, skip:])


def test_noise_far_on_is_that_of_a_long_draw():
    assert torch.equal(uniform_noise(1, [2], (5, 3), skip=100_000), uniform_noise(1, [2], (100_005, 3))[:, 100_000:])


# Streams.


def joined(chunks):
    chunks = list(chunks)
    return Samples(torch.cat([c.x for c in chunks], -1), torch.stack([c.log_prob for c in chunks]).sum(0))


@conditionings
@outputs
@pytest.mark.parametrize("chunk", [1, 5, 12, 100])
def test_the_chunks_of_a_stream_are_the_sample(make_wavenet, make_melodies, conditioning, output, chunk):
    model = make_wavenet(output, conditioning, hop=3)
    conditions = make_melodies(model, 3, 4)
    options = {"num_samples": 3, "seed": 4, "first_index": 2, "length": 12 if conditioning == "none" else None}
    chunks = list(stream(model, conditions, chunk=chunk, **options))
    assert [c.x.shape[-1] for c in chunks] == [min(chunk, 12 - at) for at in range(0, 12, chunk)]
    assert same(joined(chunks), draw(model, conditions, **options))


def test_a_stream_is_tempered_as_a_sample_is(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, levels=8)
    conditions, options = make_melodies(model, 3, 4), {"temperature": 0.7, "top_k": 5, "top_p": 0.8, "length": 10}
    assert same(joined(stream(model, conditions, chunk=4, **options)), draw(model, conditions, **options))


def test_a_stream_without_an_end_goes_on(make_wavenet):
    model = make_wavenet("gaussian", "none")
    chunks = itertools.islice(stream(model, chunk=5, num_samples=2), 5)
    assert same(joined(chunks), draw(model, num_samples=2, length=25))


@outputs
@pytest.mark.parametrize("conditioning", ["none", "film", "concat"])
def test_a_stream_goes_on_exactly_from_a_saved_state(tmp_path, make_wavenet, make_melodies, conditioning, output):
    model = make_wavenet(output, conditioning, hop=3, kernel_size=3)
    conditions, options = make_melodies(model, 2, 6), {"num_samples": 2, "length": 18, "seed": 3}
    whole = draw(model, conditions, **options)
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
    rest = stream(model, conditions, chunk=5, state=StreamState.load(tmp_path / "state"))
    assert same(joined(rest), draw(model, conditions))


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


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"nonsense", saved([1, 2]), saved({"step": torch.tensor(1)}), saved({"past.0": torch.zeros(2, 1, 4)}),
        saved(torch.zeros(3)), saved({"step": torch.tensor(1), "past.1": torch.zeros(2, 1, 4)}),
        saved({"step": torch.tensor(1), "past.0": torch.zeros(2, 1, 4)})[:200], saved(nn.Linear(1, 1)),
        saved({"step": "one", "past.0": torch.zeros(2, 1, 4)}), saved({"step": torch.tensor(1), "past.0": 3}),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_state_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(ValueError, match="state holds no state of a stream") as found:
        StreamState.load(tmp_path / "state")
    assert "\n" not in str(found.value)


def test_a_missing_state_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing holds no state of a stream"):
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 0}, "chunk 0 is not at least 1 sample"),
        ({"length": 13}, "length 13 is more than the local conditions cover: 4 frames × hop 3 = 12 samples"),
        ({"length": 0}, "length 0 is not at least 1 sample"),
        ({"length": -1}, "length -1 is not at least 1 sample"),
        ({"num_samples": 4}, "num_samples 4 does not fit conditions with 3 rows"),
        ({"temperature": 0}, "temperature 0 is not at least 0.0001"),
        ({"seed": -1}, "whole numbers from 0"),
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


# What a network learns is what it plays.

RATE, FRAME, PITCHES = 1000, 50, torch.tensor([50.0, 73.0, 110.0])


def sines(ids, time):
    """Levels of a sine wave per id, at a random phase and with a little noise that teaches to come back to it."""
    phase, t = 2 * math.pi * torch.rand(len(ids), 1), torch.arange(time) / RATE
    wave = 0.8 * torch.sin(2 * math.pi * PITCHES[ids][:, None] * t + phase)
    return QUANTIZATION.encode(wave + 0.05 * torch.randn_like(wave))[:, None]


def constant(ids, time):
    return torch.nn.functional.one_hot(ids, 3).float()[..., None].expand(-1, -1, time // FRAME)


def fitted(output, encoder, hop, conditions):
    """A small WaveNet over-fitted to sine waves; `conditions(ids, time)` tell it which."""
    torch.manual_seed(0)
    network = WaveNet(256, output, 2, "scalar", channels=16, layers=5, stacks=1, sample_rate=RATE, hop=hop,
                      companding="linear")  # fmt: skip
    model, steps = ConditionalModel(network, {"id": encoder}, "film"), 250
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    ids = torch.arange(12) % 3
    for _ in range(steps):
        loss = -model.log_prob(sines(ids, 300), {"id": conditions(ids, 300)}).mean() / 300
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model


def pitch(x):
    """The frequency of the highest peak, in Hz, by a parabola through its logarithm and its neighbours'."""
    waveform = QUANTIZATION.decode(x).double()
    spectrum = torch.fft.rfft((waveform - waveform.mean()) * torch.hann_window(len(waveform)), 2**16).abs()
    peak = int(spectrum.argmax())
    left, middle, right = spectrum[peak - 1 : peak + 2].log().tolist()
    return (peak + (left - right) / (left - 2 * middle + right) / 2) * RATE / 2**16


def test_the_measure_of_pitch_knows_a_sine():
    torch.manual_seed(0)
    for x, expected in zip(sines(torch.arange(3), 1000), PITCHES, strict=True):
        assert abs(pitch(x[0]) - expected) < 0.1


@pytest.mark.slow
def test_each_speaker_sings_at_its_own_pitch():
    model = fitted("gaussian", ClassEmbedding(8, num_classes=3), 1, lambda ids, time: ids)
    drawn = draw(model, {"id": torch.arange(3)}, length=1200, temperature=0.05)
    assert [pitch(x[0, 200:]) for x in drawn.x] == pytest.approx(PITCHES.tolist(), abs=1)


@pytest.mark.slow
def test_a_melody_is_sung_as_its_frames_say():
    """Each row sings one pitch for 1.2 s and then the next one."""
    model, ids = fitted("categorical", FrameSequence(3, 8), FRAME, constant), torch.arange(3)
    melody = torch.cat([constant(ids, 1200), constant((ids + 1) % 3, 1200)], dim=-1)
    drawn = draw(model, {"id": melody}, temperature=0.05)
    assert [pitch(x[0, 200:1200]) for x in drawn.x] == pytest.approx(PITCHES.tolist(), abs=1)
    assert [pitch(x[0, 1400:]) for x in drawn.x] == pytest.approx(PITCHES.roll(-1).tolist(), abs=1)
