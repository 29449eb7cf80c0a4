"""A catalog of so many runs, in bulk through the real tables: what a busy team has after a year.

Of every ten runs one registers a version and one reads a new snapshot; three in ten read the same hot snapshot.
"""

import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import builds, data, governance, models, serving
from clew.workspace import Workspace
from way_back.ids import BEGIN_MS, YEAR_MS, ident, sha

DATASETS, MODELS, ROUTES, CODES, LOCKS = 40, 20, 50, 200, 50
STEPS = ("clean", "split", "fit", "evaluate", "register")
_AT_ONCE = 20_000
Row = dict[str, Any]


class Sizes:
    """How many of each there are."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.versions = max(MODELS, runs // 10)
        self.snapshots = max(DATASETS, runs // 10)

    def at(self, number: int, of: int) -> datetime:
        """When the `number`-th of `of` things was made."""
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=BEGIN_MS + number * YEAR_MS // max(of, 1))

    def snapshot_of(self, run: int) -> int:
        """The snapshot that a run read: the hot one, or one that was new then."""
        return 0 if run % 10 in (3, 6, 9) else run * self.snapshots // self.runs

    def version_id(self, version: int) -> str:
        """The key of the version, counted over all models."""
        return ident("version", version, self.versions)

    def run_of(self, version: int) -> int:
        """The run that made it."""
        return version * self.runs // self.versions + (3 if version % 3 == 0 else 0)  # a third from the hot snapshot


def fill(workspace: Workspace, runs: int) -> None:
    """Write all rows, some at once in one transaction each."""
    size = Sizes(runs)
    archives = [workspace.objects.put(_archive(number)).digest for number in range(CODES)]
    locks = [workspace.objects.put(_lock(number)).digest for number in range(LOCKS)]
    waiting: dict[sa.Table, list[Row]] = defaultdict(list)
    held = 0

    def flush() -> None:
        with workspace.catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
            for table in sorted(waiting, key=_order.__getitem__):
                connection.execute(table.insert(), waiting[table])
        waiting.clear()

    for table, row in _rows(size, archives, locks):
        waiting[table].append(row)
        held += 1
        if held >= _AT_ONCE:
            flush()
            held = 0
    flush()
    if workspace.catalog.engine.dialect.name == "postgresql":  # which does so by itself, a minute later
        with workspace.catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")


_order = {table: number for number, table in enumerate(governance.actors.metadata.sorted_tables)}


def _rows(size: Sizes, archives: list[str], locks: list[str]) -> Iterator[tuple[sa.Table, Row]]:
    actor = ident("actor", 0, 1)
    yield governance.actors, {"id": actor, "kind": "user", "name": "bench@lab"}
    first = size.at(0, 1)
    for number in range(DATASETS):
        yield (
            data.datasets,
            {"id": ident("dataset", number, 1), "name": f"set-{number}", "key_columns": ["id"], "recorded_at": first},
        )
    for number, digest in enumerate(archives):
        files = {"train.py": sha(f"train {number}"), "features.py": sha(f"features {number}")}
        yield (
            builds.codes,
            {
                "id": ident("code", number, 1),
                "content_id": f"p1:{sha(f'code {number}')}",
                "digest": digest,
                "files": files,
                "recorded_at": first,
            },
        )
    for number, digest in enumerate(locks):
        yield (
            builds.environments,
            {
                "id": ident("environment", number, 1),
                "content_id": f"e1:{sha(f'lock {number}')}",
                "digest": digest,
                "python": "3.11.2",
                "platform": "linux-x86_64",
                "settings": {"cpus": 2},
                "recorded_at": first,
            },
        )
    for number in range(size.snapshots):
        yield from _snapshot(size, number, actor)
    for number in range(size.runs):
        yield from _run(size, number, actor)
    for number in range(MODELS):
        yield models.models, {"id": ident("model", number, 1), "name": f"model-{number}", "recorded_at": first}
    for number in range(size.versions):
        yield from _version(size, number, actor)
    yield from _serving(size, actor)


def _snapshot(size: Sizes, number: int, actor: str) -> Iterator[tuple[sa.Table, Row]]:
    at, before = size.at(number, size.snapshots), number - DATASETS
    content, group, fragment = (ident(kind, number, size.snapshots) for kind in ("content", "group", "fragment"))
    yield (
        data.contents,
        {
            "id": content,
            "content_id": f"c1:{sha(f'content {number}')}",
            "kind": "table",
            "rows": 20_000 + number,
            "schema": [["id", "int64"], ["area", "float64"], ["price", "float64"]],
            "manifest": sha("schema"),
            "state": "live",
            "erased_rows": 0,
            "recorded_at": at,
        },
    )
    yield (
        data.column_groups,
        {"id": group, "content_pk": content, "ordinal": 0, "columns": ["id", "area"], "rope": sha(f"rope {number}")},
    )
    yield (
        data.fragments,
        {"id": fragment, "digest": sha(f"fragment {number}"), "rows": 20_000, "bytes": 800_000, "recorded_at": at},
    )
    yield data.group_fragments, {"group_id": group, "fragment_id": fragment}
    changes = {"from": f"c1:{sha(f'content {before}')}", "by": "key", "added": 1484, "removed": 3, "changed": 12}
    yield (
        data.snapshots,
        {
            "id": ident("snapshot", number, size.snapshots),
            "dataset_id": ident("dataset", number % DATASETS, 1),
            "version": number // DATASETS + 1,
            "content_pk": content,
            "parent_id": ident("snapshot", before, size.snapshots) if before >= 0 else None,
            "new_bytes": 60_000,
            "changes": changes if before >= 0 else None,
            "state": "live",
            "occurred_at": at,
            "recorded_at": at,
            "actor_id": actor,
        },
    )
    yield (
        data.sources,
        {
            "id": ident("source", number, size.snapshots),
            "snapshot_id": ident("snapshot", number, size.snapshots),
            "uri": f"/srv/dumps/{number}.csv.gz",
            "kind": "csv",
            "bytes": 800_000,
            "sha256": sha(f"dump {number}"),
            "recorded_at": at,
        },
    )


def _run(size: Sizes, number: int, actor: str) -> Iterator[tuple[sa.Table, Row]]:
    at, run = size.at(number, size.runs), ident("run", number, size.runs)
    yield (
        builds.runs,
        {
            "id": run,
            "name": f"model-{number % MODELS}",
            "pipeline": "train",
            "entry": "train.py",
            "state": "done",
            "provenance": "recorded",
            "code_id": ident("code", number % CODES, 1),
            "environment_id": ident("environment", number % LOCKS, 1),
            "parameters": {"rate": 0.1 / (number % 7 + 1), "trees": 100 + number % 300},
            "criteria": [],
            "occurred_at": at,
            "recorded_at": at,
            "ended_at": at + timedelta(seconds=90),
            "actor_id": actor,
        },
    )
    snapshot = size.snapshot_of(number)
    reference = f"set-{snapshot % DATASETS}@{snapshot // DATASETS + 1}"
    held = ident("snapshot", snapshot, size.snapshots)
    yield builds.run_inputs, {"run_id": run, "role": "rows", "reference": reference, "snapshot_id": held}
    for name in ("mae", "mape", "bias"):
        yield (
            builds.run_metrics,
            {
                "id": ident(name, number, size.runs),
                "run_id": run,
                "name": name,
                "step": 0,
                "value": 1000.0 / (number % 97 + 1),
                "recorded_at": at,
            },
        )
    before: str | None = None
    for ordinal, name in enumerate(STEPS):
        step = ident(f"step {ordinal}", number, size.runs)
        made = ident(f"artifact {ordinal}", number, size.runs)
        yield (
            builds.steps,
            {
                "id": step,
                "run_id": run,
                "ordinal": ordinal,
                "name": name,
                "state": "ran",
                "cache_key": f"k3:{sha(f'{name} {number}')}",
                "key_parts": {
                    "scheme": "k3",
                    "code": {f"train.{name}": sha(f"{name} {number % CODES}")[:16]},
                    "libraries": {"polars": "2.1.0"},
                    "inputs": {"rows": f"c1:{sha(f'content {snapshot}')}"},
                    "parameters": {"trees": 100 + number % 300},
                },
                "why": "parameter trees changed",
                "recorded_at": at,
                "ended_at": at + timedelta(seconds=10),
            },
        )
        kind = "model" if name == "fit" else "table"
        yield (
            builds.artifacts,
            {
                "id": made,
                "kind": kind,
                "content_id": f"{'m1' if kind == 'model' else 'c1'}:{sha(f'{name} {number}')}",
                "digest": sha(f"bytes of {name} {number}"),
                "bytes": 48_000,
                "rows": 16_000 if kind == "table" else None,
                "state": "live",
                "recorded_at": at,
            },
        )
        if before is not None:
            yield builds.step_artifacts, {"step_id": step, "direction": "in", "name": "rows", "artifact_id": before}
        yield builds.step_artifacts, {"step_id": step, "direction": "out", "name": "return", "artifact_id": made}
        before = made


def _version(size: Sizes, number: int, actor: str) -> Iterator[tuple[sa.Table, Row]]:
    run, at = size.run_of(number), size.at(number, size.versions)
    run_id, version = ident("run", run, size.runs), size.version_id(number)
    yield (
        models.model_versions,
        {
            "id": version,
            "model_id": ident("model", number % MODELS, 1),
            "version": number // MODELS + 1,
            "artifact_id": ident("artifact 2", run, size.runs),
            "run_id": run_id,
            "provenance": "recorded",
            "state": "accepted",
            "identity": f"i1:{sha(f'version {number}')}",
            "signature": {"inputs": [{"name": "area", "kind": "float", "nullable": False}]},
            "metrics": {"mae": 1000.0 / (run % 97 + 1)},
            "verdicts": [],
            "occurred_at": at,
            "recorded_at": at,
            "actor_id": actor,
        },
    )
    yield models.run_models, {"run_id": run_id, "model_version_id": version}
    snapshot = ident("snapshot", size.snapshot_of(run), size.snapshots)
    for ordinal, (role, target) in enumerate((("rows", snapshot), ("train", None), ("test", None))):
        yield (
            models.model_inputs,
            {
                "id": ident(f"input {ordinal}", number, size.versions),
                "model_version_id": version,
                "role": role,
                "snapshot_id": target,
                "artifact_id": None if target else ident(f"artifact {ordinal}", run, size.runs),
            },
        )
    yield (
        models.model_evaluations,
        {
            "id": ident("evaluation", number, size.versions),
            "model_version_id": version,
            "name": "test",
            "metrics": {"mae": 1000.0 / (run % 97 + 1)},
            "slices": [{"slice": "city", "value": "Bern", "rows": 2110, "mae": 9.0}],
            "recorded_at": at,
        },
    )


def _serving(size: Sizes, actor: str) -> Iterator[tuple[sa.Table, Row]]:
    """An endpoint for each model, through whose routes the versions went one after the other, by rollouts."""
    each = size.versions // MODELS
    for number in range(MODELS):
        endpoint = ident("endpoint", number, 1)
        yield (
            serving.endpoints,
            {
                "id": endpoint,
                "name": f"endpoint-{number}",
                "model_id": ident("model", number, 1),
                "settings": {},
                "state": "live",
                "recorded_at": size.at(0, 1),
            },
        )
        for revision in range(1, ROUTES + 1):
            at = size.at(revision, ROUTES + 1)
            champion, candidate = live_at(size, number, revision - 1), live_at(size, number, revision)
            rollout = ident("rollout", number * ROUTES + revision, 1) if revision > 1 and each > ROUTES else None
            if rollout:
                yield (
                    serving.rollouts,
                    {
                        "id": rollout,
                        "endpoint_id": endpoint,
                        "champion_id": size.version_id(champion),
                        "candidate_id": size.version_id(candidate),
                        "plan": {},
                        "state": "promoted",
                        "occurred_at": at,
                        "recorded_at": at,
                        "ended_at": at,
                        "actor_id": actor,
                    },
                )
            route = ident("route", number * ROUTES + revision, MODELS * ROUTES)
            yield (
                serving.routes,
                {
                    "id": route,
                    "endpoint_id": endpoint,
                    "revision": revision,
                    "rollout_id": rollout,
                    "reason": "promoted",
                    "actor_id": actor,
                    "occurred_at": at,
                    "recorded_at": at,
                },
            )
            target = {"model_version_id": size.version_id(candidate), "role": "champion", "share": 1.0}
            yield serving.route_targets, {"route_id": route, **target}


def live_at(size: Sizes, model: int, revision: int) -> int:
    """The version (counted over all models) that answered at an endpoint by a revision of its route."""
    each = size.versions // MODELS
    return min(revision * each // (ROUTES + 1), each - 1) * MODELS + model


def _archive(number: int) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name in ("train.py", "features.py"):
            lines = [f"value_{line} = {line * (number + 1) if line % 25 == 0 else line}" for line in range(200)]
            archive.writestr(zipfile.ZipInfo(name), "\n".join(lines) + "\n")
    return body.getvalue()


def _lock(number: int) -> bytes:
    lines = [f"library-{line:03}==1.{number if line % 40 == 0 else 0}.{line}" for line in range(160)]
    return ("\n".join(lines) + "\n").encode()
