"""`condgen play`: play with a trained model in the browser.

Only what says how the command is called, and the server, stand here: its help shall not wait for PyTorch.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any, Literal

from condgen.commands.parser import parse
from condgen.pretrained import find, name_of

# What keeps gradio from asking its makers anything, from keeping a history, and from Node.
SILENT = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "GRADIO_SSR_MODE": "False",
          "GRADIO_MCP_SERVER": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip
# What keeps the browser from asking anybody but this server, whatever the page's code would like to fetch.
OWN = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"


def play(
    ckpt_path: str,
    host: str = "127.0.0.1",
    port: int = 7860,
    weights: Literal["ema", "live"] = "ema",
    device: str = "auto",
    trust: Sequence[str] = (),
) -> None:
    """Play with a trained model in the browser: choose and mix conditions, move single γ and β, see or hear the result.

    Ctrl-C ends it. Nothing is sent anywhere; only this machine reaches the page, unless --host says otherwise.

    Args:
        ckpt_path: checkpoint that `condgen fit` wrote.
        host: address to listen at; `0.0.0.0` lets other machines reach the page, without a password.
        port: port to listen at; 0 for any that is free.
        weights: running average of the weights (`ema`), or the last ones (`live`).
        device: `auto`, `cpu`, `cuda`, …
        trust: modules besides condgen whose classes the checkpoint may name.
    """
    if find_spec("gradio") is None:
        raise ValueError("the page is made with gradio, which is missing: pip install 'condgen[play]'")
    with closing(_listen(host, port)) as listening, TemporaryDirectory(prefix="condgen-play-") as uploads:
        from condgen.checkpoint import Checkpoint
        from condgen.commands.playing import Playground

        checkpoint = Checkpoint.open(ckpt_path, trust)
        front_end = checkpoint.front_end() if checkpoint.has_data else None
        playground = Playground(checkpoint.model(weights, device), front_end, checkpoint.untrained, checkpoint.framing)
        os.environ.update({**SILENT, "GRADIO_TEMP_DIR": uploads})  # which `condgen.cli` undoes
        from condgen.commands.play_page import page

        app = page(name_of(find(ckpt_path)), playground)
        at = f"[{host}]" if ":" in host else host
        print(f"http://{at}:{listening.getsockname()[1]} (Ctrl-C ends it)", flush=True)
        _serve(app, listening)


def _listen(host: str, port: int) -> socket.socket:
    """Take a port, before anything else takes its time."""
    if not 0 <= port < 2**16:
        raise ValueError(f"port {port} is not from 0 to 65535")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ValueError(f"port {port} of {host} is in use: give another one, such as --port {port + 1}, or "
                             "--port 0 for any that is free") from None  # fmt: skip
        raise ValueError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from None


def _serve(app: Any, listening: socket.socket) -> None:
    """Serve until Ctrl-C; pages that are open do not keep it waiting."""
    import uvicorn

    async def own_only(scope: Any, receive: Any, send: Any) -> None:
        async def add(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", OWN)]
            await send(message)

        await app(scope, receive, add)

    config = uvicorn.Config(own_only, log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


def run(argv: list[str]) -> None:
    """Run `condgen play`."""
    play(**parse(play, argv))
