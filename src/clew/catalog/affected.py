"""What follows from some contents: the runs that read them, what these made, and the model versions that came of it.

A function of the catalog, asked by the dry run of an erasure and again by its command, in the same transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from clew.catalog.retention import parts
from clew.catalog.tables import builds, data, models

_i, _k, _s, _v, _r = (
    builds.run_inputs.c,
    builds.step_artifacts.c,
    builds.steps.c,
    models.model_versions.c,
    builds.runs.c,
)


@dataclass
class Affected:
    """Ids of what came of contents.

    `artifacts` are what steps made of them, at whatever remove, and what versions were trained and judged by;
    `packages` are the artifacts of the registered versions themselves.
    """

    snapshots: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    steps: set[str] = field(default_factory=set)
    artifacts: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)


def affected(connection: sa.Connection, contents: Sequence[str]) -> Affected:
    """What came of contents."""
    found = Affected()
    found.snapshots = _ids(connection, data.snapshots.c.id, data.snapshots.c.content_pk, contents)
    found.runs = _ids(connection, _i.run_id, _i.snapshot_id, found.snapshots)
    news = found.runs
    while news:  # trials of sweeps, builds of bisections: whatever they were given came from above
        news = _ids(connection, _r.id, _r.parent_run_id, news) - found.runs
        found.runs |= news
    found.steps = _ids(connection, _s.id, _s.run_id, found.runs)
    made = _outputs(connection, found.steps) - _made_elsewhere(connection, found)
    while made - found.artifacts:
        found.artifacts |= made
        readers = _ids(connection, _k.step_id, _k.artifact_id, made, _k.direction == "in") - found.steps
        found.steps |= readers
        found.runs |= _ids(connection, _s.run_id, _s.id, readers)
        made = _outputs(connection, readers) - _made_elsewhere(connection, found)
    inputs = models.model_inputs.c
    found.versions = (
        _ids(connection, inputs.model_version_id, inputs.snapshot_id, found.snapshots)
        | _ids(connection, inputs.model_version_id, inputs.artifact_id, found.artifacts)
        | _ids(connection, _v.id, _v.run_id, found.runs)
    )
    found.packages = _ids(connection, _v.artifact_id, _v.id, found.versions)
    found.artifacts |= _ids(connection, inputs.artifact_id, inputs.model_version_id, found.versions)
    e = models.model_evaluations.c
    for column in (e.test_artifact_id, e.predictions_artifact_id, e.profile_artifact_id):
        found.artifacts |= _ids(connection, column, e.model_version_id, found.versions)
    found.artifacts -= found.packages
    return found


def _made_elsewhere(connection: sa.Connection, found: Affected) -> set[str]:
    """What a run that never saw the contents made as well, bit for bit: it holds nothing of them.

    A bisection builds what lies between two versions under one run, and repeats what either of them made.
    """
    elsewhere: set[str] = set()
    for some in parts(sorted(_outputs(connection, found.steps))):
        query = (
            sa.select(_k.artifact_id, _s.run_id)
            .join(builds.steps, _s.id == _k.step_id)
            .where(_k.artifact_id.in_(some), _k.direction == "out")
            .distinct()
        )
        elsewhere |= {str(row.artifact_id) for row in connection.execute(query) if str(row.run_id) not in found.runs}
    return elsewhere


def _outputs(connection: sa.Connection, steps: Iterable[str]) -> set[str]:
    return _ids(connection, _k.artifact_id, _k.step_id, steps, _k.direction == "out")


def _ids(
    connection: sa.Connection,
    wanted: sa.Column[Any],
    given: sa.Column[Any],
    values: Iterable[str],
    *where: sa.ColumnElement[bool],
) -> set[str]:
    """One column of the rows whose other column has one of some values."""
    found: set[str] = set()
    for some in parts(sorted(values)):
        query = sa.select(wanted).where(given.in_(some), wanted.is_not(None), *where).distinct()
        found |= {str(one) for one in connection.execute(query).scalars()}
    return found
