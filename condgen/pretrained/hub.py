"""Exported models on the Hugging Face hub; for this, and nothing else, condgen needs `huggingface_hub`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import ModelHubMixin, snapshot_download

from condgen.pretrained import CARD, CONFIG, HUB, WEIGHTS

NAME = re.compile(rf"{HUB}(?P<model>[\w.-]+/[\w.-]+)(?:@(?P<revision>\S+))?")


class Exported(ModelHubMixin, library_name="condgen"):  # type: ignore[call-arg, unused-ignore]
    """The folder of an exported model. Its three files go there and come from there, and no others: a repository's code
    is not even fetched.

    Args:
        folder: folder that `condgen export` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _save_pretrained(self, save_directory: Path) -> None:
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(self.folder / name, save_directory / name)
        if (self.folder / CARD).is_file():
            text = (self.folder / CARD).read_text(encoding="utf-8")
            # The hub reads, from lines before the text, which library a model is of.
            known = "" if text.startswith("---") else f"---\n{self._hub_mixin_info.model_card_data.to_yaml()}\n---\n\n"
            (save_directory / CARD).write_text(known + text, encoding="utf-8")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> Exported:
        return cls(Path(snapshot_download(model_id, allow_patterns=[CONFIG, WEIGHTS, CARD], **options)))


def fetch(name: str) -> Path:
    """Fetch an exported model; return its folder among the files that `huggingface_hub` keeps.

    Args:
        name: name of the model, `hf://user/model`, or `hf://user/model@revision` for a branch, a tag or a commit.

    Raises:
        ValueError: it is no such name, or the hub does not give the model; the message says why.
    """
    told = NAME.fullmatch(name)
    if told is None:
        raise ValueError(f"{name} names no model of the hub: write {HUB}user/model, or {HUB}user/model@revision")
    try:
        folder = Exported._from_pretrained(model_id=told["model"], revision=told["revision"])
    except (OSError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ValueError(f"{name} could not be fetched: {lines[0] if lines else type(error).__name__}") from None
    return folder.folder
