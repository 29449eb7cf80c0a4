"""Whom a dataset has forgotten: a delivery that brings someone back is refused, or taken without them."""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from clew.catalog.commands import SourceSpec
from clew.catalog.tables import data, governance
from clew.data._folder import walk
from clew.data._source import Source, Wanted
from clew.data.erasing.files import subject_of
from clew.data.erasing.subjects import texts
from clew.errors import RefusedError
from clew.keys import secret_key_named
from clew.workspace import Workspace


@dataclass
class Forgotten:
    """The persons that were erased from a dataset, as keyed hashes; `erasures` counts them, begun ones too."""

    name: str
    erasures: int = 0
    columns: list[str] = field(default_factory=list)
    hashes: dict[str, set[str]] = field(default_factory=dict)  # by the key's name
    keys: dict[str, bytes] = field(default_factory=dict)

    def among(self, values: Sequence[str]) -> list[str]:
        """Those of some values that are a person who was erased."""
        found = []
        for key_name, key in self.keys.items():
            known = {bytes.fromhex(one) for one in self.hashes[key_name]}
            found += [value for value in values if hmac.digest(key, value.encode(), "sha256") in known]
        return found


def forgotten(workspace: Workspace, name: str) -> Forgotten:
    """Whom a dataset has forgotten. Raises NotFoundError when the key of the receipts is lost."""
    e, found = governance.erasures.c, Forgotten(name)
    rows = workspace.catalog.rows(
        sa.select(e.subject_hmac, e.key_name, e.receipt)
        .join(data.datasets, data.datasets.c.id == e.dataset_id)
        .where(data.datasets.c.name == name)
        .order_by(e.id)
    )
    for row in rows:
        found.erasures += 1
        receipt = row.receipt or {}
        found.hashes.setdefault(row.key_name, set()).update({row.subject_hmac, *receipt.get("hashes", ())})
        found.columns += [column for column in receipt.get("columns", ()) if column not in found.columns]
    found.keys = {key_name: secret_key_named(workspace, key_name) for key_name in found.hashes}
    return found


def held_against(source: Source, persons: Forgotten, subject: str | None, *, strip: bool) -> tuple[Source, int]:
    """A source without the persons that were erased, and how many of its rows went.

    Raises RefusedError when it has some and they aren't to be stripped, and when it can't be told whom it is about.
    """
    if not persons.erasures:
        return source, 0
    columns = list(dict.fromkeys([*([subject] if subject else []), *persons.columns]))
    mine = [name for name in columns if name in source.schema]
    if columns and not mine:
        raise RefusedError(
            f"persons were erased from {persons.name}, and this has no column {' or '.join(columns)} to tell them by; "
            "nothing was stored",
            mend="name the column that names the person: --subject COLUMN",
        )
    known: set[str] = set()
    seen: set[str] = set()
    rows = 0
    for _, batch in source.batches():
        for name in mine:
            values = texts(batch[name])
            news = [value for value in values.drop_nulls().unique() if value not in seen]
            seen.update(news)
            known.update(persons.among(news))
            rows += int(values.is_in(list(known)).sum()) if known else 0
    if not known:
        return source, 0
    if not strip:
        one = len(known) == 1
        told = (
            f"{rows:,} row{'' if rows == 1 else 's'} of this {'is' if rows == 1 else 'are'} about {len(known)} person"
        )
        raise RefusedError(
            f"{told}{'' if one else 's'} who {'was' if one else 'were'} erased from {persons.name}; nothing was stored",
            mend="take them out of the source, or --strip-erased: all other rows are taken",
        )
    return Stripped(source, mine, sorted(known)), rows


def hold_files_against(folder: Path, persons: Forgotten, pattern: str | None) -> None:
    """Raise RefusedError for a folder with files of a person who was erased."""
    if not persons.erasures or pattern is None:
        return
    whose: dict[str, str] = {}
    for file in walk(folder):
        subject = subject_of(pattern, file.path)
        if subject is not None:
            whose.setdefault(subject, file.path)
    known = persons.among(list(whose))
    if known:
        raise RefusedError(
            f"the folder has files of {len(known)} person{'' if len(known) == 1 else 's'} erased from {persons.name}, "
            f"such as {whose[known[0]]}; nothing was stored",
            mend="take their files out of the folder; clew data erasures lists the receipts",
        )


class Stripped:
    """A source without the rows of some persons."""

    def __init__(self, source: Source, columns: Sequence[str], known: Sequence[str]) -> None:
        self._source, self._columns, self._known = source, tuple(columns), list(known)
        self.schema = source.schema

    @property
    def specs(self) -> list[SourceSpec]:
        """Where the rows come from; without stamps: an unchanged source still isn't what was stored."""
        return [
            SourceSpec(uri=one.uri, kind=one.kind, bytes=one.bytes, modified_ns=one.modified_ns)
            for one in self._source.specs
        ]

    @property
    def rows(self) -> int | None:
        """Not known before all rows were read."""
        return None

    def batches(self, wanted: Wanted | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """The source's batches, each without their rows."""
        start = 0
        for _, batch in self._source.batches():
            theirs = pl.Series([False]).new_from_index(0, batch.height)
            for name in self._columns:
                theirs |= texts(batch[name]).is_in(self._known).fill_null(value=False)
            kept = batch.filter(~theirs)
            if kept.height and (wanted is None or wanted(start, kept.height)):
                yield start, kept
            start += kept.height
