"""Commands about runs and their steps."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from clew.catalog.command import Command, ContentId, Count, Digest, Id, Moment, Row, Transaction
from clew.catalog.tables import builds
from clew.errors import NotFoundError, UsageError

RunState = Literal["done", "failed", "interrupted", "cancelled"]
StepState = Literal["ran", "cached", "failed", "skipped"]


class ArtifactSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a step read or made: its logical content id, and the object that holds it."""

    kind: str
    content_id: ContentId
    digest: Digest
    bytes: Count
    rows: Count | None = None


def record_artifact(tx: Transaction, spec: ArtifactSpec) -> str:
    """Give the id of this artifact, made now or before. One that had gone lives again, since its bytes are there."""
    found = tx.find(builds.artifacts, content_id=spec.content_id, digest=spec.digest)
    if found is None:
        return tx.insert(builds.artifacts, state="live", **msgspec.to_builtins(spec))
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
    parent_run_id: Id | None = None
    occurred_at: Moment

    def apply(self, tx: Transaction) -> str:
        """Give the run's id."""
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

    def apply(self, tx: Transaction) -> str:
        """Give the step's id."""
        step_id = tx.insert(
            builds.steps,
            run_id=self.run_id,
            ordinal=self.ordinal,
            name=self.name,
            state=self.state,
            cache_key=self.cache_key,
            key_parts=self.key_parts,
            why=self.why,
            error=self.error,
            log=self.log,
            recorded_at=self.started_at,
            ended_at=tx.recorded_at,
        )
        for direction, specs in (("in", self.inputs), ("out", self.outputs)):
            for name, spec in specs.items():
                artifact_id = record_artifact(tx, spec)
                tx.insert(
                    builds.step_artifacts, step_id=step_id, direction=direction, name=name, artifact_id=artifact_id
                )
        if self.state == "ran" and self.cache_key is not None:
            table = builds.step_cache
            if not tx.update(table, table.c.cache_key == self.cache_key, step_id=step_id, recorded_at=tx.recorded_at):
                tx.insert(table, cache_key=self.cache_key, step_id=step_id)
        return step_id


class FinishSteps(Command, frozen=True, kw_only=True):
    """Keep what became of several steps, all or none of them: a transaction for each would cost more than the steps."""

    steps: list[FinishStep]

    def apply(self, tx: Transaction) -> list[str]:
        """Give the steps' ids."""
        return [step.apply(tx) for step in self.steps]


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
