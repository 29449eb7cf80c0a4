"""Commands about runs and their steps."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa

from clew.catalog.command import Command, ContentId, Count, Digest, Id, Moment, Row, Transaction
from clew.catalog.commands.governance import refuse_while_erasing
from clew.catalog.tables import builds
from clew.errors import NotFoundError, UsageError

RunState = Literal["done", "failed", "interrupted", "cancelled"]
StepState = Literal["ran", "cached", "failed", "skipped"]


MOST_IN_CATALOG = 16_384
"""Values of up to so many bytes are kept in the catalog: an object's way to the disk takes longer than making them."""


Small = Annotated[bytes, msgspec.Meta(max_length=MOST_IN_CATALOG)]


class ArtifactSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a step read or made: its logical content id, and the object that holds it, or the bytes themselves."""

    kind: str
    content_id: ContentId
    digest: Digest
    bytes: Count
    rows: Count | None = None
    body: Small | None = None

    def __post_init__(self) -> None:
        if self.body is not None and hashlib.sha256(self.body).hexdigest() != self.digest:
            raise ValueError("the bytes are not what their digest says")


def record_artifact(tx: Transaction, spec: ArtifactSpec) -> str:
    """Give the id of this artifact, made now or before. One that had gone lives again, since its bytes are there."""
    found = tx.find(builds.artifacts, content_id=spec.content_id, digest=spec.digest)
    if found is None:
        return tx.insert(builds.artifacts, state="live", **msgspec.structs.asdict(spec))
    if found.state != "live":
        tx.update(builds.artifacts, builds.artifacts.c.id == found.id, state="live")
    return str(found.id)


def printable(text: str) -> str:
    """The text without what JSON or PostgreSQL can't keep: the word of a failure must not hide the failure."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


class RecordCode(Command, frozen=True, kw_only=True):
    """Keep the code of a run: an archive of files, and the commit when there is one."""

    content_id: ContentId
    digest: Digest
    files: dict[str, str]
    git_commit: str | None = None
    git_dirty: bool | None = None

    def apply(self, tx: Transaction) -> str:
        """Give its id, made now or before."""
        found = tx.find(builds.codes, content_id=self.content_id)
        return str(found.id) if found else tx.insert(builds.codes, **self.payload())


class RecordEnvironment(Command, frozen=True, kw_only=True):
    """Keep the environment of a run: the lock of what is installed, Python, platform, settings."""

    content_id: ContentId
    digest: Digest
    python: str
    platform: str
    settings: Any

    def apply(self, tx: Transaction) -> str:
        """Give its id, made now or before."""
        found = tx.find(builds.environments, content_id=self.content_id)
        return str(found.id) if found else tx.insert(builds.environments, **self.payload())


class StartRun(Command, frozen=True, kw_only=True):
    """Begin a run, with all that is known before its first step."""

    name: str
    pipeline: str
    entry: str
    provenance: Literal["recorded", "declared", "imported"]
    code_id: Id | None
    environment_id: Id | None
    parameters: Any
    criteria: Any
    inputs: dict[str, tuple[str, Id]]  # role → (reference, snapshot id)
    plan: Any = None
    parent_run_id: Id | None = None
    occurred_at: Moment

    def apply(self, tx: Transaction) -> str:
        """Give the run's id. Raises RefusedError while a person is being erased."""
        refuse_while_erasing(tx)
        if self.provenance == "recorded" and (self.code_id is None or self.environment_id is None):
            raise UsageError(
                "a recorded run needs its code and its environment", mend='record both, or say provenance="declared"'
            )
        fields = {name: value for name, value in msgspec.structs.asdict(self).items() if name != "inputs"}
        run_id = tx.insert(builds.runs, state="running", **fields)
        for role, (reference, snapshot_id) in self.inputs.items():
            tx.insert(builds.run_inputs, run_id=run_id, role=role, reference=reference, snapshot_id=snapshot_id)
        return run_id


class DescribeRun(Command, frozen=True, kw_only=True):
    """Add what a declared run says of itself while it lasts: what it used, its parameters, its code."""

    run_id: Id
    inputs: dict[str, tuple[str, Id]] = {}
    parameters: dict[str, Any] = {}
    code_id: Id | None = None

    def apply(self, tx: Transaction) -> str:
        """Give the run's id."""
        run = tx.lock(builds.runs, id=self.run_id)
        if run is None:
            raise NotFoundError(f"no run {self.run_id}", mend="clew runs list")
        if run.state != "running" or run.provenance != "declared":
            raise UsageError(
                f"run {self.run_id} is {run.state} and {run.provenance}: it can't be described any more",
                mend="describe a declared run while it runs",
            )
        known = tx.connection.execute(
            sa.select(builds.run_inputs.c.role).where(builds.run_inputs.c.run_id == self.run_id)
        ).scalars()
        for role in self.inputs.keys() - set(known):  # those that are known were added before an answer was lost
            reference, snapshot_id = self.inputs[role]
            tx.insert(builds.run_inputs, run_id=self.run_id, role=role, reference=reference, snapshot_id=snapshot_id)
        fields: dict[str, Any] = {"parameters": {**run.parameters, **self.parameters}} if self.parameters else {}
        if self.code_id is not None:
            fields["code_id"] = self.code_id
        if fields:
            tx.update(builds.runs, builds.runs.c.id == self.run_id, **fields)
        return self.run_id


