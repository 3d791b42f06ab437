"""`condgen sample`: draw from a checkpoint, with nothing but the checkpoint.

Only what says how the command is called stands here: its help shall not wait for PyTorch.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from condgen.commands.parser import parse
from condgen.printable import printable


def sample(
    ckpt_path: str,
    out: str,
    condition: dict[str, str] | None = None,
    num_samples: int = 1,
    seconds: float | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance: float = 0.0,
    film_guidance: float = 0.0,
    truncation: float | None = None,
    weights: Literal["ema", "live"] = "ema",
    prime: str | None = None,
    complete: str | None = None,
    keep_rows: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    engine: str = "auto",
    part: str | None = None,
    trust: Sequence[str] = (),
    overwrite: bool = False,
    command: str = "",
) -> None:
    """Draw from a checkpoint. Every file says how it was made: `condgen show FILE`.

    Ctrl-C and SIGTERM end it after the batch. What is finished is kept in OUT.unfinished, also when it is killed, and
    the same command goes on from there.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote.
        out: folder for a PNG or WAV file per sample, such as `digit=7_0003.png`; of more than 1,000, in folders of
            1,000 by index, such as `0000-0999`. It also gets a picture of some, manifest.jsonl, and samples.npz where
            all are of one size. It appears when all is done.
        condition: `--condition.NAME VALUE` for each condition of the model. The value is a class's name (or, where no
            name is a number, its position from 0), a list `a,b,c`, or `all`; tags are joined with `+`; for what is
            measured of audio, or a voice that is shown, an audio file or a list `a.wav,b.wav`; for phonemes, the text
            to say; for a caption, its words, or several captions `a;b`; for a picture that is shown, a picture, or a
            list of these; for other conditions, an .npy file with a row per value. Several conditions are combined,
            every value with every value.
        num_samples: samples per combination.
        seconds: length of the audio, where no condition says.
        seed: seed of the noise: that of sample i depends on (seed, i) alone, not on batch size, device or engine.
        temperature: temperature of the distribution: below 1 for typical samples, above 1 for varied ones.
        top_k: most probable levels to draw from each time.
        top_p: probability that the levels to draw from must reach together, taking the most probable first.
        guidance: weight by which the conditions are turned up, in the logits of each step, of a model that was trained
            with `condition_dropout`: 1 or 2 for clearer and less varied samples, -1 to draw without conditions. Takes
            twice the time.
        film_guidance: weight by which the conditions are turned up in the FiLM parameters; takes no time.
        truncation: bound of the noise of adversarial generators, ± this, for more typical and less varied samples.
        weights: running average of the weights (`ema`), or the last ones (`live`).
        prime: audio file with which every sample begins, at its own level.
        complete: image to complete: a picture, or an .npy file of levels (channels, height, width).
        keep_rows: upper rows of that image to keep.
        batch_size: samples drawn together.
        device: `auto`, `cpu`, `cuda`, …
        engine: `auto` (the fastest exact one that the model fits), `compiled`, `compiled_bfloat16`, `graph`,
            `triton`, `cached` or `naive`; see `condgen.sampling.sample`.
        part: share of the request to draw, such as 3/16, in whole batches, into OUT.part-03-of-16; `condgen merge` puts
            all parts together.
        trust: modules besides condgen whose classes the checkpoint may name.
        overwrite: permission to replace an existing folder.
        command: command line that the files shall name.
    """
    from condgen.checkpoint import Checkpoint
    from condgen.commands.conditions import combine, taken_by_position, warn_of_untrained
    from condgen.commands.drawing import draw
    from condgen.commands.options import refuse_foreign
    from condgen.commands.output import refuse
    from condgen.commands.plan import Part
    from condgen.commands.request import picture_reader, request
    from condgen.commands.unfinished import remove_leftovers

    share = Part() if part is None else Part.parse(part)
    final = share.folder(Path(out).resolve())
    remove_leftovers(final)
    refuse(final, overwrite)
    checkpoint = Checkpoint.open(ckpt_path, trust)
    model, front_end = checkpoint.model(weights, device), checkpoint.front_end()
    tempering: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p,
                                 "guidance": guidance, "film_guidance": film_guidance}  # fmt: skip
    completing: dict[str, Any] = {"prime": prime, "complete": complete, "keep_rows": keep_rows}
    refuse_foreign(model, truncation, **tempering, **completing, seconds=seconds, engine=engine)
    combinations = combine(model, condition or {}, front_end, seconds, picture_reader(model, checkpoint.framing))
    by_position = taken_by_position(model, condition or {})
    warn_of_untrained(checkpoint.untrained, {n: [row.labels.get(n, "") for row in combinations]
                                             for n in model.encoders})  # fmt: skip
    if num_samples < 1 or batch_size < 1:
        name, value = ("num_samples", num_samples) if num_samples < 1 else ("batch_size", batch_size)
        raise ValueError(f"{name} {value} is not at least 1")
    lengths = [row.length for row in combinations if row.length is not None] or None
    asked = request(model, front_end, lengths, truncation=truncation, engine=engine, tempering=tempering,
                    completing=completing, framing=checkpoint.framing)  # fmt: skip
    facts = {"seed": seed, "weights": weights, **asked.facts, "engine": engine, "checkpoint": checkpoint.sha256,
             **({"by_position": by_position} if by_position else {}),
             **({"command": command} if command else {})}  # fmt: skip
    options = {**asked.options, "num_samples": num_samples, "batch_size": batch_size, "seed": seed}
    drawn = draw(final, model, combinations, options, facts, share, overwrite)
    place = out if part is None else share.folder(Path(out))
    print(f"{drawn.samples} samples in {place}: {drawn.files}; {drawn.engine}")
    for name, words in by_position.items():
        meant = ", ".join(f"{word} is '{label}'" for word, label in words.items())
        print(f"condgen: condition '{name}': no class has such a name, so it was taken by position: {printable(meant)}",
              file=sys.stderr)  # fmt: skip


def run(argv: list[str]) -> None:
    """Run `condgen sample`."""
    options = parse(sample, argv)
    sample(**options, command=shlex.join(["condgen", *_of_the_whole(argv)]))


def _of_the_whole(argv: list[str]) -> list[str]:
    """Return a command line without what does not decide the samples, so that all parts name the same one."""
    kept, dropped = [], False
    for argument in argv:
        if not dropped and argument != "--overwrite" and argument.split("=")[0] != "--part":
            kept.append(argument)
        dropped = argument == "--part"
    return kept
