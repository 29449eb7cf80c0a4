"""Rows that a contract kept out: set apart with the rules that each broke, shown, exported, let go.

They are kept as they would have been stored: after the privacy policy, so nothing that it blocks or drops is among
them, and pseudonyms are pseudonyms.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import sqlalchemy as sa
from polars.io.plugins import register_io_source

from clew.catalog.commands import CreateDataset, ForgetQuarantine, RecordQuarantine
from clew.catalog.tables import data
from clew.data._disk import writing
from clew.data._examined import Examined
from clew.data._source import Source
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.workspace import Workspace

REFUSED_ROWS: Final = 100_000
"""Of a delivery that is refused as a whole so many failing rows are kept to look at; the counts are of all."""


@dataclass(frozen=True)
class Quarantine:
    """Failing rows of a delivery; `state` is "live" until they are let go."""

    id: str
    dataset: str
    uri: str
    rows: int
    results: dict[str, Any]
    digest: str
    state: str
    recorded_at: datetime

    def rules(self) -> list[dict[str, Any]]:
        """The rules that failed, with their failing rows, the most first."""
        broken = [one for one in self.results.get("rules", []) if not one.get("passed", True)]
        return sorted(broken, key=lambda one: -(one.get("failing_rows") or 0))


@dataclass(frozen=True)
class Kept:
    """What was set apart now, and the numbers of the rows in the delivery, from 0."""

    id: str
    rows: int
    gone: npt.NDArray[np.int64]


def keep(
    workspace: Workspace,
    name: str,
    contract_id: str | None,
    source: Source,
    examined: Examined,
    results: list[dict[str, Any]],
    *,
    most: int | None,
) -> Kept | None:
    """Set the failing rows of a delivery apart, up to so many; None where no row can be named."""
    row, broke = (_free(name, source.schema) for name in ("clew_row", "clew_rules"))
    schema = pl.Schema({row: pl.UInt64(), broke: pl.List(pl.String()), **source.schema})
    gone: list[npt.NDArray[np.int64]] = []

    def batches(*_: Any) -> Iterator[pl.DataFrame]:
        count = 0
        for start, batch, masks in examined.failing():
            marked = _marked(batch, start, masks, row, broke)
            left = marked.height if most is None else most - count
            marked = marked.head(left).select(schema.names())
            if marked.height:
                count += marked.height
                gone.append(marked[row].cast(pl.Int64).to_numpy() - 1)
                yield marked
            if most is not None and count >= most:
                return

    path = workspace.temporary() / f"{secrets.token_hex(8)}.parquet"
    try:
        with writing(path):
            register_io_source(batches, schema=schema).sink_parquet(path, compression="zstd")
        rows = np.concatenate(gone) if gone else np.empty(0, dtype=np.int64)
        if not len(rows):
            return None
        digest = workspace.objects.put_file(path, move=True).digest
    finally:
        path.unlink(missing_ok=True)
    found = _recorded(
        workspace, name, contract_id, source, len(rows), {"rows": examined.height, "rules": results}, digest
    )
    return Kept(found, len(rows), rows)


def _recorded(
    workspace: Workspace,
    name: str,
    contract_id: str | None,
    source: Source,
    rows: int,
    results: dict[str, Any],
    digest: str,
) -> str:
    """The quarantine of these rows: the one that is there, when the same delivery was refused before."""
    same = _query().where(
        data.datasets.c.name == name, data.quarantines.c.digest == digest, data.quarantines.c.state == "live"
    )
    known = workspace.catalog.first(same)
    if known is not None and known.results == results:
        return str(known.id)
    return str(
        workspace.catalog.execute(
            RecordQuarantine(
                dataset_id=workspace.catalog.execute(CreateDataset(name=name)),
                contract_id=contract_id,
                uri=source.specs[0].uri if source.specs else "memory",
                rows=rows,
                results=results,
                digest=digest,
            )
        )
    )


def _free(name: str, schema: pl.Schema) -> str:
    while name in schema:
        name = f"_{name}"
    return name


def _marked(batch: pl.DataFrame, start: int, masks: dict[str, pl.Series], row: str, broke: str) -> pl.DataFrame:
    """The failing rows of a batch, with their numbers from 1 and the rules they broke."""
    if not any(mask.any() for mask in masks.values()):
        return batch.clear().with_columns(
            pl.lit(None, pl.UInt64).alias(row), pl.lit(None, pl.List(pl.String)).alias(broke)
        )
    named = pl.DataFrame([mask.alias(str(i)) for i, mask in enumerate(masks.values())])
    rules = [pl.when(pl.col(str(i))).then(pl.lit(rule)) for i, rule in enumerate(masks)]
    marks = named.select(
        pl.int_range(start + 1, start + 1 + pl.len(), dtype=pl.UInt64).alias(row),
        pl.concat_list(rules).list.drop_nulls().alias(broke),
        pl.any_horizontal(pl.all()).alias("any"),
    )
    any_ = marks["any"]
    return pl.concat([marks.drop("any").filter(any_), batch.filter(any_)], how="horizontal")


def quarantines(workspace: Workspace, dataset: str | None = None) -> list[Quarantine]:
    """All quarantines, of one dataset or of all, the newest first."""
    query = _query().order_by(data.quarantines.c.id.desc())
    if dataset is not None:
        query = query.where(data.datasets.c.name == dataset)
    return [_from_row(row) for row in workspace.catalog.rows(query)]


def find(workspace: Workspace, name: str) -> Quarantine:
    """The quarantine with this id, or one that begins or ends so; the newest one of a dataset, by its name.

    Raises NotFoundError, UsageError.
    """
    everything = quarantines(workspace)
    found = [one for one in everything if one.dataset == name][:1] or [
        one for one in everything if len(name) >= 6 and (one.id.startswith(name) or one.id.endswith(name))
    ]
    if not found:
        raise NotFoundError(f"no quarantine is called {name!r}", mend="clew contract quarantine list")
    if len(found) > 1:
        raise UsageError(f"{name!r} is several quarantines", mend=f"name one: {', '.join(one.id for one in found)}")
    return found[0]


def scan(workspace: Workspace, one: Quarantine) -> pl.LazyFrame:
    """The failing rows, each with its number in the delivery and the rules it broke. Raises NotFoundError."""
    if one.state != "live":
        raise NotFoundError(f"the rows of quarantine {one.id} were let go ({one.state})", mend="add the source again")
    return pl.scan_parquet(workspace.objects.open_path(one.digest), glob=False, hive_partitioning=False)


def export(workspace: Workspace, one: Quarantine, dest: Path) -> int:
    """Write the failing rows to a new .parquet or .csv file; give how many. Raises UsageError, RefusedError."""
    frame = scan(workspace, one)
    if dest.suffix not in (".parquet", ".csv"):
        raise UsageError(f"{dest} is neither .parquet nor .csv", mend="name a file such as failing.csv")
    if dest.exists():
        raise RefusedError(f"{dest} is there already", mend="remove it, or name another file")
    with writing(dest):
        if dest.suffix == ".parquet":
            frame.sink_parquet(dest)
        else:
            lists = [name for name, dtype in frame.collect_schema().items() if dtype == pl.List(pl.String)]
            frame.with_columns(pl.col(lists).list.join("; ")).sink_csv(dest)
    return one.rows


def forget(workspace: Workspace, one: Quarantine) -> bool:
    """Let the rows go; the counts stay. Give whether they were there."""
    return bool(workspace.catalog.execute(ForgetQuarantine(quarantine_id=one.id)))


def _query() -> sa.Select[Any]:
    return sa.select(data.quarantines, data.datasets.c.name.label("dataset")).join(
        data.datasets, data.datasets.c.id == data.quarantines.c.dataset_id
    )


def _from_row(row: sa.Row[Any]) -> Quarantine:
    results = row.results if isinstance(row.results, dict) else {}
    return Quarantine(str(row.id), row.dataset, row.uri, int(row.rows), results, row.digest, row.state, row.recorded_at)
