"""What a module was built from is stored as plain data, under public class paths, and built again."""

import copy

import pytest
from torch import nn

from condgen.data.hyperparameters import FORMAT, build, write_format
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
