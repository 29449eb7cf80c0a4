"""A workspace with something in all rooms, filled by the commands and the journal that clew itself uses."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from clew.catalog import Actor
from clew.catalog.columns import new_id
from clew.catalog.commands import (
    AlertSpec,
    ArtifactSpec,
    CreateDataset,
    CreateEndpoint,
    CreateMonitor,
    EndRun,
    EvaluationSpec,
    FinishStep,
    FragmentSpec,
    GroupSpec,
    InputSpec,
    MoveAlias,
    RecordCode,
    RecordContract,
    RecordContractCheck,
    RecordDecision,
    RecordEnvironment,
    RecordReport,
    RecordSnapshot,
    RegisterModel,
    SetPolicy,
    SourceSpec,
    StartRollout,
    StartRun,
    Target,
)
from clew.catalog.tables import data
from clew.serving.journal import Journal, Outcome, Prediction, Shadow
from clew.workspace import Workspace, init

HOSTILE = "<script>alert('x')</script>"
DAY = timedelta(days=1)
BEGIN = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
"""When the endpoint of the filled workspace began to answer."""


@dataclass
class Filled:
    """What was put in: ids by a name for each."""

    snapshots: dict[int, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)
    endpoint_id: str = ""
    rollout_id: str = ""
    monitor_id: str = ""
    predictions: list[str] = field(default_factory=list)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def artifact(kind: str, text: str, rows: int | None = None) -> ArtifactSpec:
    scheme = {"table": "c1", "model": "m1"}.get(kind, "v1")
    return ArtifactSpec(
        kind=kind, content_id=f"{scheme}:{digest(text)}", digest=digest(f"bytes of {text}"), bytes=48_213, rows=rows
    )


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@contextmanager
def opened(root: Path) -> Iterator[Workspace]:
    """A new workspace in `root`, open."""
    init(root)
    with Workspace(root, actor=Actor("user", "ada@lab")) as workspace:
        yield workspace


def fill(workspace: Workspace) -> Filled:
    """Two snapshots, three versions, an endpoint, a rollout that ended and one that runs, a monitor, predictions."""
    filled = Filled()
    _snapshots(workspace, filled)
    for version, quality in ((1, 1.0), (2, 0.9), (3, 1.4)):
        train(workspace, filled, version, quality)
    _failed_run(workspace, filled)
    _endpoint(workspace, filled)
    _monitor(workspace, filled)
    _predictions(workspace, filled)
    return filled


def _snapshots(workspace: Workspace, filled: Filled) -> None:
    catalog = workspace.catalog
    dataset_id = catalog.execute(CreateDataset(name="house-sales", key_columns=["sale_id"], subject_column="buyer"))
    catalog.execute(SetPolicy(dataset_id=dataset_id, column="buyer", action="pseudonym", reason="names a person"))
    contract = catalog.execute(RecordContract(dataset_id=dataset_id, toml='dataset = "house-sales"\n'))
    schema = [["sale_id", "int64"], ["city", "string"], ["area", "float64"], ["buyer", "string"], ["price", "float64"]]
    for version, rows in ((1, 20_113), (2, 21_597)):
        answer = catalog.execute(
            RecordSnapshot(
                dataset_id=dataset_id,
                content_id=f"c1:{digest(f'sales {version}')}",
                kind="table",
                rows=rows,
                schema=schema,
                manifest=digest("schema"),
                groups=[
                    GroupSpec(
                        [name for name, _ in schema],
                        digest(f"rope {version}"),
                        [FragmentSpec(digest(f"fragment {version}"), rows, 800_000)],
                    )
                ],
                new_bytes=812_345 if version == 1 else 61_204,
                changes={
                    "from": f"c1:{digest('sales 1')}",
                    "by": "key",
                    "added": 1_484,
                    "removed": 0,
                    "changed": 12,
                },
                sources=[
                    SourceSpec(
                        uri=f"/srv/dumps/house_sales_{version}.csv.gz",
                        kind="csv",
                        bytes=798_777,
                        sha256=digest(f"dump {version}"),
                    )
                ],
                occurred_at=BEGIN + DAY * (30 * version - 60),
                message="the month's full dump",
            )
        )
        filled.snapshots[version] = answer["snapshot_id"]
        content_pk = catalog.get(data.snapshots, answer["snapshot_id"]).content_pk
        results = [
            {"rule": "type", "column": "price", "severity": "error", "failing_rows": 0, "error": None},
            {"rule": "max", "column": "area", "severity": "warning", "failing_rows": 3, "error": None},
        ]
        catalog.execute(
            RecordContractCheck(
                contract_id=contract["contract_id"], content_pk=content_pk, passed=True, results=results
            )
        )


def start_run(
    workspace: Workspace, filled: Filled, name: str, parameters: dict[str, Any], snapshot: int, at: datetime
) -> str:
    catalog = workspace.catalog
    code_id = catalog.execute(
        RecordCode(
            content_id=f"p1:{digest('code')}",
            digest=digest("archive"),
            files={"train.py": digest("train.py"), "features.py": digest("features.py")},
            git_commit="4f2c9d1e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d",
            git_dirty=True,
        )
    )
    environment_id = catalog.execute(
        RecordEnvironment(
            content_id=f"e1:{digest('lock')}",
            digest=digest("lock bytes"),
            python="3.11.2",
            platform="linux-x86_64",
            settings={"cpus": 2},
        )
    )
    run_id: str = catalog.execute(
        StartRun(
            name=name,
            pipeline="house-price",
            entry="train.py",
            provenance="recorded",
            code_id=code_id,
            environment_id=environment_id,
            parameters=parameters,
            criteria=[],
            inputs={"sales": (f"house-sales@{snapshot}", filled.snapshots[snapshot])},
            occurred_at=at,
        )
    )
    return run_id


def train(workspace: Workspace, filled: Filled, version: int, quality: float) -> None:
    catalog, at = workspace.catalog, BEGIN + DAY * (10 * version - 31)
    snapshot = min(version, 2)
    parameters = {"rate": 0.1 / version, "trees": 200 * version, "sales": f"house-sales@{snapshot}"}
    run_id = start_run(workspace, filled, "house-price", parameters, snapshot, at)
    names = ["clean", "split", "fit", "evaluate", "register house-price"]
    for ordinal, name in enumerate(names):
        cached = version > 1 and snapshot == 2 and ordinal < 2 and version == 3
        catalog.execute(
            FinishStep(
                run_id=run_id,
                ordinal=ordinal,
                name=name,
                state="cached" if cached else "ran",
                cache_key=None,
                key_parts=None,
                why="nothing that it depends on changed" if cached else "parameter trees changed: 200 → 400",
                started_at=datetime.now(UTC) - timedelta(seconds=3),
            )
        )
    mae = 64_210.5 * quality
    metrics = {"mae": mae, "mape": 0.1183 * quality, "bias": -812.25 * quality}
    test = artifact("table", f"test {snapshot}", 4320)
    refused = "mae at most 80000: it is 89894.7, the limit 80000" if mae > 80_000 else None
    answer = catalog.execute(
        RegisterModel(
            model="house-price",
            run_id=run_id,
            artifact=artifact("model", f"model {version}"),
            identity=f"i1:{digest(f'model {version}')}",
            provenance="recorded",
            signature={"inputs": [{"name": "area", "kind": "float", "nullable": False}]},
            metrics=metrics,
            verdicts=[{"criterion": "mae at most 80000", "value": mae, "limit": 80_000.0, "met": refused is None}],
            refused_because=refused,
            inputs=[
                InputSpec(role="sales", snapshot_id=filled.snapshots[snapshot]),
                InputSpec(role="train", artifact=artifact("table", f"train {snapshot}", 17_277)),
                InputSpec(role="test", artifact=test),
            ],
            evaluations=[
                EvaluationSpec(
                    name="test",
                    metrics=metrics,
                    slices=[
                        {"slice": "city", "value": city, "rows": rows, "mae": mae * worse, "mape": 0.1183 * worse}
                        for city, rows, worse in (("Bern", 2110, 0.8), ("Basel", 1420, 1.0), ("Chur", 790, 1.6))
                    ],
                    test=test,
                )
            ],
            occurred_at=at,
        )
    )
    catalog.execute(EndRun(run_id=run_id, state="done", metrics=metrics))
    filled.runs[f"train {version}"] = run_id
    filled.versions[version] = answer["model_version_id"]
    if version == 2:
        owner = _model_id(workspace, answer["model_version_id"])
        catalog.execute(
            MoveAlias(owner_kind="model", owner_id=owner, alias="staging", to_id=answer["model_version_id"])
        )


def _model_id(workspace: Workspace, version_id: str) -> str:
    from clew.catalog.tables import models

    return str(workspace.catalog.get(models.model_versions, version_id).model_id)


def _failed_run(workspace: Workspace, filled: Filled) -> None:
    """A run whose every text would do harm on a page that doesn't escape it."""
    run_id = start_run(workspace, filled, f"run {HOSTILE}", {"note": HOSTILE, HOSTILE: "a & b"}, 2, BEGIN)
    workspace.catalog.execute(
        FinishStep(
            run_id=run_id,
            ordinal=0,
            name=f"step {HOSTILE}",
            state="failed",
            cache_key=None,
            key_parts=None,
            why=HOSTILE,
            error=f"ValueError: {HOSTILE}",
            started_at=datetime.now(UTC),
        )
    )
    workspace.catalog.execute(EndRun(run_id=run_id, state="failed", error=f"ValueError: {HOSTILE}"))
    filled.runs["failed"] = run_id


