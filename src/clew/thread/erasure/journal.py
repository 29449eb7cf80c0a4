"""A person's records in the journal: found by entity, by input, by prediction; their segments are written anew."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from clew.catalog.retention import parts
from clew.catalog.tables import models, serving
from clew.serving.journal import Outcome, Prediction, Record, compact, rewrite_segment, seal_abandoned, seals
from clew.serving.journal.reader import open_segment
from clew.serving.journal.segment import compacted_generation, compacted_path
from clew.workspace import Workspace

Report = Callable[[str, int, int | None], None]


@dataclass
class JournalFound:
    """A person's records: how many of each, and the segments that hold them; `open` ones are being written."""

    predictions: int = 0
    outcomes: int = 0
    segments: list[tuple[Path, int]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


class Theirs:
    """Whether a record is about a person, at endpoints whose model learned from the dataset."""

    def __init__(self, endpoints: set[str], columns: Sequence[str], wanted: Sequence[str]) -> None:
        self.endpoints, self.columns, self.wanted = endpoints, tuple(columns), frozenset(wanted)
        self.ids: set[str] = set()

    def __call__(self, record: Record) -> bool:
        """A prediction by its entity or the input that names the person; an outcome by entity or prediction."""
        if isinstance(record, Outcome):
            named = record.entity in self.wanted and record.endpoint in (*self.endpoints, None)
            return named or record.prediction_id in self.ids
        if record.endpoint not in self.endpoints:
            return False
        named = record.entity in self.wanted
        return named or any(_text(record.inputs.get(name)) in self.wanted for name in self.columns)


def _text(value: object) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None or isinstance(value, bool) else str(value)


def endpoints_of(workspace: Workspace, versions: Sequence[str]) -> set[str]:
    """The endpoints whose models are those of some versions."""
    e, v = serving.endpoints.c, models.model_versions.c
    found: set[str] = set()
    with workspace.catalog.read() as connection:
        for some in parts(sorted(versions)):
            query = sa.select(e.name).join(models.model_versions, v.model_id == e.model_id).where(v.id.in_(some))
            found |= {str(one) for one in connection.execute(query.distinct()).scalars()}
    return found


def find_records(workspace: Workspace, theirs: Theirs, report: Report | None = None) -> JournalFound:
    """Find a person's records in all segments, first predictions, then the outcomes of these. Nothing changes."""
    found = JournalFound()
    if not theirs.endpoints or not workspace.journal.is_dir():
        return found
    every = list(seals(workspace.journal))
    places: dict[tuple[Path, int], bool] = {}
    for kind in (Prediction, Outcome):
        for number, (folder, segment, seal, stop) in enumerate(every, start=1):
            hits = [one for one in _records(folder, segment, stop, theirs) if isinstance(one, kind) and theirs(one)]
            if hits:
                places[folder, segment] = seal is not None
            if kind is Prediction:
                theirs.ids.update(one.id for one in hits)
                found.predictions += len(hits)
            else:
                found.outcomes += len(hits)
            if report is not None:
                report("looking through the journal", number, len(every))
    found.segments = [place for place, sealed in places.items() if sealed]
    found.open = sorted({folder.name for (folder, _), sealed in places.items() if not sealed})
    return found


def _may_hold(folder: Path, number: int, theirs: Theirs) -> bool:
    """Whether a compacted segment can hold a record of theirs, by the columns that name people; a raw one may."""
    generation = compacted_generation(folder, number)
    if not generation:
        return True
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from clew.serving.journal.compacted import CompactedSegment

    place = compacted_path(folder, number, generation)
    wanted = pa.array(sorted(theirs.wanted), pa.string())
    for name, columns in (("predictions", ["entity", "inputs"]), ("outcomes", ["entity"])):
        table = pq.read_table(place / f"{name}.parquet", columns=columns)
        if pc.any(pc.is_in(table["entity"], value_set=wanted)).as_py():
            return True
        if "inputs" in columns and theirs.columns:
            texts = table["inputs"]
            if any(pc.any(pc.match_substring(texts, one)).as_py() for one in theirs.wanted):
                return True
    return any(CompactedSegment.may_hold(place, outcomes_of=one) for one in theirs.ids)


def _records(folder: Path, number: int, stop: int, theirs: Theirs) -> Iterator[Record]:
    segment = open_segment(folder, number, stop) if stop and _may_hold(folder, number, theirs) else None
    if segment is not None:
        with segment:
            for _, record in segment.records(0):
                yield record


def rewrite_journal(workspace: Workspace, theirs: Theirs, report: Report | None = None) -> JournalFound:
    """Write the segments that hold a person's records without them; open ones of writers that are gone are sealed.

    Raises NotPermittedError while another process compacts the journal.
    """
    if not theirs.endpoints or not workspace.journal.is_dir():
        return JournalFound()
    seal_abandoned(workspace.journal)
    compact(workspace.journal)  # it also removes what a rewriting that was killed left behind
    found = find_records(workspace, theirs, report)
    for number, (folder, segment) in enumerate(found.segments, start=1):
        rewrite_segment(folder, segment, lambda record: not theirs(record))
        if report is not None:
            report("rewriting the journal", number, len(found.segments))
    return found
