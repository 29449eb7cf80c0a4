"""All that differs between two versions, looked up in what was recorded."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import builds
from clew.data import by_id as snapshot_by_id
from clew.errors import RefusedError
from clew.models.bisection.builds import Differences, Role
from clew.models.bisection.changes import Change
from clew.models.bisection.code import CodeDifference, code_changes
from clew.models.bisection.libraries import Libraries, reached_by
from clew.models.bisection.tables import Score, TableDifference, table_changes
from clew.models.registry import ModelVersion


def find_differences(
    good: ModelVersion, bad: ModelVersion, *, score: Score, target: str, folder: Path, wheels: Path | None
) -> tuple[Differences, list[Change], list[str]]:
    """What can be crossed, the changes that it consists of, and in words what differs and can't be."""
    before, after = _Recorded(good), _Recorded(bad)
    entries, pipelines = (before.run.entry, after.run.entry), (before.run.pipeline, after.run.pipeline)
    code = CodeDifference(before.files, after.files, entries, pipelines)
    code.take_alone(before.reached_whole | after.reached_whole)
    if before.reached_code != after.reached_code:
        code.take_whole()
    changed, units = code_changes(code, pipelines, before.keys, after.keys)
    roles = {
        name: Role(before.snapshots.get(name), after.snapshots.get(name))
        for name in sorted(before.snapshots.keys() | after.snapshots.keys())
    }
    first, second = before.parameters, after.parameters
    parameters = {
        name: (first.get(name, second.get(name)), second.get(name, first.get(name)))
        for name in sorted(first.keys() | second.keys())
        if name not in roles
    }
    reached_good, reached_bad = (reached_by(one.keys, one.handed_models) for one in (before, after))
    reached = None if reached_good is None or reached_bad is None else reached_good | reached_bad
    libraries = Libraries(good, bad, reached, folder, wheels)
    differences = Differences(
        roles=roles,
        parameters=parameters,
        code=code,
        units=units,
        libraries=libraries,
        entries=entries,
        pipelines=pipelines,
    )
    notes = list(libraries.notes)
    changes = [_data_change(name, role, score, target) for name, role in roles.items() if role.differs]
    for name, role in roles.items():
        if role.good is None or role.bad is None:
            only = role.good or role.bad
            assert only is not None
            which = good.reference if role.bad is None else bad.reference
            notes.append(f"{only.reference} as {name} is read by {which} alone: it goes with the code")
    changes += changed
    changes += [
        Change(f"parameter {name}", "parameters", f"{name} {_shown(a)} → {_shown(b)}", {"good": a, "bad": b})
        for name, (a, b) in parameters.items()
        if a != b
    ]
    return differences, changes + libraries.changes(), notes


class _Recorded:
    """What is recorded of the run that made a version."""

    def __init__(self, version: ModelVersion) -> None:
        workspace = version.workspace
        self.run = workspace.catalog.get(builds.runs, version.run_id)
        code = workspace.catalog.get(builds.codes, str(self.run.code_id))
        workspace.objects.verify(code.digest)
        with zipfile.ZipFile(io.BytesIO(workspace.objects.get(code.digest))) as archive:
            self.files = {name: archive.read(name) for name in archive.namelist()}
        s = builds.steps.c
        steps = workspace.catalog.rows(
            sa.select(s.name, s.key_parts).where(s.run_id == version.run_id, s.key_parts.is_not(None))
        )
        self.keys: dict[str, Mapping[str, Any]] = {row.name: row.key_parts for row in steps}
        x, a = builds.step_artifacts.c, builds.artifacts.c
        handed = workspace.catalog.rows(
            sa.select(s.name)
            .join(builds.step_artifacts, x.step_id == s.id)
            .join(builds.artifacts, a.id == x.artifact_id)
            .where(s.run_id == version.run_id, x.direction == "in", a.kind == "model")
        )
        self.handed_models = {row.name for row in handed}
        self.reached_code = {name: parts.get("code") for name, parts in self.keys.items()}
        self.reached_whole = {
            file for parts in self.keys.values() if parts.get("whole") for file in parts.get("code", {})
        }
        i = builds.run_inputs.c
        inputs = workspace.catalog.rows(sa.select(i.role, i.snapshot_id).where(i.run_id == version.run_id))
        self.snapshots = {row.role: snapshot_by_id(workspace, str(row.snapshot_id)) for row in inputs}
        self.parameters = dict(self.run.parameters)


def require_recorded(version: ModelVersion) -> None:
    """Raises RefusedError for a version that wasn't recorded, or whose bytes are gone."""
    if version.provenance != "recorded":
        raise RefusedError(
            f"{version.reference} is {version.provenance}: it can't be built again with a change, as its code, data "
            "and environment were not captured",
            mend="bisect between versions that clew run made",
        )
    if version.state in ("erased", "expired"):
        raise RefusedError(
            f"{version.reference} is {version.state}: its bytes are gone", mend="clew model list shows what is kept"
        )


def _data_change(name: str, role: Role, score: Score, target: str) -> Change:
    good, bad = role.good, role.bad
    assert good is not None
    assert bad is not None
    says = f"{name}: {good.reference} → {bad.reference}"

    def inner() -> list[Change]:
        if good.kind != "table" or bad.kind != "table":
            return []
        keys = bad.key_columns or good.key_columns
        role.difference = TableDifference(good.collect(), bad.collect(), keys)
        changes, role.atoms = table_changes(name, role.difference, score, target)
        role.every = frozenset(change.key for change in changes)
        return changes

    return Change(f"data {name}", "data", says, {"good": good.reference, "bad": bad.reference}, inner)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
