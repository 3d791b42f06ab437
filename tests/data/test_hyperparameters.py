"""What a module was built from is stored as plain data, under public class paths, and built again."""

import copy

import pytest
from torch import nn

from condgen.data.hyperparameters import FORMAT, build, innermost, write_format
from condgen.models import PixelCNN

PIXELCNN = {"class_path": "condgen.models.PixelCNN", "init_args": {"shape": [1, 4, 4], "channels": 4, "layers": 1}}


def test_the_format_and_the_public_path_of_every_class_are_written():
    private = {"_class_path": "condgen.training.likelihood.LikelihoodTask",
               "network": {"class_path": "condgen.models.pixelcnn.PixelCNN", "init_args": {"shape": (1, 4, 4)}},
               "conditions": {"a": {"class_path": "condgen.conditioning.encoders.ClassEmbedding"}}}  # fmt: skip
    data = {"_class_path": "condgen.data.images.Images",
            "source": {"class_path": "condgen.data.image_sources.Digits"}}  # fmt: skip
    checkpoint = {"hyper_parameters": private, "datamodule_hyper_parameters": data, "state_dict": {}}
    before = copy.deepcopy(private)
    write_format(checkpoint)
    assert checkpoint["format"] == FORMAT
    assert checkpoint["hyper_parameters"] == {
        "_class_path": "condgen.training.LikelihoodTask",
        "network": {"class_path": "condgen.models.PixelCNN", "init_args": {"shape": [1, 4, 4]}},
        "conditions": {"a": {"class_path": "condgen.conditioning.ClassEmbedding"}},
    }
    assert checkpoint["datamodule_hyper_parameters"] == {
        "_class_path": "condgen.data.Images", "source": {"class_path": "condgen.data.Digits"},
    }  # fmt: skip
    assert private == before


def test_a_class_that_is_nowhere_shorter_keeps_its_path():
    checkpoint = {"hyper_parameters": {"_class_path": "torch.nn.modules.pixelshuffle.PixelShuffle", "n": 1}}
    write_format(checkpoint)
    assert checkpoint["hyper_parameters"]["_class_path"] == "torch.nn.PixelShuffle"
    checkpoint = {"hyper_parameters": {"_class_path": "condgen.models.pixelcnn.GatedBlock"}}
    write_format(checkpoint)
    assert checkpoint["hyper_parameters"]["_class_path"] == "condgen.models.pixelcnn.GatedBlock"


def test_plain_data_are_built_with_the_types_that_classes_declare_and_stay_as_they_are():
    before = copy.deepcopy(PIXELCNN)
    built = build(dict[str, nn.Module], {"a": PIXELCNN})["a"]
    assert isinstance(built, PixelCNN)
    assert built.shape == (1, 4, 4)
    assert before == PIXELCNN


def test_what_does_not_describe_such_a_thing_raises():
    with pytest.raises(ValueError, match="colours"):
        build(nn.Module, {**PIXELCNN, "init_args": {"colours": 3}})
    with pytest.raises(ValueError, match="Digits"):
        build(nn.Module, {"class_path": "condgen.data.Digits"})


TREE = """Parser key "data":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'LightningDataModule'>, <class 'NoneType'>]
  Errors:
    - Parser key "source":
{}
    - Expected a <class 'NoneType'>
  Given value type: <class 'dict'>
  Given value: {{'class_path': 'condgen.data.Images'}}"""
UNION = """        Parser key "size":
          Does not validate against any of the Union subtypes
          Subtypes: [tuple[int, int], <class 'NoneType'>]
          Errors:
            - Expected a <class 'tuple'>
            - Expected a <class 'NoneType'>
          Given value type: <class 'int'>
          Given value: 3"""
CAUSES = {
    "a line": ("        Option 'm' is not accepted", "Option 'm' is not accepted"),
    "several lines": ("        first line\n          deeper\n        third", "first line deeper third"),
    "below a path": ("\n        - Expected a path but m.A either not accessible\n        - No module named 'm'",
                     "No module named 'm'"),
    "a class": ("        Problem with given class_path 'm.A':\n          No module named 'm'", "No module named 'm'"),
    "a protocol": ("        Import path condgen.data.Manifest does not implement protocol ImageSource",
                   "Import path condgen.data.Manifest does not implement protocol ImageSource: it has no method load"
                   "(self, split: Split) -> Labelled"),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), CAUSES.values(), ids=CAUSES)
def test_of_a_tree_of_types_the_cause_is_shown(lines, expected):
    assert innermost(TREE.format(lines)) == f"data.source: {expected}"


def test_of_a_union_the_value_is_shown():
    assert innermost(TREE.format(UNION)) == "data.source.size: Expected a <class 'tuple'>. Got value: 3"


def test_what_is_no_tree_stays_as_it_is():
    assert innermost("photos is not there") == "photos is not there"
    assert innermost('Parser key "config": File does not exist: a.yaml') == "config: File does not exist: a.yaml"
