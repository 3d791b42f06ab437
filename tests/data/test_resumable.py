"""The order of training: decided by (seed, epoch), shared out among processes, and taken up where it was left."""

import pickle
from types import SimpleNamespace

import pytest
import torch

from condgen.data.resumable import ResumableLoader, SeededRow, TrainingRows, beside, generator_of, shuffled


def rows(count=50, seed=0, batch_size=4, rank=None, processes=1, epoch=0):
    trainer = None if rank is None else SimpleNamespace(global_rank=rank, world_size=processes)
    sampler = TrainingRows(count, shuffled(count), seed, batch_size, trainer)
    sampler.set_epoch(epoch)
    return sampler


def test_an_order_holds_every_row_once_and_depends_on_seed_and_epoch_alone():
    orders = {}
    for seed in (0, 1, 2**63 + 5):
        for epoch in (0, 1):
            sampler = rows(seed=seed, epoch=epoch)
            torch.manual_seed(epoch)
            orders[seed, epoch] = [(int(row), row.seed) for row in sampler]
            assert sorted(row for row, _ in orders[seed, epoch]) == list(range(50))
            assert [(int(row), row.seed) for row in sampler] == orders[seed, epoch]
            assert len({own for _, own in orders[seed, epoch]}) == len(sampler) == 50
    assert len({tuple(order) for order in orders.values()}) == len(orders)


@pytest.mark.parametrize("count", [48, 50, 49, 53, 3])
@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_batches_of_one_and_have_equally_many(count, processes):
    """With 53 rows and 2 × 4 rows a batch, the last global batch has 5; with 49, one, which both processes see."""
    whole = list(rows(count, batch_size=4 * processes))
    parts = [list(rows(count, rank=rank, processes=processes)) for rank in range(processes)]
    assert [len(part) for part in parts] == [len(rows(count, rank=r, processes=processes)) for r in range(processes)]
    batches = [[part[i : i + 4] for i in range(0, len(part), 4)] for part in parts]
    assert len({len(own) for own in batches}) == 1
    for i, together in enumerate(zip(*batches, strict=True)):
        wanted = whole[i * 4 * processes : (i + 1) * 4 * processes]
        found = [row for part in together for row in part]
        assert all(together)
        if len(wanted) >= processes:
            assert [(int(row), row.seed) for row in found] == [(int(row), row.seed) for row in wanted]
        else:
            assert {*found} == {*wanted}


def test_what_is_random_about_a_row_follows_from_its_seed_and_purpose_in_every_process():
    row = SeededRow(3, 2**63 - 1)
    copy = pickle.loads(pickle.dumps(row))
    assert (copy, copy.seed, torch.arange(5)[copy]) == (3, row.seed, 3)

    def draw(own, purpose):
        return torch.rand(4, generator=generator_of(own, purpose)).tolist()

    assert draw(row, "crop") == draw(copy, "crop") == draw(beside(row, 7), "crop")
    assert len({tuple(draw(own, word)) for own in (row, SeededRow(3, 5)) for word in ("crop", "levels")}) == 4
    assert generator_of(3, "crop") is None
    assert type(beside(3, 7)) is int


def test_a_loader_leaves_out_what_was_given_once_it_is_asked_and_not_before():
    given = [0]
    loader = ResumableLoader(list(range(10)), lambda: given[0], batch_size=2)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    batches = iter(loader)
    given[0] = 3  # the trainer restores its counters after it has made the iterator
    assert [batch.tolist() for batch in batches] == [[6, 7], [8, 9]]
    assert len(loader) == 5
