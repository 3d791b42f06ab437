"""Multi-hop generation: one uniform hop, what is never looked at, how it starts, and how conditions are dropped."""

from types import MappingProxyType

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from condgen.conditioning import ClassEmbedding, FeatureMap, FiLM, FiLMGenerator, GammaBeta, MultiHopGenerator
from condgen.conditioning.multi_hop import MultiHop
from condgen.models import ConditionalGenerator, ConditionalModel, Generator, PixelCNN

LAYERS = {"a": FiLM(3), "b": FiLM(2), "c": FiLM(4)}
WORDS = torch.tensor([[2, 1, 3, 0], [4, 0, 0, 0], [3, 2, 0, 0]])


class Words(nn.Module):
    """Words, (batch, tokens) of whole numbers, 0 for padding: their vectors, and the mean of these for the whole."""

    scope, classes, names, around = "global", None, None, 0
    named_axes = MappingProxyType({})
    completed = check = parse = None

    def __init__(self, features=6):
        super().__init__()
        self.features, self.vectors = features, nn.Embedding(5, features)

    def states(self, words):
        return self.vectors(words).transpose(1, 2), words > 0

    def forward(self, words):
        states, present = self.states(words)
        return (states * present[:, None]).sum(2) / present.sum(1, keepdim=True)


def generator(conditioning="film", random=True, **options):
    torch.manual_seed(0)
    conditions = conditioning if isinstance(conditioning, dict) else ["caption"]
    known = {"caption": Words(), "digit": ClassEmbedding(4, num_classes=3), "map": FeatureMap(1, 2)}
    made = MultiHopGenerator({name: known[name] for name in conditions}, LAYERS, conditioning, **options).double()
    for parameter in made.parameters() if random else ():
        nn.init.normal_(parameter)
    return made.eval()


def test_one_hop_of_uniform_attention_is_a_linear_head_on_the_mean_of_the_states():
    """Strub et al. 2018: with weights of 1/tokens, e_1 is the mean, and m_1 its layer norm."""
    encoder = Words().double()
    made = MultiHopGenerator({"caption": encoder}, {"a": FiLM(3)}, "film").double()
    linear = FiLMGenerator({"caption": encoder}, {"a": FiLM(3)}, "film").double()
    for parameter in (made.delta["caption"].weight, made.beta["caption"].weight):
        nn.init.normal_(parameter)
    nn.init.zeros_(made.memory["caption"].query)
    pair, memory = made({"caption": WORDS})["a"], F.layer_norm(encoder(WORDS), (6,))
    torch.testing.assert_close(pair.gamma, 1 + memory @ made.delta["caption"].weight.T)
    torch.testing.assert_close(pair.beta, memory @ made.beta["caption"].weight.T)
    assert {*made.state_dict()} == {*linear.state_dict(), "memory.caption.query"}


def test_each_hop_attends_by_what_the_hop_before_it_remembered():
    """e_k = Σ_t softmax_t(s_t · Q_k m_{k−1} / √features) s_t, written out token by token."""
    hops = MultiHop(3, 2).double()
    states, present = torch.randn(1, 3, 4, dtype=torch.float64), torch.tensor([[True, True, True, False]])
    memory = torch.randn(1, 3, dtype=torch.float64)
    found = hops(memory, states, present)
    for k in range(2):
        query = hops.query[k] @ memory[0]
        scores = torch.stack([states[0, :, t] @ query / 3**0.5 for t in range(3)])
        weights = scores.exp() / scores.exp().sum()
        memory = F.layer_norm(sum(weights[t] * states[0, :, t] for t in range(3)), (3,))[None]
        torch.testing.assert_close(found[..., k], memory)


def test_padding_has_no_influence_whatever_stands_there():
    made, encoder = generator(), Words().double()
    alone = made({"caption": WORDS[2:, :2]}).flatten()
    torch.testing.assert_close(made({"caption": WORDS}).flatten()[2:], alone)
    hops, (states, present) = made.memory["caption"], encoder.states(WORDS)
    spoilt = states.masked_fill(~present[:, None], torch.nan)
    assert torch.equal(hops(encoder(WORDS), spoilt, present), hops(encoder(WORDS), states, present))


