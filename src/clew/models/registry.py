"""Models and their versions: found by reference, listed, aliased."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from clew.catalog.commands import MoveAlias
from clew.catalog.retention import GONE
from clew.catalog.tables import builds, data, governance, models
from clew.errors import IntegrityError, NotFoundError, RefusedError
from clew.models.model import Model
from clew.models.package import unpack
from clew.models.signature import Signature
from clew.references import Versions, parse
from clew.workspace import Workspace

_m, _v, _a = models.models.c, models.model_versions.c, builds.artifacts.c

VERSIONS = Versions(
    kind="model",
    owners=models.models,
    query=sa.select(models.model_versions, _m.name.label("model"), _a.content_id, _a.digest, _a.bytes).select_from(
        models.model_versions.join(models.models, _v.model_id == _m.id).join(builds.artifacts, _v.artifact_id == _a.id)
    ),
    owner_id=_v.model_id,
    row_id=_v.id,
    version=_v.version,
    occurred_at=_v.occurred_at,
    content_id=_a.content_id,
    listing="clew model list",
)


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model; the model itself is loaded when it is asked for."""

    workspace: Workspace
    id: str
    model: str
    version: int
    state: str
    provenance: str
    content_id: str
    digest: str
    run_id: str
    metrics: Mapping[str, float]
    verdicts: list[dict[str, Any]]
    refused_because: str | None
    signature: Mapping[str, Any]
    occurred_at: datetime
    recorded_at: datetime

    @property
    def reference(self) -> str:
        """Such as `house-price@7`."""
        return f"{self.model}@{self.version}"

    def require_bytes(self) -> None:
        """Raise RefusedError when the version expired or was erased: it is known, and can't be had."""
        if self.state in GONE:
            how = "expired by a rule of retention" if self.state == "expired" else "was erased"
            raise RefusedError(
                f"{self.reference} {how}: what it was is known, its bytes are gone",
                mend=f"choose another version: clew model list {self.model}",
            )

    def load(self) -> Model:
        """The model, ready to predict. Raises IntegrityError, and RefusedError when it is gone."""
        self.require_bytes()
        self.workspace.objects.verify(self.digest)
        return unpack(self.workspace.objects.open_path(self.digest))

    def signature_of(self) -> Signature:
        """The model's signature."""
        import msgspec

        return msgspec.convert(self.signature, Signature)

    def evaluation(self, name: str = "test") -> dict[str, Any]:
        """The evaluation that was registered: metrics, slices, and where its rows and predictions are."""
        table = models.model_evaluations
        row = self.workspace.catalog.first(
            sa.select(table).where(table.c.model_version_id == self.id, table.c.name == name)
        )
        if row is None:
            raise NotFoundError(f"{self.reference} has no evaluation {name!r}")
        return {
            "metrics": row.metrics,
            "slices": row.slices,
            "test": row.test_artifact_id,
            "predictions": row.predictions_artifact_id,
            "profile": row.profile_artifact_id,
        }

    def artifact(self, role: str) -> sa.Row[Any]:
        """The artifact of the test evaluation: "test", "predictions" or "profile". Raises NotFoundError."""
        artifact_id = self.evaluation()[role]
        if artifact_id is None:
            raise NotFoundError(f"{self.reference} was registered without {role}")
        row = self.workspace.catalog.get(builds.artifacts, str(artifact_id))
        if row.state == "erased":
            raise NotFoundError(
                f"the {role} of {self.reference} went with rows of a person who was erased",
                mend="train it again: clew data erasures says how",
            )
        return row

    def inputs(self) -> list[dict[str, Any]]:
        """What trained and tested it: snapshots by reference, rows by content id."""
        i = models.model_inputs.c
        rows = self.workspace.catalog.rows(
            sa.select(
                i.role,
                i.snapshot_id,
                data.datasets.c.name,
                data.snapshots.c.version,
                data.contents.c.content_id.label("snapshot_content"),
                _a.content_id.label("artifact_content"),
                _a.digest.label("artifact_digest"),
                _a.rows.label("artifact_rows"),
            )
            .select_from(models.model_inputs)
            .outerjoin(data.snapshots, data.snapshots.c.id == i.snapshot_id)
            .outerjoin(data.contents, data.contents.c.id == data.snapshots.c.content_pk)
            .outerjoin(data.datasets, data.datasets.c.id == data.snapshots.c.dataset_id)
            .outerjoin(builds.artifacts, _a.id == i.artifact_id)
            .where(i.model_version_id == self.id)
            .order_by(i.id)
        )
        return [
            {
                "role": row.role,
                "snapshot": None if row.snapshot_id is None else f"{row.name}@{row.version}",
                "snapshot_id": None if row.snapshot_id is None else str(row.snapshot_id),
                "id": row.snapshot_content or row.artifact_content,
                "rows": row.artifact_rows,
                "digest": row.artifact_digest,
            }
            for row in rows
        ]

    def aliases(self) -> list[str]:
        """The aliases that point here."""
        table = governance.aliases.c
        rows = self.workspace.catalog.rows(
            sa.select(table.alias).where(table.target_id == self.id).order_by(table.alias)
        )
        return [row.alias for row in rows]


def from_row(workspace: Workspace, row: sa.Row[Any]) -> ModelVersion:
    """A version from a row of `VERSIONS.query`."""
    return ModelVersion(
        workspace=workspace,
        id=str(row.id),
        model=row.model,
        version=int(row.version),
        state=row.state,
        provenance=row.provenance,
        content_id=row.content_id,
        digest=row.digest,
        run_id=str(row.run_id),
        metrics=row.metrics,
        verdicts=row.verdicts,
        refused_because=row.refused_because,
        signature=row.signature,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
    )


def find(workspace: Workspace, reference: str) -> ModelVersion:
    """The version that a reference names. Raises NotFoundError, UsageError."""
    return from_row(workspace, VERSIONS.resolve(workspace.catalog, reference))


def by_id(workspace: Workspace, version_id: str) -> ModelVersion:
    """The version with this key."""
    row = workspace.catalog.first(VERSIONS.query.where(_v.id == version_id))
    if row is None:
        raise IntegrityError(f"model version {version_id} is gone from the catalog", mend="clew doctor")
    return from_row(workspace, row)


def all_versions(workspace: Workspace, model: str | None = None) -> list[ModelVersion]:
    """All versions, of one model or of all, the newest first."""
    query = VERSIONS.query.order_by(_m.name, _v.version.desc())
    if model is not None:
        query = query.where(_m.name == model)
    return [from_row(workspace, row) for row in workspace.catalog.rows(query)]


def move_alias(workspace: Workspace, reference: str, alias: str, reason: str | None) -> dict[str, Any]:
    """Point an alias at a version; the answer says where it pointed before."""
    version = find(workspace, reference)
    owner = workspace.catalog.first(sa.select(_m.id).where(_m.name == parse(reference).name))
    if owner is None:
        raise NotFoundError(f"no model {version.model}")
    answer = workspace.catalog.execute(
        MoveAlias(owner_kind="model", owner_id=str(owner.id), alias=alias, to_id=version.id, reason=reason)
    )
    before = None if answer["from_id"] is None else by_id(workspace, answer["from_id"]).reference
    return {"alias": f"{version.model}@{alias}", "from": before, "to": version.reference, "moved": answer["moved"]}
