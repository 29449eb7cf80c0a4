"""Commands about models and their versions."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from clew.catalog.command import Command, Id, Moment, Row, Transaction
from clew.catalog.commands.builds import ArtifactSpec, record_artifact
from clew.catalog.commands.data import check_name
from clew.catalog.tables import builds, models
from clew.errors import NotFoundError, UsageError

_LEVELS = ("recorded", "declared", "imported")  # a version is at most as well known as its run


class InputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What trained or tested a version: a snapshot, or the very rows that a step made of it."""

    role: str
    snapshot_id: Id | None = None
    artifact: ArtifactSpec | None = None


class EvaluationSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a version did: metrics, metrics by slice, on which rows, with which predictions."""

    name: str
    metrics: Mapping[str, float | None]
    slices: Any
    test: ArtifactSpec | None = None
    predictions: ArtifactSpec | None = None
    profile: ArtifactSpec | None = None


class RegisterModel(Command, frozen=True, kw_only=True):
    """Register a version, together with its run and at least one input. Refused ones are kept too, and say why."""

    model: str
    run_id: Id
    artifact: ArtifactSpec
    identity: str
    provenance: Literal["recorded", "declared", "imported"]
    signature: Any
    metrics: Mapping[str, float | None]
    verdicts: Any
    refused_because: str | None = None
    inputs: list[InputSpec]
    evaluations: list[EvaluationSpec] = []
    occurred_at: Moment

    def apply(self, tx: Transaction) -> Row:
        """Give the version; the newest again when it was made from exactly the same and fared the same."""
        check_name(self.model)
        if not self.inputs:
            raise UsageError(
                f"a version of {self.model} without any input can't be registered",
                mend="name the snapshot that trained it",
            )
        if any((spec.snapshot_id is None) == (spec.artifact is None) for spec in self.inputs):
            raise UsageError("each input of a version is either a snapshot or an artifact", mend="give one of the two")
        run = tx.find(builds.runs, id=self.run_id)
        if run is None:
            raise NotFoundError(f"no run {self.run_id}", mend="clew runs list")
        if _LEVELS.index(self.provenance) < _LEVELS.index(run.provenance):
            raise UsageError(
                f"a version of {self.model} can't be {self.provenance} when its run is {run.provenance}",
                mend=f'say provenance="{run.provenance}"',
            )
        found = tx.lock(models.models, name=self.model)
        model_id = str(found.id) if found else tx.insert(models.models, name=self.model)
        mine = models.model_versions.c.model_id == model_id
        versions = models.model_versions
        newest = tx.first(sa.select(versions).where(mine).order_by(versions.c.version.desc()).limit(1))
        state = "refused" if self.refused_because else "accepted"
        if newest is not None and newest.identity == self.identity and newest.state == state:
            self._arrived(tx, str(newest.id))
            return {"model_version_id": str(newest.id), "version": int(newest.version), "changed": False}
        version = 1 if newest is None else int(newest.version) + 1
        version_id = tx.insert(
            versions,
            model_id=model_id,
            version=version,
            artifact_id=record_artifact(tx, self.artifact),
            run_id=self.run_id,
            provenance=self.provenance,
            state=state,
            identity=self.identity,
            signature=self.signature,
            metrics=self.metrics,
            verdicts=self.verdicts,
            refused_because=self.refused_because,
            occurred_at=self.occurred_at,
        )
        self._inputs(tx, version_id)
        self._arrived(tx, version_id)
        return {"model_version_id": version_id, "version": version, "changed": True}

    def _arrived(self, tx: Transaction, version_id: str) -> None:
        if tx.find(models.run_models, run_id=self.run_id, model_version_id=version_id) is None:
            tx.insert(models.run_models, run_id=self.run_id, model_version_id=version_id)

    def _inputs(self, tx: Transaction, version_id: str) -> None:
        for spec in self.inputs:
            tx.insert(
                models.model_inputs,
                model_version_id=version_id,
                role=spec.role,
                snapshot_id=spec.snapshot_id,
                artifact_id=record_artifact(tx, spec.artifact) if spec.artifact else None,
            )
        for evaluation in self.evaluations:
            tx.insert(
                models.model_evaluations,
                model_version_id=version_id,
                name=evaluation.name,
                metrics=evaluation.metrics,
                slices=evaluation.slices,
                test_artifact_id=record_artifact(tx, evaluation.test) if evaluation.test else None,
                predictions_artifact_id=(
                    record_artifact(tx, evaluation.predictions) if evaluation.predictions else None
                ),
                profile_artifact_id=record_artifact(tx, evaluation.profile) if evaluation.profile else None,
            )


class DescribeModel(Command, frozen=True, kw_only=True):
    """Say what a version, and those after it until another is described, is for, and where it must not be trusted."""

    model_version_id: Id
    intended_use: str | None = None
    limits: str | None = None

    def apply(self, tx: Transaction) -> str:
        """Give the description's id. What is left out stays as it was said before."""
        if not (self.intended_use or self.limits):
            raise UsageError("a description without a word", mend="say what it is for (--use) or its limits (--limits)")
        if tx.find(models.model_versions, id=self.model_version_id) is None:
            raise NotFoundError(f"no model version {self.model_version_id}", mend="clew model list")
        table = models.model_descriptions
        mine = table.c.model_version_id == self.model_version_id
        before = tx.first(sa.select(table).where(mine).order_by(table.c.id.desc()).limit(1))
        said = {
            name: given or (None if before is None else getattr(before, name))
            for name, given in (("intended_use", self.intended_use), ("limits", self.limits))
        }
        if before is not None and all(getattr(before, name) == one for name, one in said.items()):
            return str(before.id)
        return tx.insert(table, model_version_id=self.model_version_id, **said)
