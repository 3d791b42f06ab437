"""The order of training: decided by (seed, epoch), and taken up where it was left."""

import torch

from condgen.data.resumable import ResumableLoader, Shuffled


def test_an_order_holds_every_row_once_and_depends_on_seed_and_epoch_alone():
    orders = {}
    for seed in (0, 1, 2**63 + 5):
        for epoch in (0, 1):
            sampler = Shuffled(50, seed)
            sampler.set_epoch(epoch)
            torch.manual_seed(epoch)
            orders[seed, epoch] = list(sampler)
            assert sorted(orders[seed, epoch]) == list(range(50))
            assert list(sampler) == orders[seed, epoch]
    assert len({tuple(order) for order in orders.values()}) == len(orders)


def test_a_loader_leaves_out_what_was_given_once_it_is_asked_and_not_before():
    given = [0]
    loader = ResumableLoader(list(range(10)), lambda: given[0], batch_size=2)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    batches = iter(loader)
    given[0] = 3  # the trainer restores its counters after it has made the iterator
    assert [batch.tolist() for batch in batches] == [[6, 7], [8, 9]]
    assert len(loader) == 5
