"""Secrets by reference: a step is handed the value, everything that is kept has the name alone."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clew.errors import NotFoundError, UsageError

_FOLDER: Final = "/run/secrets"
_SHORTEST: Final = 4  # characters; what is shorter stands in any text by chance


@dataclass(frozen=True)
class Secret:
    """The name of a secret."""

    name: str

    def value(self) -> str:
        """The secret itself: the environment variable of that name, else the file in CLEW_SECRETS (/run/secrets).

        Raises NotFoundError.
        """
        found = os.environ.get(self.name)
        if found is not None:
            return found
        path = Path(os.environ.get("CLEW_SECRETS", _FOLDER)) / self.name
        try:
            return path.read_text().removesuffix("\n")
        except OSError as error:
            raise NotFoundError(
                f"the secret {self.name} is neither an environment variable nor the file {path}",
                mend=f"export {self.name}=…, or put it into that file",
            ) from error


def secret(name: str) -> str:
    """A secret as an argument of a step: `load(password=clew.secret("DB_PASSWORD"))`.

    The step is handed its value as text, from the environment variable of that name or a file in /run/secrets. Keys,
    logs, errors and the catalog hold its name alone; so another value of it doesn't run the step again.
    """
    if not name or "/" in name or "\0" in name:
        raise UsageError(f"{name!r} is no name of a secret", mend="name an environment variable")
    return Secret(name)  # type: ignore[return-value]


def hidden(text: str, secrets: Iterable[tuple[Secret, str]]) -> str:
    """The text without the secrets' values."""
    for one, value in secrets:
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"<secret {one.name}>")
    return text


def shown_in(body: bytes, secrets: Iterable[tuple[Secret, str]]) -> str | None:
    """The name of the first secret whose value stands in these bytes, or None."""
    for one, value in secrets:
        if len(value) >= _SHORTEST and value.encode() in body:
            return one.name
    return None
