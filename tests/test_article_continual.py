"""The recipe of tasks one after another."""

import importlib
import math
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parent.parent / "recipes" / "article"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("continual")


def learn(recipe, network, row, penalty, first=False, importance=None, anchors=None):
    recipe.learn(network, row, recipe.tasks(0)[row], penalty, 5, first, torch.Generator().manual_seed(0),
                 importance or {}, anchors or {})  # fmt: skip


def rows(network, task):
    return network.generator({"task": torch.tensor([task])}).flatten()


def test_tasks_are_the_same_digits_with_their_pixels_in_other_orders(recipe):
    first, second = recipe.tasks(0, 2)
    assert torch.equal(first.train[1], second.train[1])
    assert torch.equal(first.train[0].sort(1).values, second.train[0].sort(1).values)
    assert not torch.equal(first.train[0], second.train[0])
    assert sum(len(split[1]) for split in (first.train, first.val, first.test)) == 1797


def test_the_splits_share_no_digit(recipe):
    task = recipe.tasks(3, 1)[0]
    assert len(torch.cat([split[0] for split in (task.train, task.val, task.test)]).unique(dim=0)) > 1790


def test_a_task_leaves_the_rows_of_the_others_as_they_are(recipe):
    network = recipe.Network(True)
    learn(recipe, network, 0, 0.0, first=True)
    before = [rows(network, task) for task in range(3)]
    learn(recipe, network, 1, 0.0)
    after = [rows(network, task) for task in range(3)]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_with_an_infinite_penalty_nothing_is_forgotten(recipe):
    network, x = recipe.Network(True), torch.randn(3, 64)
    learn(recipe, network, 0, math.inf, first=True)
    before = network(x, 0)
    learn(recipe, network, 1, math.inf)
    assert torch.equal(network(x, 0), before)


def test_both_kinds_share_as_many_weights(recipe):
    counts = [sum(w.numel() for w in recipe.Network(film).shared.values()) for film in (False, True)]
    assert counts[0] == counts[1] == 64 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10
    assert not list(recipe.Network(False).generator.parameters())


def test_fisher_information_is_the_mean_square_of_single_gradients(recipe):
    network, x = recipe.Network(True), torch.randn(4, 64)
    found = recipe.fisher(network, 1, x, torch.Generator().manual_seed(0))
    drawn = torch.multinomial(network(x, 1).softmax(1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    squares = []
    for one, label in zip(x, drawn, strict=True):
        loss = torch.nn.functional.cross_entropy(network(one[None], 1), label[None])
        squares.append(torch.autograd.grad(loss, network.head.weight)[0].square())
    torch.testing.assert_close(found["head.weight"], torch.stack(squares).mean(0))


def test_the_penalty_pulls_to_where_each_task_ended(recipe):
    network = recipe.Network(False)
    ends = {n: torch.randn_like(w) for n, w in network.shared.items()}
    weights = {n: torch.rand_like(w) for n, w in network.shared.items()}
    pull = recipe.pull(network, weights, {n: weights[n] * ends[n] for n in ends})
    straight = sum((weights[n] * (w - ends[n]) ** 2).sum() for n, w in network.shared.items())
    ours, theirs = (torch.autograd.grad(value, network.head.weight)[0] for value in (pull, straight))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
