"""A process's edge: results to stdout, messages to stderr, errors with their exit codes; imports nothing heavy."""

import errno
import json
import math
import os
import sys
from collections.abc import Callable
from typing import Any

from clew.errors import ClewError, NotFoundError, OutsideError


def emit(value: Any, as_json: bool, words: Callable[[], str]) -> None:
    """The result, to stdout. In JSON, numbers that are not finite are null: it has no others."""
    if as_json:
        sys.stdout.write(json.dumps(finite(value), indent=2, default=str, allow_nan=False) + "\n")
    else:
        text = words()
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def finite(value: Any) -> Any:
    """A value with null where a number isn't finite: JSON has no others."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


def say(text: str) -> None:
    """A message, to stderr."""
    sys.stderr.write(text + "\n")


def short(content_id: str) -> str:
    """A content id as people read it."""
    scheme, _, digest = content_id.partition(":")
    return f"{scheme}:{digest[:10]}"


def run_guarded(call: Callable[[], Any]) -> int:
    """Run a command; every error that is meant for people ends here, with its exit code."""
    try:
        try:
            call()
        finally:
            sys.stdout.flush()  # here, where a full disk or a reader who left can still be told
    except ClewError as error:
        say(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # Nobody reads; what is still in the buffer has to go somewhere when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        say("cancelled")
        return 130
    except OSError as error:
        mended = _outside(error)
        say(f"error: {mended}")
        return mended.exit_code
    return 0


def _outside(error: OSError) -> ClewError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutsideError(f"the disk is full: {error}", mend="free some space and run it again; nothing is half done")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFoundError(f"there is no such place: {error}", mend="check the path")
    return OutsideError(f"the file system refuses: {error}", mend="check the path, rights and limits")