class FinishStep(Command, frozen=True, kw_only=True):
    """Keep what became of a step; a step that ran can be found by its key from now on."""

    run_id: Id
    ordinal: Count
    name: str
    state: StepState
    cache_key: str | None
    key_parts: Any
    why: str
    error: str | None = None
    log: Digest | None = None
    inputs: dict[str, ArtifactSpec] = {}
    outputs: dict[str, ArtifactSpec] = {}
    started_at: Moment

    def __post_init__(self) -> None:
        if self.error is not None:
            msgspec.structs.force_setattr(self, "error", printable(self.error))

    def payload(self) -> Row:
        """What the command log keeps: of small values, what they are, not their bytes."""
        return _without_bytes(super().payload())

    def apply(self, tx: Transaction) -> str:
        """Give the step's id."""
        return _keep(tx, [self])[0]


class FinishSteps(Command, frozen=True, kw_only=True):
    """Keep what became of several steps, all or none of them: a transaction for each would cost more than the steps."""

    steps: list[FinishStep]

    def payload(self) -> Row:
        """What the command log keeps."""
        return {"steps": [step.payload() for step in self.steps]}

    def apply(self, tx: Transaction) -> list[str]:
        """Give the steps' ids."""
        return _keep(tx, self.steps)


def _without_bytes(payload: Row) -> Row:
    for specs in (payload["inputs"], payload["outputs"]):
        for spec in specs.values():
            spec.pop("body", None)
    return payload


def _keep(tx: Transaction, steps: Sequence[FinishStep]) -> list[str]:
    """Insert all rows of these steps, a statement for each table."""
    ids = tx.insert_all(
        builds.steps,
        [
            {
                "run_id": step.run_id,
                "ordinal": step.ordinal,
                "name": step.name,
                "state": step.state,
                "cache_key": step.cache_key,
                "key_parts": step.key_parts,
                "why": step.why,
                "error": step.error,
                "log": step.log,
                "recorded_at": step.started_at,
                "ended_at": tx.recorded_at,
            }
            for step in steps
        ],
    )
    used = [
        (step_id, direction, name, spec)
        for step_id, step in zip(ids, steps, strict=True)
        for direction, specs in (("in", step.inputs), ("out", step.outputs))
        for name, spec in specs.items()
    ]
    artifacts = _record_artifacts(tx, [spec for *_, spec in used])
    tx.insert_all(
        builds.step_artifacts,
        [
            {
                "step_id": step_id,
                "direction": direction,
                "name": name,
                "artifact_id": artifacts[spec.content_id, spec.digest],
            }
            for step_id, direction, name, spec in used
        ],
    )
    made = {
        step.cache_key: step_id
        for step_id, step in zip(ids, steps, strict=True)
        if step.state == "ran" and step.cache_key is not None
    }
    table = builds.step_cache
    for some in _parts(sorted(made)):
        tx.connection.execute(table.delete().where(table.c.cache_key.in_(some)))
    tx.insert_all(table, [{"cache_key": key, "step_id": made[key]} for key in sorted(made)])
    return ids


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


_AT_ONCE = 500  # values in one condition; SQLite allows more only in newer versions


def _record_artifacts(tx: Transaction, specs: Sequence[ArtifactSpec]) -> dict[tuple[str, str], str]:
    """The ids of these artifacts, by content id and digest; see `record_artifact`."""
    if len(specs) <= 3:
        return {(spec.content_id, spec.digest): record_artifact(tx, spec) for spec in specs}
    table, wanted = builds.artifacts, {(spec.content_id, spec.digest): spec for spec in specs}
    found: dict[tuple[str, str], str] = {}
    gone: list[str] = []
    for some in _parts(sorted({content_id for content_id, _ in wanted})):
        c = table.c
        for row in tx.connection.execute(
            sa.select(c.id, c.content_id, c.digest, c.state).where(c.content_id.in_(some))
        ):
            found[row.content_id, row.digest] = str(row.id)
            if row.state != "live" and (row.content_id, row.digest) in wanted:
                gone.append(str(row.id))
    for some in _parts(gone):
        tx.update(table, table.c.id.in_(some), state="live")
    new = [spec for key, spec in sorted(wanted.items()) if key not in found]
    ids = tx.insert_all(table, [{"state": "live", **msgspec.structs.asdict(spec)} for spec in new])
    return found | {(spec.content_id, spec.digest): one for spec, one in zip(new, ids, strict=True)}


class ForgetStep(Command, frozen=True, kw_only=True):
    """Take a key out of the cache, because what it made is gone or damaged."""

    cache_key: str
    reason: str

    def apply(self, tx: Transaction) -> bool:
        """Give whether it was there."""
        table = builds.step_cache
        return tx.connection.execute(table.delete().where(table.c.cache_key == self.cache_key)).rowcount > 0


class EndRun(Command, frozen=True, kw_only=True):
    """End a run, with its metrics."""

    run_id: Id
    state: RunState
    error: str | None = None
    metrics: Mapping[str, float | None] = {}  # null: not a finite number

    def __post_init__(self) -> None:
        if self.error is not None:
            msgspec.structs.force_setattr(self, "error", printable(self.error))

    def apply(self, tx: Transaction) -> Row:
        """Give whether the run was still running; a run ends once."""
        if tx.lock(builds.runs, id=self.run_id) is None:
            raise NotFoundError(f"no run {self.run_id}", mend="clew runs list")
        running = (builds.runs.c.id == self.run_id) & (builds.runs.c.state == sa.literal("running"))
        ended = tx.update(builds.runs, running, state=self.state, error=self.error, ended_at=tx.recorded_at)
        if ended:
            for name, value in self.metrics.items():
                tx.insert(builds.run_metrics, run_id=self.run_id, name=name, step=0, value=value)
        return {"ended": bool(ended)}