def _endpoint(workspace: Workspace, filled: Filled) -> None:
    catalog, versions = workspace.catalog, filled.versions
    made = catalog.execute(
        CreateEndpoint(
            name="house-price", model_version_id=versions[1], entity_column="customer", occurred_at=BEGIN - DAY
        )
    )
    filled.endpoint_id = made["endpoint_id"]
    started = catalog.execute(
        StartRollout(
            endpoint_id=filled.endpoint_id,
            champion_id=versions[1],
            candidate_id=versions[2],
            plan={"stages": ["shadow", "1%", "5%", "25%", "50%", "100%"], "margin": 0.02},
            occurred_at=BEGIN,
        )
    )
    filled.rollout_id = started["rollout_id"]
    stages = [("shadow", 0.0), ("1%", 0.01), ("5%", 0.05), ("25%", 0.25), ("50%", 0.5)]
    decide(workspace, filled, 1, "hold", ("shadow", "shadow"), None)
    for number, (before, after) in enumerate(pairwise(stages), start=2):
        decide(workspace, filled, number, "advance", (before[0], after[0]), after[1])


def decide(
    workspace: Workspace, filled: Filled, number: int, verdict: str, stages: tuple[str, str], share: float | None
) -> None:
    """A decision of the running rollout with evidence as a controller gives it."""
    targets = []
    if share is not None:
        targets = [
            Target(model_version_id=filled.versions[1], role="champion", share=1 - share),
            Target(model_version_id=filled.versions[2], role="candidate", share=share),
        ]
    width = 9000 / number
    workspace.catalog.execute(
        RecordDecision(
            rollout_id=filled.rollout_id,
            verdict=verdict,
            reason="harm of more than 2% is excluded" if share else "too few outcomes yet",
            stage_before=stages[0],
            stage_after=stages[1],
            requests=1200 * number**2,
            outcomes=700 * number**2,
            evidence={
                "guards": {
                    "harm": guard(-0.4 * number, 0.12, 3.51, 700 * number**2, -5260.0),
                    "disagreement": guard(0.3, 0.22 * number, 4.61, 1200 * number**2, 0.04),
                    "errors": guard(-0.1, 0.0, 4.61, 1200 * number**2, 0.0),
                },
                "interval": [-5200.0 - width, -5200.0 + width],
                "mean_difference": -5200.0 - 300 / number,
                "margin": 2500.0,
                "unit": "absolute_error of price, capped at 580000",
                "note": HOSTILE,
            },
            state="running",
            targets=targets,
            occurred_at=BEGIN + 4 * DAY * number,
        )
    )