@pytest.mark.parametrize("conditioning", ["bias", "scale", "gate", "film"])
def test_a_new_generator_gives_the_unconditional_network_bit_for_bit(conditioning):
    torch.manual_seed(0)
    network = PixelCNN((1, 4, 4), 4, layers=2, channels=4, head=4)
    model = ConditionalModel(network, {"caption": Words()}, conditioning, film_generator="multi_hop").eval()
    x = torch.rand(3, 1, 4, 4).mul(4).floor() / 2 - 1
    film = model.film({"caption": WORDS})
    assert torch.equal(model.network(x, film), model.network(x, {name: GammaBeta() for name in film}))


def test_concatenation_behind_hops_reads_each_layers_own_memory():
    torch.manual_seed(0)
    network = Generator((1, 8, 8), noise=3, channels=2)
    model = ConditionalGenerator(network, {"caption": Words()}, "concat", film_generator="multi_hop").double().eval()
    made = model.film_generator
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    encoder = made.encoders["caption"]
    memories = made.memory["caption"](encoder(WORDS), *encoder.states(WORDS))
    for i, pair in enumerate(made({"caption": WORDS}).values()):
        torch.testing.assert_close(pair.inner, made.concat["caption"][i](memories[..., i]))


def test_conditions_without_tokens_go_through_the_usual_heads_and_are_added():
    made = generator({"caption": "film", "digit": "film", "map": "bias"})
    conditions = {"caption": WORDS, "digit": torch.tensor([0, 1, 2]), "map": torch.randn(3, 1, 2, 2).double()}
    encoders = made.encoders
    usual = FiLMGenerator({n: encoders[n] for n in ("digit", "map")}, LAYERS, {"digit": "film", "map": "bias"}).double()
    usual.load_state_dict(made.state_dict(), strict=False)
    alone = generator()
    alone.load_state_dict({k: v for k, v in made.state_dict().items() if ".caption." in k})
    both = made(conditions)
    first, second = alone({"caption": WORDS}), usual({name: conditions[name] for name in ("digit", "map")})
    for name, pair in both.items():
        torch.testing.assert_close(pair.gamma, first[name].gamma + second[name].gamma - 1)
        torch.testing.assert_close(pair.beta, first[name].beta[..., None, None] + second[name].beta)


def test_a_dropped_caption_is_none_at_every_layer():
    made = generator(dropout=0.5)
    absent = made.without({"caption": WORDS}).flatten()
    weight, none = (made.beta["caption"].weight, made.none["caption"])
    torch.testing.assert_close(
        torch.cat([pair.beta for pair in made.without({"caption": WORDS}).values()], 1), (weight @ none).expand(3, -1)
    )
    torch.manual_seed(0)
    rows = made.train()({"caption": WORDS[:1].repeat(100, 1)}).flatten()
    assert 25 < (rows == absent[0]).all(1).sum() < 75


def test_hidden_layers_act_on_every_memory_alike():
    made = generator(depth=1)
    encoder, hidden = made.encoders["caption"], made.hidden["caption"]
    memories = made.memory["caption"](encoder(WORDS), *encoder.states(WORDS))
    for k, (pair, weight) in enumerate(
        zip(made({"caption": WORDS}).values(), made.beta["caption"].weight.split([3, 2, 4]), strict=True)
    ):
        torch.testing.assert_close(pair.beta, torch.relu(hidden[0](memories[..., k])) @ weight.T)


def test_a_row_without_tokens_and_a_model_without_any_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^condition 'caption': row 1 has no token to attend to$"):
        generator()({"caption": torch.tensor([[1, 2], [0, 0]])})
    with pytest.raises(ValueError, match=r"attends to the tokens of a condition, and no condition has any: digit. "):
        generator({"digit": "film"})
    with pytest.raises(ValueError, match="unknown film_generator 'many'; known: linear, multi_hop"):
        ConditionalModel(PixelCNN((1, 4, 4), 4, layers=2, channels=4, head=4), {}, "none", film_generator="many")


def test_everything_learns_after_one_step():
    made = generator(random=False).train()
    optimizer, target = torch.optim.SGD(made.parameters(), lr=0.1), torch.randn(3, 18).double()
    for _ in range(2):
        optimizer.zero_grad()
        (made({"caption": WORDS}).flatten() - target).square().sum().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in made.parameters())
