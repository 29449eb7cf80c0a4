"""Reading and writing the two Parquet files that a segment is compacted to.

Predictions are sorted by id, outcomes by prediction id, in small row groups, so that looking one up reads one group of
one file; an index of ids (`ids.py`) beside each says which, if any. The column `position` keeps the byte at which the
record ended in the segment: a reader that was in the middle of it goes on where it was.
"""

import functools
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clew.errors import IntegrityError
from clew.serving.journal.columns import (
    OUTCOMES,
    PREDICTIONS,
    outcomes_from,
    outcomes_table,
    predictions_of,
    predictions_table,
    split,
)
from clew.serving.journal.ids import find_rows, write_ids
from clew.serving.journal.records import Outcome, Prediction, Record

_GROUP_ROWS: Final = 4096  # of 200,000 records: 1.2 ms to open and 2.7 to read a group; 16,384 took 0.7 and 6.9
_BATCH: Final = 16_384  # records that are Python objects at one time
_PREDICTIONS: Final = "predictions.parquet"
_OUTCOMES: Final = "outcomes.parquet"
_IDS: Final = ".ids"
_REPEATING: Final = [
    "endpoint",
    "model_version",
    "model_version_id",
    "role",
    "reason",
    "rollout_id",
    "entity",
    "name",
    "kind",
    "value_type",
    "source",
]


def write_compacted(
    folder: Path, rows: Iterator[tuple[int, Record]], keep: Callable[[Record], bool] | None
) -> tuple[int, int]:
    """Write both files into an existing folder, without syncing them; returns the count of records read and written."""
    before = 0
    predictions, outcomes = [PREDICTIONS.empty_table()], [OUTCOMES.empty_table()]
    while batch := list(islice(rows, _BATCH)):
        before += len(batch)
        first, second = split(batch if keep is None else [row for row in batch if keep(row[1])])
        predictions.append(predictions_table(first))
        outcomes.append(outcomes_table(second))
    after = _write(folder / _PREDICTIONS, pa.concat_tables(predictions), "id")
    after += _write(folder / _OUTCOMES, pa.concat_tables(outcomes), "prediction_id")
    return before, after


def write_indexes(folder: Path) -> None:
    """Write the indexes of a segment whose files came without."""
    for name, key in ((_PREDICTIONS, "id"), (_OUTCOMES, "prediction_id")):
        file = pq.ParquetFile(folder / name)
        ids = (one for batch in file.iter_batches(_BATCH, columns=[key]) for one in batch.column(0).to_pylist())
        write_ids((folder / name).with_suffix(_IDS), ids)


class CompactedSegment:
    """A segment's two Parquet files, both open, so that they stay readable when a newer generation replaces them.

    Raises:
        FileNotFoundError: they were replaced or dropped.
        IntegrityError: in opening or reading, a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, pa.NativeFile] = {}
        try:
            for name in (_PREDICTIONS, _OUTCOMES):
                self._held[name] = self._read(functools.partial(pa.OSFile, str(folder / name)))
        except BaseException:
            self.close()
            raise

    @functools.cached_property
    def _predictions(self) -> pq.ParquetFile:
        return self._parquet(_PREDICTIONS)

    @functools.cached_property
    def _outcomes(self) -> pq.ParquetFile:
        return self._parquet(_OUTCOMES)

    @property
    def count(self) -> int:
        """Records of both kinds."""
        return int(self._predictions.metadata.num_rows + self._outcomes.metadata.num_rows)

    def records(self, after: int) -> Iterator[tuple[int, Record]]:
        """(position, record) of the records behind `after`, in the order in which they were appended."""
        rest = pc.field("position") > after
        rows: list[tuple[int, Record]] = []
        rows += predictions_of(self._read(self._predictions.read).filter(rest))
        rows += outcomes_from(self._read(self._outcomes.read).filter(rest))
        rows.sort(key=lambda row: row[0])
        yield from rows

    def prediction(self, prediction_id: str) -> Prediction | None:
        """The prediction of this id."""
        rows = predictions_of(self._where(self._predictions, _PREDICTIONS, "id", prediction_id))
        return rows[0][1] if rows else None

    def outcomes(self, prediction_id: str) -> list[Outcome]:
        """The outcomes of this prediction, in order."""
        found = self._where(self._outcomes, _OUTCOMES, "prediction_id", prediction_id)
        return [outcome for _, outcome in outcomes_from(found)]

    def close(self) -> None:
        """Close the files."""
        for file in self._held.values():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _parquet(self, name: str) -> pq.ParquetFile:
        """Its footer is read at first use: who looks one record up needs only one of the two."""
        return self._read(lambda: pq.ParquetFile(self._held[name], page_checksum_verification=True))

    @classmethod
    def may_hold(cls, folder: Path, *, prediction: str | None = None, outcomes_of: str | None = None) -> bool:
        """Whether a segment can hold this prediction, or outcomes of it, as its index says; True without an index.

        Raises:
            IntegrityError: the index is damaged.
        """
        name, wanted = (_PREDICTIONS, prediction) if prediction is not None else (_OUTCOMES, outcomes_of)
        return wanted is not None and find_rows((folder / name).with_suffix(_IDS), wanted) != []

    def _where(self, file: pq.ParquetFile, name: str, column: str, value: str) -> pa.Table:
        rows = find_rows((self._folder / name).with_suffix(_IDS), value)
        if rows is not None:
            groups = sorted({row // _GROUP_ROWS for row in rows})
            # A thread for each column costs more than it gains for one small group.
            table = self._read(lambda: file.read_row_groups(groups, use_threads=False))
            places = [groups.index(row // _GROUP_ROWS) * _GROUP_ROWS + row % _GROUP_ROWS for row in rows]
            found = table.take(places)
            return found.filter(pc.equal(found[column], value))
        index = file.schema_arrow.get_field_index(column)
        groups = []
        for number in range(file.metadata.num_row_groups):
            statistics = file.metadata.row_group(number).column(index).statistics
            known = statistics is not None and statistics.has_min_max
            if not known or statistics.min <= value <= statistics.max:
                groups.append(number)
        return self._read(lambda: file.read_row_groups(groups)).filter(pc.field(column) == value)

    def _read(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            message = f"{self._folder} can't be read: {error}"
            raise IntegrityError(message, mend="restore it from a copy, or move it out of the journal") from error


def _write(path: Path, table: pa.Table, key: str) -> int:
    table = table.sort_by([(key, "ascending"), ("position", "ascending")])
    pq.write_table(
        table,
        path,
        compression="zstd",
        row_group_size=_GROUP_ROWS,
        use_dictionary=[name for name in _REPEATING if name in table.schema.names],
        write_page_checksum=True,
    )
    write_ids(path.with_suffix(_IDS), table.column(key).to_pylist())
    return int(table.num_rows)