def guard(log_e: float, most: float, threshold: float, count: int, mean: float) -> dict[str, Any]:
    return {
        "log_e": log_e,
        "max_log_e": most,
        "threshold": threshold,
        "count": count,
        "mean": mean,
        "crossed": most >= threshold,
    }


def _monitor(workspace: Workspace, filled: Filled) -> None:
    filled.monitor_id = workspace.catalog.execute(
        CreateMonitor(endpoint_id=filled.endpoint_id, name="default", settings={"alpha": 0.01})
    )
    columns = [
        {
            "column": name,
            "kind": "numeric",
            "real": log_e > 6.9,
            "count": 18_310,
            "changes": [["120 to 160", 0.125, 0.31], ["up to 60", 0.25, 0.118]],
            "psi": psi,
            "mean_shift_sd": shift,
            "log_e": log_e,
            "threshold": 6.9,
            "alarm": log_e > 6.9 and psi > 0.2,
        }
        for name, psi, shift, log_e in (
            ("area", 0.31, 0.82, 14.2),
            ("rooms", 0.02, 0.05, 0.4),
            ("year", 0.08, -0.2, 8.3),
        )
    ]
    workspace.catalog.execute(
        RecordReport(
            monitor_id=filled.monitor_id,
            model_version_id=filled.versions[1],
            report={
                "columns": columns,
                "performance": {
                    "metric": "mean absolute error of price",
                    "promised": 64210.5,
                    "held_against": 67421.0,
                    "live": 66120.0,
                    "interval": [61000.0, 71300.0],
                    "count": 412,
                    "alarm": False,
                },
                "predictions": 18_310,
                "outcomes": 412,
            },
            progress={},
            alerts=[
                AlertSpec(
                    kind="drift",
                    subject="area",
                    message="area is 0.82 standard deviations above the training rows",
                    evidence={"log_e": 14.2, "threshold": 6.9},
                )
            ],
            occurred_at=BEGIN + 24 * DAY,
        )
    )


