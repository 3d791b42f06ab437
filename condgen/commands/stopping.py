"""Ctrl-C and SIGTERM while something is drawn: the first is heard at once and waits for the batch, a second not."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HEARD = "condgen: stopping after this batch; again stops at once\n"
LAUNCHER = "CONDGEN_LAUNCHER"  # process that started this one, of which nothing remains when that is killed


@contextmanager
def stopping() -> Iterator[Callable[[], None]]:
    """Give a function to call between two batches, which ends what was told to stop.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
        SystemExit: SIGTERM came, or the process that started this one is gone.
    """
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) > 1:
            _end(number)
        os.write(2, HEARD.encode())  # nothing else may be written while the process may be writing

    def between() -> None:
        if heard:
            _end(heard[0])
        if int(os.environ.get(LAUNCHER, os.getppid())) != os.getppid():
            sys.exit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():  # Python allows handlers of signals nowhere else
        yield between
        return
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield between
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
