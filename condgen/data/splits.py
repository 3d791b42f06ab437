"""Which examples of one's own train, validate and test: by the hash of their names, so that others can be added.

The rule, for the examples of one class, ordered by the fraction between 0 and 1 that `fraction` makes of each name:
those below `test_share` are tested, those below `test_share + val_share` validate, and the rest train. The one with the
largest fraction trains in any case. In a class of at least `ENOUGH` examples, the one with the smallest fraction is
tested in any case, and the first one after the tested ones validates in any case.

So the three splits are three runs of this order, and when an example is added:

- at most two others of its class move, and none of another class;
- none moves from testing to training: where the new one takes the place of the only tested one, that one validates from
  then on, and the only one that validated so far trains;
- where the shares alone give a class an example of each split, none moves at all.

No rule that sees only the present names can promise more. Suppose that every class of at least 10 has a held-out
example, and that none that is held out ever trains after others are added: then of any 10 names one is held out alone,
and still is among more names, so that never more than 9 could train.

Published data sets keep their published splits. See `Manifest` for a column that says the split of each example.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence

from condgen.data.batch import Split

ENOUGH = 10
ORDER: tuple[Split, ...] = ("test", "val", "train")


def fraction(name: str) -> float:
    """Turn a name into a fraction from 0 to 1: the first 8 hexadecimal digits of its SHA-256."""
    # One name may be written with composed letters or decomposed ones, depending on the file system.
    return (
        int(hashlib.sha256(unicodedata.normalize("NFC", name).encode(errors="surrogatepass")).hexdigest()[:8], 16)
        / 2**32
    )


def split_class(names: Sequence[str], val_share: float = 0.1, test_share: float = 0.1) -> dict[str, Split]:
    """Split the examples of one class; see the rule above.

    Args:
        names: names, each once.
        val_share: share for validation; without one, none validates.
        test_share: share for testing; without one, none is tested.
    """
    order = sorted((fraction(name), name) for name in names)
    needed = [int(share > 0 and len(order) >= ENOUGH) for share in (test_share, val_share)]
    tested = sum(place < test_share for place, _ in order)
    held_out = sum(place < test_share + val_share for place, _ in order)
    tested = max(tested, needed[0])
    held_out = min(max(held_out, tested + needed[1]), len(order) - 1)
    tested = min(tested, held_out - needed[1])
    return {name: "test" if i < tested else "val" if i < held_out else "train" for i, (_, name) in enumerate(order)}


def split_labelled(
    labels: Mapping[str, Mapping[str, str]], val_share: float = 0.1, test_share: float = 0.1
) -> dict[str, Split]:
    """Split examples with a class for each of several conditions, so that every class of each has its share.

    An example that one condition's rule has train although its fraction is small trains; otherwise it is tested if any
    condition's rule tests it, or validates if any has it validate.

    Args:
        labels: class per condition, by the name of the example.
        val_share: share for validation.
        test_share: share for testing.
    """
    conditions = list(next(iter(labels.values()), {}))
    rules = [_by_class({name: own[condition] for name, own in labels.items()}, val_share, test_share)
             for condition in conditions] or [split_class(list(labels), val_share, test_share)]  # fmt: skip
    return {name: _strictest(fraction(name) < val_share + test_share, [rule[name] for rule in rules])
            for name in labels}  # fmt: skip


def _by_class(classes: Mapping[str, str], val_share: float, test_share: float) -> dict[str, Split]:
    members: dict[str, list[str]] = {}
    for name, label in classes.items():
        members.setdefault(label, []).append(name)
    return {name: split for own in members.values() for name, split in split_class(own, val_share, test_share).items()}


def _strictest(is_small: bool, found: Sequence[Split]) -> Split:
    if is_small and "train" in found:
        return "train"
    return next(split for split in ORDER if split in found)
