"""Splits by hash: every class is measured, and an example that is added moves hardly any other."""

from hypothesis import given
from hypothesis import strategies as st

from condgen.data.splits import ENOUGH, fraction, split_class, split_labelled

names = st.sets(st.text("abcdefghij", min_size=1, max_size=6), min_size=1, max_size=60)
shares = st.tuples(st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.49]), st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.49]))


def test_the_fraction_is_the_one_that_was_published_and_does_not_depend_on_how_letters_are_composed():
    assert fraction("a.wav") == 0xBC30C538 / 2**32
    assert fraction("\u00e9.wav") == fraction("e\u0301.wav")


@given(names, shares)
def test_every_class_trains_and_a_large_one_is_measured(members, shares):
    splits = list(split_class(sorted(members), *shares).values())
    assert "train" in splits
    if len(members) >= ENOUGH:
        assert ("val" in splits) == (shares[0] > 0)
        assert ("test" in splits) == (shares[1] > 0)


@given(names, st.text("abcdefghij", min_size=1, max_size=6), st.sampled_from([0.05, 0.1, 0.3]))
def test_one_more_moves_at_most_two_and_none_from_testing_to_training(members, new, share):
    before = split_class(sorted(members), share, share)
    after = split_class(sorted(members | {new}), share, share)
    moved = [(before[name], after[name]) for name in members if before[name] != after[name]]
    assert len(moved) <= 2
    assert ("test", "train") not in moved


@given(names, names, shares)
def test_where_the_shares_alone_serve_every_split_none_moves(members, new, shares):
    def base(name):
        val, test = shares
        return "test" if fraction(name) < test else "val" if fraction(name) < test + val else "train"

    alone = {name: base(name) for name in members}
    needed = {"train"} | ({"val"} if shares[0] else set()) | ({"test"} if shares[1] else set())
    if set(alone.values()) >= needed:
        assert split_class(sorted(members), *shares) == alone
        assert alone.items() <= split_class(sorted(members | new), *shares).items()


def test_the_order_of_the_names_does_not_matter():
    members = [f"{i}.png" for i in range(40)]
    assert split_class(members) == split_class(members[::-1])


def test_of_many_examples_the_shares_are_held_out():
    splits = list(split_class([f"{i}.png" for i in range(4000)]).values())
    assert abs(splits.count("val") - 400) < 80
    assert abs(splits.count("test") - 400) < 80


def test_every_class_of_every_condition_trains_and_is_tested():
    labels = {f"{s}_{i}": {"speaker": s, "digit": str(i % 3)} for s in "abcdefgh" for i in range(20)}
    labels |= {"lonely": {"speaker": "z", "digit": "0"}}
    splits = split_labelled(labels, 0.05, 0.05)
    for condition in ("speaker", "digit"):
        for label in {own[condition] for own in labels.values()} - {"z"}:
            found = {splits[name] for name, own in labels.items() if own[condition] == label}
            assert {"train", "test"} <= found
    assert splits["lonely"] == "train"
    assert set(split_labelled({name: {} for name in labels}).values()) == {"train", "val", "test"}
