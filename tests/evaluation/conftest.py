"""The handwritten digits, and small models of them, shared by the tests of evaluation."""

import pytest
import torch

from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, Images
from condgen.models import ConditionalModel, PixelCNN


@pytest.fixture(scope="session")
def digits():
    data = Images(Digits())
    data.setup()
    return data


@pytest.fixture(scope="session")
def make_digits_model():
    """Build an untrained model of the digits, whose conditions change what it says."""

    def make(conditioning="bias", conditions=None):
        torch.manual_seed(0)
        network = PixelCNN((1, 8, 8), 17, channels=4, layers=2, head=4, first_kernel_size=3)
        encoders = conditions or {"digit": ClassEmbedding(3, names=Digits().names["digit"])}
        model = ConditionalModel(network, encoders, conditioning).eval()
        with torch.no_grad():
            for parameter in model.film_generator.parameters():
                parameter.normal_(std=0.3)
        return model

    return make
