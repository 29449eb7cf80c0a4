"""What can go wrong, as one tree of exceptions; each says what happened, why, and the mend.

ClewError
├── UsageError (ValueError)                 exit 2   wrong words or values from the caller
├── NotFoundError (LookupError)             exit 3   a name, version or file that isn't there
│   └── NoWorkspaceError
├── NotPermittedError (PermissionError)     exit 4   the caller may not do this
├── OutsideError                            exit 5   disk, port, store, database, network
│   ├── StoreError
│   ├── CatalogError
│   │   └── SchemaError                              a catalog of another schema version
│   └── MissingDependencyError (ImportError)
├── RefusedError                            exit 6   a gate, a policy or a verdict said no
├── DataError (ValueError)                  exit 1   input data that can't be read or represented
├── IntegrityError                          exit 1   bytes that are not what their content id says
└── StepError                               exit 1   the user's own code raised
"""

from typing import ClassVar


class ClewError(Exception):
    """Root of all errors that clew raises on purpose.

    `message` says what happened and why; `mend` is the exact command or change that mends it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return self.message if self.mend is None else f"{self.message}\n  mend: {self.mend}"


class UsageError(ClewError, ValueError):
    """The caller's words or values are off."""

    exit_code = 2


class NotFoundError(ClewError, LookupError):
    """A name, version, file or prediction that isn't there."""

    exit_code = 3


class NoWorkspaceError(NotFoundError):
    """No `.clew/` here or above, and none was named."""


class NotPermittedError(ClewError, PermissionError):
    """The caller may not do this."""

    exit_code = 4


class OutsideError(ClewError):
    """Something outside failed: disk, port, store, database, network."""

    exit_code = 5


class StoreError(OutsideError):
    """The object store failed or doesn't keep its promises."""


class CatalogError(OutsideError):
    """The catalog's database failed."""


class SchemaError(CatalogError):
    """The catalog has another schema than this version of clew."""


class MissingDependencyError(OutsideError, ImportError):
    """An optional library is not installed; the mend names the extra."""


class RefusedError(ClewError):
    """A gate, a policy or a verdict said no; nothing was written but the refusal."""

    exit_code = 6


class DataError(ClewError, ValueError):
    """Input data that can't be read, or can't be represented without changing it."""


class IntegrityError(ClewError):
    """Bytes that are not what their content id says."""


class StepError(ClewError):
    """The user's own code raised; the original exception is the cause."""
