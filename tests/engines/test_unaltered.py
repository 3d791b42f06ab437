"""A network that was altered is not run by an engine that knows its steps by heart."""

import warnings

import pytest
import torch

from condgen.engines.choice import choose


class Adapted(torch.nn.Linear):
    """A linear map that does more."""

    def forward(self, x):
        return 2 * super().forward(x)


def another_activation(network):
    network.head[0] = torch.nn.LeakyReLU()


def no_activation(network):
    network.head[2] = torch.nn.Identity()


def adapted(network):
    network.layers[0].output.__class__ = Adapted


def patched(network):
    network.layers[1].forward = network.layers[1].forward


def another_norm(network):
    network.layers[0].film.normalise = torch.nn.LayerNorm(8)


@pytest.mark.parametrize("alter", [another_activation, no_activation, adapted, patched, another_norm])
@pytest.mark.parametrize("engine", ["auto", "compiled", "graph"])
def test_a_network_that_was_altered_is_not_taken_for_what_it_was(make_wavenet, alter, engine):
    network = make_wavenet(conditioning="none", weight_norm=alter is patched).float().network
    assert choose(engine, network).name != "cached"
    alter(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = choose(engine, network)
    assert chosen.name == "cached"
    assert "it has been altered" in chosen.why


def test_hooks_on_all_modules_are_heeded(make_wavenet):
    network = make_wavenet(conditioning="none").float().network
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert "hooks on all modules" in choose("auto", network).why
    handle.remove()
    assert choose("auto", network).name == "compiled"
