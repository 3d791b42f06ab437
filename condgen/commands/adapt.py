"""`condgen adapt`: a new class of a trained model, from a few examples; all that it knew stays as it was.

Only what says how the command is called stands here: its help shall not wait for PyTorch.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

from condgen.commands.output import output_folder
from condgen.commands.parser import parse
from condgen.commands.quiet import quiet
from condgen.pretrained import CARD

EXAMPLES = ("examples of the new class, all of which are learnt from: files, folders of them, or a .csv or .jsonl "
            "table of recordings; those that the table, or their names by the rule of the training data, say to be of "
            "another class are left out")  # fmt: skip


def adapt(
    ckpt_path: str,
    out: str,
    examples: Sequence[str],
    condition: dict[str, str] | None = None,
    what: Literal["embedding", "film"] = "embedding",
    average_of: str = "all",
    steps: int = 60,
    learning_rate: float = 0.1,
    prior: float = 1.0,
    batch_size: int = 4,
    seed: int = 0,
    device: str = "auto",
    trust: Sequence[str] = (),
    overwrite: bool = False,
    command: str = "",
) -> None:
    """Teach a trained model a new class from a few examples, and change nothing else.

    Only the numbers of the new class are learnt; what the model draws for all others is equal to the last bit. The
    result is a folder as `condgen export` writes it, with weights of 32 bits, which every command takes.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote.
        out: folder for the model with the new class. It appears when all is done.
        examples: paths of the examples.
        condition: `--condition.NAME NEW`, which names the new class; and, where the examples do not say them by a
            table or by their names, a class of each other condition, which then holds for all examples.
        what: numbers that are learnt: the class's row of the `embedding`, from which γ and β are made, or `film`: every
            γ and β itself.
        average_of: classes whose mean is the start: `a,b,c`, or `all`.
        steps: steps of Adam; 0 for the start itself.
        learning_rate: learning rate at the start, in units of how much the known classes differ; it falls to 0.
        prior: weight of the prior around the start, which is as wide as the known classes differ; 0 for none.
        batch_size: examples of a step, at most.
        seed: seed of the order of the examples.
        device: `auto`, `cpu`, `cuda`, …
        trust: modules besides condgen whose classes the checkpoint may name.
        overwrite: permission to replace an existing model.
        command: command line that the card shall name.
    """
    from condgen import exported
    from condgen.checkpoint import Checkpoint
    from condgen.commands.export_card import Said, card_of
    from condgen.commands.given_examples import NewClass, examples_of
    from condgen.commands.grown import adaptable, described, grown, new_class, with_class
    from condgen.models.conditional import ConditionalModel
    from condgen.training.adaptation import Adaptation, learn

    with output_folder(out, overwrite) as folder, TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        plan = Adaptation(what, steps, learning_rate, batch_size, prior, seed)
        checkpoint = Checkpoint.open(ckpt_path, trust)
        model = adaptable(checkpoint)
        new = NewClass(*new_class(model, condition or {}))
        start = grown(checkpoint, model, *new, average_of, what)
        larger = cast(ConditionalModel, start.model("ema", device))
        found = examples_of(start, larger, new, examples, condition or {}, Path(cache) / "prepared")
        learnt = learn(larger, new.condition, found, plan)
        facts = {**asdict(plan), "condition": new.condition, "class": new.name, "average_of": average_of,
                 "examples": len(found), "bits": [learnt.before, learnt.after], "moved": learnt.moved}  # fmt: skip
        result = with_class(start, *new, len(found), learnt.state)
        exported.write(folder, described(checkpoint, result, facts), result.model().state_dict(), "32-bit")
        words = shlex.join(exported.placeless(word) for word in shlex.split(command))
        told = f"then {new.condition} '{new.name}' alone, its {what}, {steps} steps on {len(found)} examples"
        said = Said(words, told, None, None)
        text = card_of(Path(out).resolve().name, Checkpoint.open(folder, trust), "32-bit", None, said)
        (folder / CARD).write_text(text, encoding="utf-8")
    print(f"{out}: the model of {ckpt_path} with {new.condition} '{new.name}', learnt from {len(found)} examples; bits "
          f"per {model.network.dim} of these {learnt.before:.3f} → {learnt.after:.3f}, and the class is "
          f"{learnt.moved:.2f} of the others' spread away from its start")  # fmt: skip


def run(argv: list[str]) -> None:
    """Run `condgen adapt`."""
    with quiet(logging.WARNING):
        adapt(**parse(adapt, argv, EXAMPLES), command=shlex.join(["condgen", *argv]))
