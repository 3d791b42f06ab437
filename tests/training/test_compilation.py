"""A network is compiled where that is asked for, and by itself where it gains."""

from types import SimpleNamespace

import pytest

from condgen.training.compilation import compile_for_training


@pytest.mark.parametrize(
    ("wanted", "precision", "fixed", "compiled"),
    [
        (None, "bf16-mixed", True, True),
        (None, "16-mixed", True, True),
        (None, "32-true", True, False),
        (None, "bf16-mixed", False, False),
        (True, "32-true", False, True),
        (False, "bf16-mixed", True, False),
    ],
)
@pytest.mark.parametrize("compiler", [True, False])
def test_a_network_is_compiled_where_that_is_wanted_or_gains(monkeypatch, wanted, precision, fixed, compiled, compiler):
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/c++" if compiler else None)
    calls = []
    network = SimpleNamespace(compile=lambda: calls.append(1))
    if wanted and not compiler:
        with pytest.raises(ValueError, match=r"needs a C\+\+ compiler and there is none; set model.compile to false"):
            compile_for_training(network, wanted, precision, fixed)
    else:
        compile_for_training(network, wanted, precision, fixed)
    assert len(calls) == (compiled and compiler)
