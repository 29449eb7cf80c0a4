"""What tests put into a catalog, each with a name of its own."""

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from clew.catalog import Actor, Catalog
from clew.catalog.commands import (
    ArtifactSpec,
    CreateDataset,
    CreateEndpoint,
    FragmentSpec,
    GroupSpec,
    InputSpec,
    RecordCode,
    RecordEnvironment,
    RecordSnapshot,
    RegisterModel,
    StartRun,
)

NOWHERE = "00000000-0000-7000-8000-000000000000"
ACTOR = Actor("user", "ada@example")
WHEN = datetime(2026, 11, 23, 12, 30, 59, 123457, tzinfo=UTC)


def name(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def artifact(text: str, kind: str = "table") -> ArtifactSpec:
    return ArtifactSpec(kind=kind, content_id=f"c1:{digest(text)}", digest=digest(f"bytes of {text}"), bytes=10, rows=2)


def dataset(catalog: Catalog) -> str:
    return str(catalog.execute(CreateDataset(name=name("sales"))))


def snapshot_of(dataset_id: str, text: str, **changes: Any) -> RecordSnapshot:
    """The command that records a table, whose content is told by `text`."""
    fragments = [FragmentSpec(digest=digest(f"fragment {text} {n}"), rows=3, bytes=40) for n in range(2)]
    fields: dict[str, Any] = {
        "dataset_id": dataset_id,
        "content_id": f"c1:{digest(text)}",
        "kind": "table",
        "rows": 6,
        "schema": [["price", "Float64"], ["rooms", "Int64"]],
        "manifest": digest(f"schema {text}"),
        "groups": [GroupSpec(columns=["price", "rooms"], rope=digest(f"rope {text}"), fragments=fragments)],
        "new_bytes": 80,
        "occurred_at": WHEN,
    }
    return RecordSnapshot(**(fields | changes))


def snapshot(catalog: Catalog, dataset_id: str, text: str) -> str:
    return str(catalog.execute(snapshot_of(dataset_id, text))["snapshot_id"])


def code(text: str) -> RecordCode:
    return RecordCode(
        content_id=f"k1:{digest(text)}", digest=digest(f"archive {text}"), files={"flow.py": digest(text)}
    )


def environment(text: str) -> RecordEnvironment:
    return RecordEnvironment(
        content_id=f"e1:{digest(text)}",
        digest=digest(f"lock {text}"),
        python="3.11.9",
        platform="linux",
        settings={"threads": 2},
    )


def run(catalog: Catalog, snapshot_id: str, **changes: Any) -> str:
    fields: dict[str, Any] = {
        "name": "flow",
        "pipeline": "train",
        "entry": "flow.py:train",
        "provenance": "recorded",
        "code_id": catalog.execute(code("the same code")),
        "environment_id": catalog.execute(environment("the same environment")),
        "parameters": {"depth": 3},
        "criteria": {},
        "inputs": {"raw": ("sales@1", snapshot_id)},
        "occurred_at": WHEN,
    }
    return str(catalog.execute(StartRun(**(fields | changes))))


def version_of(run_id: str, snapshot_id: str, model: str, identity: str, **changes: Any) -> RegisterModel:
    fields: dict[str, Any] = {
        "model": model,
        "run_id": run_id,
        "artifact": artifact(f"model {identity}", "model"),
        "identity": identity,
        "provenance": "recorded",
        "signature": {"inputs": ["rooms"]},
        "metrics": {"mae": 12.5},
        "verdicts": [],
        "inputs": [InputSpec(role="train", snapshot_id=snapshot_id)],
        "occurred_at": WHEN,
    }
    return RegisterModel(**(fields | changes))


class Served:
    """An endpoint with everything behind it: a dataset, a snapshot, a run, and three versions of a model."""

    def __init__(self, catalog: Catalog) -> None:
        self.snapshot_id = snapshot(catalog, dataset(catalog), name("content"))
        self.run_id = run(catalog, self.snapshot_id)
        self.model = name("price")
        self.versions = [self._version(catalog, f"{self.model} {n}") for n in range(3)]
        self.endpoint = name("prices")
        created = CreateEndpoint(name=self.endpoint, model_version_id=self.versions[0], occurred_at=WHEN)
        self.endpoint_id = str(catalog.execute(created)["endpoint_id"])

    def _version(self, catalog: Catalog, identity: str) -> str:
        answer = catalog.execute(version_of(self.run_id, self.snapshot_id, self.model, identity))
        return str(answer["model_version_id"])


def count(catalog: Catalog, table: sa.Table, **equal: Any) -> int:
    """How many rows of a table have these values."""
    where = [table.c[column] == value for column, value in equal.items()]
    return int(catalog.rows(sa.select(sa.func.count()).select_from(table).where(*where))[0][0])
