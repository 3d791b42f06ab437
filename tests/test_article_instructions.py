"""The grid world of the recipe on instructions: its worlds, its shortest paths, what is held out, and its rewards."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes" / "article"))  # recipes import by name

import instructions as recipe


def worlds(count=300, asked=None, seed=0):
    return recipe.worlds(count, asked or recipe.SEEN, torch.Generator().manual_seed(seed))


def test_held_out_pairs_are_neither_asked_for_nor_shown_in_training_and_use_known_words():
    kinds, _, _ = worlds(2000)
    asked, _, _ = worlds(2000, recipe.HELD_OUT)
    assert set(asked[:, 1:].flatten().tolist()) & set(recipe.HELD_OUT)  # so that being new tells nothing there
    assert not set(kinds.flatten().tolist()) & set(recipe.HELD_OUT)
    seen = [recipe.KINDS[kind] for kind in recipe.SEEN]
    for kind in recipe.HELD_OUT:
        colour, shape = recipe.KINDS[kind]
        assert any(c == colour for c, _ in seen)
        assert any(s == shape for _, s in seen)


def test_both_words_of_an_instruction_are_needed():
    kinds, cells, agent = worlds(asked=recipe.HELD_OUT)
    names = [[recipe.KINDS[kind] for kind in row] for row in kinds.tolist()]
    for (colour, shape), same_colour, same_shape, other in names:
        assert same_colour[0] == colour
        assert same_colour[1] != shape
        assert same_shape[1] == shape
        assert same_shape[0] != colour
        assert other[0] != colour
        assert other[1] != shape
    assert all(len({*row, place}) == 5 for row, place in zip(cells.tolist(), agent.tolist(), strict=True))


def test_the_picture_shows_every_object_where_it_is_with_the_agent_in_the_middle():
    kinds, cells, agent = worlds(20)
    pictures, size, middle = recipe.see(kinds, cells, agent), recipe.CELL, recipe.SIDE - 1
    for picture, objects, places, own in zip(pictures, kinds, cells, agent, strict=True):
        for kind, place in zip(objects, places, strict=True):
            y, x = middle + place // recipe.SIDE - own // recipe.SIDE, middle + place % recipe.SIDE - own % recipe.SIDE
            assert torch.equal(picture[:, size * y : size * (y + 1), size * x : size * (x + 1)], recipe.TILES[kind])


def test_shortest_paths_reach_the_object_asked_for_and_no_other():
    _, cells, agent = worlds()
    for _ in range(recipe.STEPS):
        agent = torch.where(
            (agent[:, None] == cells).any(1), agent, recipe.move(agent, recipe.shortest(cells, agent).int().argmax(1))
        )
    reachable = (agent == cells[:, 0]).float().mean()  # now and then, others wall it off
    assert reachable > 0.98
    assert not (agent[:, None] == cells[:, 1:]).any(1).logical_and(agent == cells[:, 0]).any()


def test_a_policy_that_follows_shortest_paths_of_the_other_instruction_fails(monkeypatch):
    """The measure of success counts the object asked for, whatever the policy is."""

    def perfect(column):
        def policy(asked, pictures):
            order = torch.tensor([column, *(i for i in range(4) if i != column)])
            return recipe.shortest(state["cells"][:, order], state["agent"]).float().log()

        return policy

    state, see = {}, recipe.see

    def remembering(kinds, cells, agent):
        state.update(cells=cells, agent=agent)
        return see(kinds, cells, agent)

    monkeypatch.setattr(recipe, "see", remembering)
    assert recipe.success(perfect(0), recipe.SEEN, 200) > 97
    assert recipe.success(perfect(1), recipe.SEEN, 200) == 0


def test_variants_have_almost_the_same_number_of_parameters():
    sizes = []
    for layer, conditioning in recipe.VARIANTS.values():
        policy = recipe.Instructed(recipe.Policy(), [layer], conditioning)
        sizes.append(sum(p.numel() for p in policy.parameters()))
    assert max(sizes) < 1.02 * min(sizes)


def test_concatenation_to_the_vector_of_the_map_is_a_bias():
    policy = recipe.Policy().double()
    flat, z = torch.rand(3, policy.join.in_features).double(), torch.rand(3, 7).double()
    wide = torch.rand(policy.join.out_features, 7).double()
    concatenated = torch.cat([flat, z], 1) @ torch.cat([policy.join.weight, wide], 1).T + policy.join.bias
    torch.testing.assert_close(policy.join(flat) + z @ wide.T, concatenated, atol=1e-12, rtol=0)
