"""The report for people says of what the figures are."""

from condgen.commands.report import describe


def test_data_are_named_with_their_options_and_what_was_changed():
    settings = {"source": {"class_path": "condgen.data.MNIST", "init_args": {"binarize": "fixed", "download": True}},
                "changed": {"root": "elsewhere"}}  # fmt: skip
    assert describe(settings) == "MNIST (binarize fixed, root elsewhere)"
    assert describe({"source": {"class_path": "condgen.data.Digits"}, "changed": {}}) == "Digits"


def test_a_change_of_the_source_shows_the_new_value():
    settings = {"source": {"class_path": "condgen.data.CIFAR10", "init_args": {"bits": 8}}}
    assert describe({**settings, "changed": {"source": {"bits": 3}}}) == "CIFAR10 (bits 3)"