def predictions(filled: Filled, count: int) -> list[Prediction]:
    """So many predictions of the running rollout, the newest last."""
    return [
        Prediction(
            id=new_id(),
            endpoint="house-price",
            request_id=f"r{number}",
            row=0,
            model_version="house-price@1" if number % 2 else "house-price@2",
            model_version_id=filled.versions[1 if number % 2 else 2],
            role="champion" if number % 2 else "candidate",
            share=0.5,
            reason="sticky by entity",
            route_revision=6,
            rollout_id=filled.rollout_id,
            entity=f"customer-{number}",
            occurred_at=micros(BEGIN + 20 * DAY + timedelta(minutes=number)),
            recorded_at=micros(BEGIN + 20 * DAY + timedelta(minutes=number, seconds=2)),
            inputs={"area": 71.5 + number, "rooms": 3, "city": "Bern", "note": HOSTILE, "year": None},
            output=412_000.0 + 1000 * number,
            others=[
                Shadow(
                    model_version="house-price@2" if number % 2 else "house-price@1",
                    model_version_id=filled.versions[2 if number % 2 else 1],
                    role="candidate" if number % 2 else "champion",
                    output=409_500.0,
                    latency_us=90,
                )
            ],
            latency_us=1240,
        )
        for number in range(count)
    ]


def _predictions(workspace: Workspace, filled: Filled) -> None:
    made = predictions(filled, 60)
    filled.predictions = [one.id for one in made]
    with Journal(workspace.journal, "server-1") as journal:
        journal.append(made).result()
        journal.append([outcome_of(made[0], 431_500.0), outcome_of(made[0], value=True, name="viewed")]).result()


def outcome_of(prediction: Prediction, value: float | bool, name: str = "price") -> Outcome:
    at = prediction.occurred_at + micros(datetime(1970, 1, 1, tzinfo=UTC) + 18.5 * DAY)
    return Outcome(
        id=new_id(),
        prediction_id=prediction.id,
        name=name,
        kind="label" if name == "price" else "response",
        value=value,
        occurred_at=at,
        recorded_at=at,
        source="land registry",
    )
