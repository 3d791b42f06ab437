"""Reports that are written anew whenever a part of them is finished, so that what stops a long one loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def write_as_finished(
    parts: Iterator[dict[str, Any]], facts: dict[str, Any], write: Callable[[dict[str, Any]], None]
) -> BaseException | None:
    """Write a report with every part more; return what stopped it, of which the report then says the reason.

    Args:
        parts: all figures so far, whenever a part is finished.
        facts: facts that stand before them.
        write: writer of a report.

    Raises:
        BaseException: it was stopped before its first part was finished, so that nothing was written.
    """
    finished, stopped = dict[str, Any](), None
    try:
        for finished in parts:
            write({**facts, **finished})
    except (Exception, KeyboardInterrupt) as error:
        if not finished:
            raise
        stopped = error
        reason = "Ctrl-C" if isinstance(error, KeyboardInterrupt) else " ".join(str(error).split())
        write({**facts, **finished, "stopped": reason or type(error).__name__})
    return stopped
