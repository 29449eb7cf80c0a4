"""Who is to be erased from which dataset, and under which names and values they go there."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from clew.catalog.tables import data
from clew.data.erasing.subjects import hash_of
from clew.errors import NotFoundError, UsageError
from clew.keys import known, secret_key_named
from clew.workspace import Workspace


@dataclass(frozen=True)
class Request:
    """A person to erase.

    `wanted` are the texts by which the person goes: the value, and its pseudonyms under every key that is at hand.
    """

    dataset_id: str
    dataset: str
    columns: tuple[str, ...]
    files: str | None
    subject: str
    wanted: tuple[str, ...]

    def hashes(self, key: bytes) -> tuple[str, ...]:
        """Their keyed hashes, by which receipts know them."""
        return tuple(dict.fromkeys(hash_of(key, one) for one in self.wanted))


def request(workspace: Workspace, name: str, subject: str, columns: Sequence[str] = ()) -> Request:
    """What is asked for.

    Raises NotFoundError for no such dataset, and when a key is lost; UsageError when nobody said which column, or
    which path, names the person.
    """
    row = workspace.catalog.first(sa.select(data.datasets).where(data.datasets.c.name == name))
    if row is None:
        raise NotFoundError(f"no dataset is called {name!r}", mend="clew data list")
    if not subject.strip():
        raise UsageError("the subject is empty", mend="--subject VALUE, as it stands in the column")
    named = list(dict.fromkeys([*([row.subject_column] if row.subject_column else []), *columns]))
    if not named and row.subject_files is None:
        raise UsageError(
            f"nothing says which column of {name} names the person",
            mend="--column COLUMN; and `clew data add --subject COLUMN` says it for good",
        )
    wanted = [subject, *_pseudonyms(workspace, str(row.id), named, subject)]
    return Request(
        dataset_id=str(row.id),
        dataset=name,
        columns=tuple(named),
        files=row.subject_files,
        subject=subject,
        wanted=tuple(dict.fromkeys(wanted)),
    )


def _pseudonyms(workspace: Workspace, dataset_id: str, columns: Sequence[str], subject: str) -> list[str]:
    """What the value became where a policy turned the column into pseudonyms, under every key there was.

    Without a policy too, under the keys at hand: a journal keeps no entity that is an e-mail address or the like.
    """
    p = data.policies.c
    made = workspace.catalog.first(
        sa.select(p.id).where(p.dataset_id == dataset_id, p.column_name.in_(columns), p.action == "pseudonym").limit(1)
    )
    keys = [
        one
        for one in known(workspace)
        if one.name.startswith("pseudonym") and one.retired_at is None and (made is not None or one.at is not None)
    ]
    return [hash_of(secret_key_named(workspace, one.name), subject) for one in keys]
