"""Tracebacks as the user's: from the first line of their own, without what only passed it on."""

import traceback
from pathlib import Path
from typing import Final

_CLEWS: Final = str(Path(__file__).parent)
_IMPORTING: Final = (_CLEWS, "<frozen importlib")


def of_step(error: BaseException) -> str:
    """The traceback of what a step raised, from the first frame that isn't clew's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_CLEWS):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def of_import(error: BaseException) -> str:
    """The traceback of what a module raised while it was imported: the lines that import, and none of the machinery."""
    shown = traceback.TracebackException.from_exception(error)
    waiting = [shown]
    while waiting:
        one = waiting.pop()
        own = [frame for frame in one.stack if not frame.filename.startswith(_IMPORTING)]
        # Without a frame, no "Traceback" either: a file that can't be parsed has run no line.
        one.stack = traceback.StackSummary.from_list(own) if own else None  # type: ignore[assignment]
        waiting += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
    return "".join(shown.format())
