"""Words or symbols in a row, such as a caption, to a global vector, and to a state per word to be attended to."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

import torch
from torch import Tensor, nn

from condgen.conditioning.agreement import agree, beyond, refuse_kind, remedy
from condgen.conditioning.contract import DataCondition, Scope
from condgen.conditioning.names import spelled
from condgen.described import described

BETWEEN = ";"  # stands between captions of one text; a comma may stand within one
MARKS = '.,:;!?"()'  # not counted as part of a word at whose ends they stand
LISTED = 60  # words that an error names


def tokens(caption: str) -> list[str]:
    """Cut a caption at its blanks into words, in lower case and without marks at their ends."""
    return [word for part in spelled(caption).lower().split() if (word := part.strip(MARKS))]


def padded_ids(captions: list[list[str]], names: list[str]) -> Tensor:
    """Return the ids of the words of captions, (captions, tokens), with 0 behind the last of each; see `TokenSequence`.

    Args:
        captions: words of each caption, all of which have an id.
        names: words in the order of their ids.
    """
    places = {name: i for i, name in enumerate(names, 1)}
    rows = [torch.tensor([places[word] for word in caption], dtype=torch.long) for caption in captions]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def caption_of(ids: Tensor, names: list[str]) -> str:
    """Return the words that the ids of a row, (tokens,), stand for."""
    return " ".join(names[i - 1] for i in ids.tolist() if i)


@described
class TokenSequence(nn.Module):
    """Words in a row to the last state of a GRU: (batch, tokens) whole numbers to (batch, features).

    The first word of `names` has the id 1, and 0 stands behind the last word of a row that is shorter than others.

    Args:
        features: length of the vector, and of the state after each word.
        names: words that may occur, in the order of their ids. Left out on the command line, they are the data's.
        embedding: length of a word's vector.
    """

    scope: Scope = "global"
    classes = None
    around = 0
    named_axes: Mapping[str, int] = MappingProxyType({"embedding.weight": 0})

    def __init__(self, features: int = 64, names: list[str] | None = None, embedding: int = 32) -> None:
        super().__init__()
        if not names:
            raise ValueError("TokenSequence needs the names of the words")
        self.features, self.names = features, list(names)
        self.embedding = nn.Embedding(len(self.names), embedding)
        self.recurrence = nn.GRU(embedding, features, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids, (batch, tokens) of whole numbers, to the state after the last word of each row."""
        states, present = self.states(ids)
        last = present.sum(1) - 1
        return states.gather(2, last[:, None, None].expand(-1, self.features, 1)).squeeze(2)

    def states(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state after each word, (batch, features, tokens), and where there are words, (batch, tokens)."""
        self._check(condition)
        present = condition > 0
        # What follows the last word is read as the first one: the states before it do not depend on it.
        vectors = self.embedding((condition.long() - 1).clamp(min=0))
        states, _ = self.recurrence(vectors)
        return states.transpose(1, 2) * present[:, None], present

    def _check(self, ids: Tensor) -> None:
        if ids.ndim != 2 or ids.is_floating_point():
            raise ValueError(f"ids of words are (batch, tokens) whole numbers; got {tuple(ids.shape)} of {ids.dtype}")
        wrong = beyond(ids, len(self.names) + 1)
        if wrong:
            raise ValueError(f"ids of words {wrong} are out of range: there are {len(self.names)} words, from 1, and 0 "
                             "for none")  # fmt: skip
        if torch.compiler.is_exporting():
            return
        present = ids > 0
        if not ids.shape[1] or not bool(present[:, 0].all()):
            raise ValueError("a caption has no words, or 0 before one; 0 stands behind the last word alone")
        if bool((present[:, 1:] & ~present[:, :-1]).any()):
            raise ValueError("a caption has 0 before a word; 0 stands behind the last word alone")

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Take the words from the data if they are not given."""
        if arguments.get("names") is not None:
            return dict(arguments)
        if data.kind != "words":
            raise ValueError(f"needs the words of captions, and the data give {data.kind}{remedy(data)}")
        return {**arguments, "names": data.names}

    def check(self, data: DataCondition, hop: int) -> None:
        """Compare the words with the data's."""
        refuse_kind("words", data, data.kind != "words")
        agree("the model's words are", self.names, "the data's are", data.names)

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Read a caption, or several with `;` between them: words that occurred in training, in any case."""
        captions = [" ".join(part.split()) for part in text.split(BETWEEN)]
        return [(caption, self._ids(caption)) for caption in captions]

    def _ids(self, caption: str) -> Tensor:
        """Return the ids of a caption, (tokens,)."""
        words, known = tokens(caption), set(self.names)
        if not words:
            raise ValueError(f"is without words; say it with some of these: {self._some()}")
        unknown = next((word for word in words if word not in known), None)
        if unknown is not None:
            near = get_close_matches(unknown, self.names, 3, 0.6)
            meant = f" (did you mean {' or '.join(near)}?)" if near else ""
            raise ValueError(f"has no word '{unknown}'{meant}; its words: {self._some()}")
        return padded_ids([words], self.names)[0]

    def _some(self) -> str:
        return ", ".join(self.names[:LISTED]) + (", …" if len(self.names) > LISTED else "")
