"""Runs every recipe of the article that has not told its story yet, and writes the page that maps article to code.

    python recipes/article/all.py

Two recipes run at a time, with one thread each. What is finished is not repeated: figures are kept one by one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from claim import Story, table
from jsonargparse import auto_cli
from tqdm import tqdm

HERE = Path(__file__).parent
RECIPES = ("visual_reasoning", "style_transfer", "segmentation", "self_conditioned", "reading", "instructions",
           "continual", "speech_adaptation", "few_shot", "zero_shot")  # fmt: skip
FRONT = """# The article, runnable

Dumoulin et al., ["Feature-wise transformations"](https://distill.pub/2018/feature-wise-transformations), Distill 2018,
lists some twenty-five systems and says that they are one idea: something reads a source of information and writes
(γ, β), and something else applies γ ⊙ x + β. Here each of them is a small program on `condgen.conditioning`, and its
paper's central claim is checked in miniature, on data that are made on the spot. A claim counts as decided where the
95 % interval over the seeds lies on one side; a failed reproduction is a result too, of this miniature, not of the
paper's own experiment.

"""


def run(name: str, out: Path, seeds: int | None, effort: float, fsdd: str | None) -> str | None:
    """Run a recipe; return the last line of what it said if it failed."""
    options = ["--out", str(out), "--effort", str(effort), *(["--seeds", str(seeds)] if seeds else [])]
    speech = ["--fsdd", fsdd] if fsdd and name == "speech_adaptation" else []
    command = [sys.executable, str(HERE / f"{name}.py"), *options, *speech]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with (out / f"{name}.log").open("w") as log:
        code = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT).returncode
    lines = (out / f"{name}.log").read_text().split("\n")
    return None if code == 0 else next((line for line in reversed(lines) if line.strip()), f"exit status {code}")


def page(stories: list[Story]) -> str:
    """Write the page: an overview, then a section with a table and a picture per recipe."""
    overview = ["| recipe | what the article says | verdicts |", "| --- | --- | --- |"]
    for s in stories:
        verdicts = "; ".join(dict.fromkeys(f"{c.system}: {c.verdict}" for c in s.claims))
        overview.append(f"| [`{s.name}.py`]({s.name}.py) | {s.article} | {verdicts} |")
    minutes = sum(s.seconds for s in stories) / 60
    cost = f"All of it took {minutes:.0f} minutes of a core. `python recipes/article/all.py` writes this page.\n"
    sections = []
    for s in stories:
        share = "" if s.effort == 1 else f", at {s.effort:g} of the full effort"
        title = s.name.replace("_", " ").capitalize()
        sections.append("\n".join([f"## {title}", "", s.article, "", *table(s), "", f"![{s.caption}]({s.name}.png)", "",
                                   s.caption, "", f"`python recipes/article/{s.name}.py`: {s.seconds / 60:.1f} minutes "
                                   f"of a core{share}.", ""]))  # fmt: skip
    return FRONT + "\n".join([*overview, "", cost, *sections])


def main(
    out: str = "runs/article",
    seeds: int | None = None,
    effort: float = 1.0,
    workers: int = 2,
    recipes: Sequence[str] = RECIPES,
    fsdd: str | None = None,
) -> None:
    """Run the recipes and write DIR/README.md.

    Args:
        out: folder for figures, stories, pictures and the page.
        seeds: number of seeds; left out, each recipe's own.
        effort: share of the full training budget; 1 is what the page is made with.
        workers: recipes that run at a time.
        recipes: recipes to run.
        fsdd: folder of the Free Spoken Digit Dataset's recordings; without it, eSpeak speaks.
    """
    folder, bar, lock = Path(out), tqdm(total=len(recipes), desc="recipes"), threading.Lock()
    folder.mkdir(parents=True, exist_ok=True)
    failed: dict[str, str] = {}

    def one(name: str) -> None:
        said = run(name, folder, seeds, effort, fsdd)
        with lock:
            bar.update()
            if said is not None:
                failed[name] = said

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, recipes))
    bar.close()
    stories = [Story.read(file) for name in RECIPES if (file := folder / f"{name}.json").is_file()]
    (folder / "README.md").write_text(page(stories))
    for name, said in failed.items():
        print(f"all: {name} failed: {said} ({folder / name}.log has the rest)", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    auto_cli(main)
