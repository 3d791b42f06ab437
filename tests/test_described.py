"""What is built by hand describes itself as a configuration would: its class, and the arguments given or left out."""

import copy
import json
from pathlib import Path

import pytest
from torch import nn

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, Folder, Images
from condgen.described import describe, described
from condgen.models import PixelCNN


class Wide(PixelCNN):
    """A network of one's own, with other arguments than the one that it derives from."""

    def __init__(self, times: int, *, output: str = "categorical", **options: int) -> None:
        super().__init__((1, 4, 4), 3, output, channels=2 * times, head=4, **options)


class Plain(nn.Module):
    """A network that does not say what it was built with."""


def test_a_description_holds_what_was_given_and_what_was_left_out():
    found = describe(Wide(2, layers=1))
    arguments = {"times": 2, "output": "categorical", "layers": 1}
    assert found == {"class_path": f"{__name__}.Wide", "init_args": arguments}


def test_parts_are_described_at_every_depth_as_plain_data():
    found = describe({"digit": ClassEmbedding(3, names=("a", "b")), "more": [Images(Digits(), 5)], "path": Path("x")})
    assert json.loads(json.dumps(found)) == found
    assert found["digit"]["init_args"] == {"features": 3, "names": ["a", "b"], "num_classes": None}
    assert found["more"][0]["init_args"]["source"] == {"class_path": "condgen.data.image_sources.Digits",
                                                      "init_args": {}}  # fmt: skip
    assert found["path"] == "x"


def test_a_copy_describes_itself_as_the_original_does():
    original = ClassEmbedding(3, num_classes=4)
    assert describe(copy.deepcopy(original)) == describe(original)
    assert describe(copy.copy(Digits())) == describe(Digits())


def test_wrong_arguments_are_refused_by_the_class_itself():
    with pytest.raises(TypeError, match="'colour'"):
        ClassEmbedding(3, colour="red")
    with pytest.raises(TypeError, match="'root'"):
        Folder()


def test_what_cannot_be_described_is_named_with_what_to_do():
    with pytest.raises(ValueError, match=r"Plain was built with is not known: decorate it with condgen\.described\.de"):
        describe([Plain()])

    @described
    class Inside:
        def __init__(self):
            self.here = True

    with pytest.raises(ValueError, match="Inside cannot be imported from where it stands: move it to the top"):
        describe(Inside())
