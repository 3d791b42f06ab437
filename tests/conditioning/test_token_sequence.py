"""Words in a row, as a caption has them."""

import re

import pytest
import torch
from torch.nn import functional as F

from condgen.conditioning import DataCondition, TokenSequence
from condgen.conditioning.contract import TokenEncoder, missing
from condgen.conditioning.token_sequence import padded_ids, tokens
from condgen.conditioning.values import as_tensor

WORDS = ["a", "large", "on", "seven", "small", "the"]


def make(**options):
    torch.manual_seed(0)
    return TokenSequence(5, WORDS, 3, **options).double()


def ids_of(*captions):
    return padded_ids([caption.split() for caption in captions], WORDS)


def test_a_word_is_its_place_in_the_vocabulary_from_one_and_zero_is_none():
    assert ids_of("a small seven", "the").tolist() == [[1, 5, 4], [6, 0, 0]]


def test_the_result_is_the_state_after_the_last_word_whatever_stands_behind_it_and_in_other_rows():
    encoder, ids = make(), ids_of("a small seven", "the", "small a")
    together = encoder(ids)
    for row, count in enumerate((3, 1, 2)):
        alone = encoder(ids[row : row + 1, :count])
        vectors = encoder.embedding(ids[row : row + 1, :count] - 1)
        assert torch.allclose(alone, encoder.recurrence(vectors)[1][0], rtol=0, atol=1e-12)
        assert torch.allclose(together[row], alone[0], rtol=0, atol=1e-12)
        assert torch.allclose(encoder(F.pad(ids[row : row + 1, :count], (0, 4))), alone, rtol=0, atol=1e-12)


def test_the_order_of_words_counts():
    encoder = make()
    assert not torch.allclose(encoder(ids_of("a small seven")), encoder(ids_of("small a seven")))


def test_there_is_a_state_after_each_word_and_zeros_behind_the_last():
    encoder, ids = make(), ids_of("a small seven", "the")
    states, present = encoder.states(ids)
    assert missing(encoder, TokenEncoder) == []
    assert present.tolist() == [[True, True, True], [True, False, False]]
    assert states.shape == (2, 5, 3)
    assert torch.allclose(states[0, :, 1], encoder(ids_of("a small"))[0], rtol=0, atol=1e-12)
    assert not states[1, :, 1:].any()


@pytest.mark.parametrize(("ids", "message"), [
    (torch.zeros(2, 3, dtype=torch.long), "a caption has no words"),
    (torch.zeros(2, 0, dtype=torch.long), "a caption has no words"),
    (torch.tensor([[1, 0, 2]]), "has 0 before a word"),
    (torch.tensor([[0, 1]]), "or 0 before one"),
    (torch.tensor([[1, 7]]), "ids of words [7] are out of range: there are 6 words, from 1, and 0 for none"),
    (torch.tensor([[-1, 1]]), "ids of words [-1] are out of range"),
    (torch.tensor([1, 2]), "(batch, tokens) whole numbers; got (2,) of torch.int64"),
    (torch.rand(1, 2), "(batch, tokens) whole numbers; got (1, 2) of torch.float32"),
])  # fmt: skip
def test_what_is_no_row_of_words_is_refused(ids, message):
    with pytest.raises(ValueError, match=re.escape(message)) as found:
        make()(ids)
    assert "\n" not in str(found.value)


def test_captions_are_cut_at_blanks_without_capitals_and_marks():
    assert tokens(' A small, "Seven" on the   left. ') == ["a", "small", "seven", "on", "the", "left"]
    assert tokens(" ,. ") == []


def test_a_caption_is_one_value_and_a_semicolon_stands_between_several():
    parsed = make().parse("A small, Seven; the seven on the  large seven")
    assert [(label, ids.tolist()) for label, ids in parsed] == [
        ("A small, Seven", [1, 5, 4]), ("the seven on the large seven", [6, 4, 3, 6, 2, 4]),
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [
    ("", "is without words; say it with some of these: a, large, on, seven, small, the"),
    ("a seven; ", "is without words"),
    ("a smal seven", "has no word 'smal' (did you mean small?); its words: a, large, on, seven, small, the"),
    ("a zebra", "has no word 'zebra'; its words: a, large"),
])  # fmt: skip
def test_words_that_are_not_known_are_refused_with_near_ones_and_all(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as found:
        make().parse(text)
    assert "\n" not in str(found.value)


def test_of_many_words_an_error_names_some():
    encoder = TokenSequence(2, [f"word{i}" for i in range(500)])
    with pytest.raises(ValueError, match=r"word59, …$"):
        encoder.parse("zebra")


def test_the_words_are_the_datas_and_must_agree_with_them():
    captions = DataCondition(WORDS, given="caption")
    assert TokenSequence.completed({"features": 2}, captions) == {"features": 2, "names": WORDS}
    assert TokenSequence.completed({"names": ["a"]}, captions) == {"names": ["a"]}
    make().check(captions, hop=1)
    with pytest.raises(ValueError, match=r"words are \[.*\], the data's are \['a'\]"):
        make().check(DataCondition(["a"], given="caption"), hop=1)
    for other, remedy in ((DataCondition(["a"], given="class"), "a class; use ClassEmbedding"),
                          (DataCondition(), "an array"), (DataCondition(size=2, hop=1), "frames")):  # fmt: skip
        with pytest.raises(ValueError, match=f"needs the words of captions, and the data give {remedy}"):
            TokenSequence.completed({}, other)
        with pytest.raises(ValueError, match=f"takes words, and the data give {remedy}"):
            make().check(other, hop=1)
    for names in (None, []):
        with pytest.raises(ValueError, match="needs the names of the words"):
            TokenSequence(2, names)


def test_captions_of_different_lengths_in_python_are_rows_of_one_tensor():
    assert as_tensor("caption", make(), ["a small seven", "the"]).tolist() == [[1, 5, 4], [6, 0, 0]]
    assert as_tensor("caption", make(), "the; a seven").tolist() == [[6, 0], [1, 4]]
