"""The Hugging Face hub: what is pushed to it is the exported folder, and what comes from it is data alone. A server on
this machine stands in for the hub."""

import base64
import hashlib
import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
import torch

import condgen
from condgen.cli import main
from condgen.pretrained import CARD, CONFIG, WEIGHTS

KEPT = Path(__file__).parents[1]
EXPORT = KEPT / "exports" / "0.2.0" / "pixelcnn_digits"
CHECKPOINT = KEPT / "checkpoints" / "pixelcnn_digits.format1.ckpt"


class StandIn(BaseHTTPRequestHandler):
    """As much of the hub as pushing and fetching take; the server holds the commits of each model, oldest first."""

    def _answer(self, content=b"", status=200, **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _found(self, model, revision):
        commits = self.server.models.get(model)
        if not commits:
            return self._answer(status=404, X_Error_Code="RepoNotFound")
        named = {"main": commits[-1], **{_sha(commit): commit for commit in commits}}
        return named.get(revision) or self._answer(status=404, X_Error_Code="RevisionNotFound")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        if path == "/api/repos/create":
            asked = json.loads(body)
            self.server.models.setdefault(name := f"{asked['organization']}/{asked['name']}", [])
            self._answer({"url": f"{self.server.address}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            self._answer(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
            )
        else:
            name = path.split("/commit/")[0].removeprefix("/api/models/")
            lines = [json.loads(line) for line in body.splitlines()]
            new = {line["value"]["path"]: base64.b64decode(line["value"]["content"])
                   for line in lines if line["key"] == "file"}  # fmt: skip
            commits = self.server.models[name]
            commits.append({**(commits[-1] if commits else {}), **new})
            sha = _sha(commits[-1])
            self._answer({"success": True, "commitUrl": f"{self.server.address}/{name}/commit/{sha}", "commitOid": sha})

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        if "/resolve/" in path:
            name, _, rest = path[1:].partition("/resolve/")
            revision, _, file = rest.partition("/")
            if (found := self._found(name, revision)) is not None:
                etag = f'"{hashlib.sha1(found[file]).hexdigest()}"'
                self._answer(found[file], ETag=etag, X_Repo_Commit=_sha(found))
            return
        for kind in ("/tree/", "/revision/"):
            if kind in path:
                name, _, revision = path.removeprefix("/api/models/").partition(kind)
                if (found := self._found(name, revision)) is None:
                    return
                files = [{"type": "file", "path": file, "size": len(content),
                          "oid": hashlib.sha1(content).hexdigest()} for file, content in found.items()]  # fmt: skip
                self._answer(files if kind == "/tree/" else {"id": name, "sha": _sha(found), "siblings": []})
                return
        self._answer({"id": path.removeprefix("/api/models/"), "siblings": []})

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def _sha(commit):
    return hashlib.sha1(b"".join(name.encode() + content for name, content in sorted(commit.items()))).hexdigest()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    constants = pytest.importorskip(
        "huggingface_hub.constants", reason="huggingface_hub is not installed: condgen[hub]"
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.models, server.asked, server.address = {}, [], f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def weights(model):
    return model.model.state_dict()


def test_an_exported_model_goes_as_it_is_and_comes_back_the_same(hub):
    address = condgen.load(EXPORT).push_to_hub("ann/digits", token="none")
    assert address.startswith(f"{hub.address}/ann/digits/commit/")
    (commit,) = hub.models["ann/digits"]
    assert commit.keys() - {".gitattributes"} == {CONFIG, WEIGHTS, CARD}
    assert all(commit[name] == (EXPORT / name).read_bytes() for name in (CONFIG, WEIGHTS))
    card = commit[CARD].decode()
    assert card.startswith("---\n")
    assert "library_name: condgen" in card
    assert card.endswith((EXPORT / CARD).read_text())
    ours, theirs = weights(condgen.load("hf://ann/digits")), weights(condgen.load(EXPORT))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_checkpoint_goes_as_it_would_be_exported(hub, tmp_path):
    condgen.load(CHECKPOINT).push_to_hub("ann/digits", token="none")
    assert main(["export", str(CHECKPOINT), "--out", str(tmp_path / "exported")]) == 0
    (commit,) = hub.models["ann/digits"]
    assert all(commit[name] == (tmp_path / "exported" / name).read_bytes() for name in (CONFIG, WEIGHTS))
    assert 'condgen.load("hf://ann/digits")' in commit[CARD].decode()


def test_a_revision_is_pinned_and_no_other_file_is_fetched(hub):
    condgen.load(EXPORT).push_to_hub("ann/digits", token="none")
    (first,) = hub.models["ann/digits"]
    config = json.loads(first[CONFIG])
    hub.models["ann/digits"].append({**first, "model.py": b"raise SystemExit('run')", "pytorch_model.bin": b"pickle",
                                     CONFIG: json.dumps({**config, "format": 99}).encode()})  # fmt: skip
    assert weights(condgen.load(f"hf://ann/digits@{_sha(first)}"))
    with pytest.raises(ValueError, match="format 99"):
        condgen.load("hf://ann/digits")
    fetched = {path.rpartition("/")[2] for path in hub.asked if "/resolve/" in path}
    assert fetched == {CONFIG, WEIGHTS, CARD}


def test_every_command_takes_its_name(hub, capsys):
    condgen.load(EXPORT).push_to_hub("ann/digits", token="none")
    assert main(["show", "hf://ann/digits"]) == 0
    assert "PixelCNN" in capsys.readouterr().out
    asked = ["sample", "hf://ann/digits", "--condition.digit", "3", "--engine", "cached", "--out", "threes"]
    assert main(asked) == 0
    assert Path("threes/manifest.jsonl").is_file()


def test_classes_of_others_are_trusted_no_more_than_elsewhere(hub):
    condgen.load(EXPORT).push_to_hub("ann/digits", token="none")
    (first,) = hub.models["ann/digits"]
    config = json.loads(first[CONFIG])
    config["task"]["init_args"]["network"]["class_path"] = "trap.Network"
    hub.models["ann/digits"].append({**first, CONFIG: json.dumps(config).encode(), "trap.py": b"raise SystemExit"})
    with pytest.raises(ValueError, match="--trust trap"):
        condgen.load("hf://ann/digits")


@pytest.mark.parametrize(("name", "words"), [
    ("hf://ann/none", "hf://ann/none could not be fetched: "), ("hf://digits", "hf://digits names no model of the hub"),
    ("hf://ann/digits@v9", "hf://ann/digits@v9 could not be fetched: "),
    ("hf://../..", "hf://../.. could not be fetched: "),
])  # fmt: skip
def test_what_the_hub_does_not_give_is_one_line(hub, capsys, name, words):
    condgen.load(EXPORT).push_to_hub("ann/digits", token="none")
    for command in ("show", "sample"):
        assert main([command, name, *(["--out", "o"] if command == "sample" else [])]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert words in line
    assert not Path("o").exists()


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("condgen.pretrained.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"hf://ann/digits is on the .*: pip install 'condgen\[hub\]'"):
        condgen.load("hf://ann/digits")
    with pytest.raises(ValueError, match=r"pip install 'condgen\[hub\]'"):
        condgen.load(EXPORT).push_to_hub("ann/digits")


def test_nothing_of_it_is_loaded_for_models_that_are_here():
    code = f"import condgen, sys; condgen.load({str(EXPORT)!r}); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "huggingface_hub" not in found
