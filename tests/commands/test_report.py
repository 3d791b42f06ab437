"""The report for people says of what the figures are."""

from condgen.commands.report import describe, markdown


def test_data_are_named_with_their_options_and_what_was_changed():
    settings = {"source": {"class_path": "condgen.data.MNIST", "init_args": {"binarize": "fixed", "download": True}},
                "changed": {"root": "elsewhere"}}  # fmt: skip
    assert describe(settings) == "MNIST (binarize fixed, root elsewhere)"
    assert describe({"source": {"class_path": "condgen.data.Digits"}, "changed": {}}) == "Digits"


def test_a_change_of_the_source_shows_the_new_value():
    settings = {"source": {"class_path": "condgen.data.CIFAR10", "init_args": {"bits": 8}}}
    assert describe({**settings, "changed": {"source": {"bits": 3}}}) == "CIFAR10 (bits 3)"


def figures_of(classes):
    """Figures of many classes; the later a class, the less of what real ones have its samples have."""
    fidelity = dict.fromkeys(("accuracy", "shuffled", "coverage", "frechet", "within"), 0.5)
    of = {f"s{i}": {"count": 3, "read": 1 - i / classes, "real_read": 1.0, "diversity": 1.0} for i in range(classes)}
    samples = {"count": 9, **fidelity, "floor": fidelity, "held_out_accuracy": 0.9, "by_class": of, "alarms": [],
               "samplings": [fidelity]}  # fmt: skip
    return {"checkpoint": "0" * 64, "weights": "ema", "seed": 0, "samplings": 1, "samples": {"speaker": samples},
            "data": {"source": {"class_path": "condgen.data.Digits"}, "changed": {}}}  # fmt: skip


def test_of_many_classes_a_table_shows_the_worst():
    rows = [line for line in markdown(figures_of(1000)).splitlines() if line.startswith("| s")]
    named = [row.split(" | ")[0].removeprefix("| ") for row in rows if row[3].isdigit()]
    assert named == [f"s{i}" for i in range(999, 979, -1)]
    assert "The 20 of 1,000 that lack most of what real ones have" in markdown(figures_of(1000))
    few = [line for line in markdown(figures_of(40)).splitlines() if line[:3] == "| s" and line[3].isdigit()]
    assert len(few) == 40


def test_of_several_samplings_the_mean_is_written_with_its_spread():
    report = figures_of(2)
    samples = report["samples"]["speaker"]
    low, high = ({**samples["samplings"][0], "accuracy": value} for value in (0.7, 0.9))
    report["samplings"], samples["samplings"], samples["accuracy"] = 2, [low, high], 0.8
    text = markdown(report)
    assert "samples drawn 2 times" in text
    assert "| read as asked | 80.0% ± 14.1% |" in text  # √2 · 0.1
    assert "| held-out examples covered | 50.0% ± 0.0% |" in text
