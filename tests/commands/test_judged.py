"""The table of the judges from outside: each figure stands in the column of what it was read from."""

from condgen.commands.judged import table_of_judges


def kinds(samples, training, held_out):
    return {"samples": samples, "training": training, "held_out": held_out}


def test_each_judge_has_its_rows_with_the_floors_beside_the_samples():
    judges = {
        "speaker": {"similarity": kinds(0.7, 0.9, 0.8), "to_others": kinds(0.6, 0.6, 0.6),
                    "nearest": kinds(0.5, 1, 0.9)},
        "words": {"digit": kinds(0.25, 0.75, 0.5)},
        "naturalness": {"overall": kinds(1, 3, 2), "overall_spread": kinds(0.1, 0.3, 0.2), "speech": kinds(1, 3, 2),
                        "clips": kinds(50, 50, 50)},
        "prdc": {"coverage (digit)": {"samples": 0.4, "training": 0.8}},
    }  # fmt: skip
    text = "\n".join(table_of_judges(judges))
    assert "| similarity to the voice asked for, mean cosine (Resemblyzer) | 0.700 | 0.900 | 0.800 |" in text
    assert "| nearest to the voice asked for | 50.0% | 100.0% | 90.0% |" in text
    assert "| digit recognised as the word asked for (PocketSphinx) | 25.0% | 75.0% | 50.0% |" in text
    assert "mean and spread of 50 clips (DNSMOS) | 1.00 ± 0.10 | 3.00 ± 0.30 | 2.00 ± 0.20 |" in text
    assert "| coverage (digit), to held-out examples | 0.400 | 0.800 |  |" in text
    assert "learnt from sound of 16 kHz" in text


def test_without_judges_there_is_no_table_and_without_speech_no_word_of_its_rate():
    assert table_of_judges({}) == []
    assert "16 kHz" not in "\n".join(table_of_judges({"prdc": {"recall (digit)": {"samples": 0.4, "training": 0.8}}}))
