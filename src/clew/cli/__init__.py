"""The command line: `clew NOUN VERB`."""

import gc
import os
import sys
from collections.abc import Sequence

from clew._version import __version__


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code (see `clew.errors`)."""
    gc.set_threshold(100_000)  # what imports make stays: without passes over it a command starts a sixth sooner
    given = list(sys.argv[1:] if arguments is None else arguments)
    from clew.cli._edge import run_guarded

    sys.exit(run_guarded(lambda: _run(given)))


def _run(given: list[str]) -> None:
    for word in given:
        if not word.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in word):
            from clew.errors import UsageError

            raise UsageError(f"{word!r} is not UTF-8", mend="use a UTF-8 locale, and rename files with such names")
    given = _take_workspace(given)
    if given == ["--version"]:
        print(__version__)  # noqa: T201 - the result
        return
    if given[:1] == ["data"]:
        from clew.cli._quick import answered

        if answered(given):
            return
    from clew.cli._app import app  # after the workspace is known, and only when something is to be done

    app(given, prog_name="clew")


def _take_workspace(given: list[str]) -> list[str]:
    """`--workspace DIR` may stand anywhere; it becomes CLEW_WORKSPACE. Raises UsageError."""
    rest = []
    words = iter(given)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--workspace":
            _name_workspace(next(words, ""))
        elif word.startswith("--workspace="):
            _name_workspace(word.partition("=")[2])
        else:
            rest.append(word)
    return rest


def _name_workspace(folder: str) -> None:
    if not folder:
        from clew.errors import UsageError

        raise UsageError("--workspace names no folder", mend="write --workspace DIR")
    os.environ["CLEW_WORKSPACE"] = folder
