"""Every command at least once, told from an empty catalog on: the raw rows, a run, a model, a rollout, a monitor."""

from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from tests.catalog.things import WHEN, artifact, code, digest, environment, snapshot_of

from clew.catalog import Catalog, Command
from clew.catalog.affected import affected
from clew.catalog.commands import (
    AbandonErasure,
    AlertSpec,
    ApplyRetention,
    BeginErasing,
    ContentRewrite,
    CreateDataset,
    CreateEndpoint,
    CreateMonitor,
    CreateWorkspace,
    DescribeModel,
    DescribeRun,
    EndLease,
    EndRun,
    EraseRows,
    EvaluationSpec,
    FinishErasure,
    FinishStep,
    FinishSteps,
    ForgetFragments,
    ForgetQuarantine,
    ForgetStep,
    FragmentSpec,
    GroupSpec,
    ImportWorkspace,
    InputSpec,
    MoveAlias,
    PlaceHold,
    PlanErasure,
    RecordContract,
    RecordContractCheck,
    RecordDecision,
    RecordKey,
    RecordQuarantine,
    RecordReport,
    RecordSegment,
    RegisterModel,
    ReleaseHold,
    RelocateContent,
    RenewLease,
    Repackaged,
    ReplaceGroups,
    RetireKey,
    SegmentSpec,
    SetErasedPolicy,
    SetPolicy,
    SourceSpec,
    StartRollout,
    StartRun,
    TakeLease,
    Target,
    WithdrawPolicy,
)
from clew.catalog.tables import data, metadata


def tell(catalog: Catalog, through: Callable[[Command], Command]) -> tuple[list[Any], set[type[Command]]]:
    """Execute all of the story, each command passed `through` something first; the answers, and the classes used."""
    story = _story(catalog)
    answers: list[Any] = []
    used: set[type[Command]] = set()
    command = next(story)
    while True:
        used.add(type(command))
        answers.append(catalog.execute(through(command)))
        try:
            command = story.send(answers[-1])
        except StopIteration:
            return answers, used


def _story(catalog: Catalog) -> Generator[Command, Any, None]:
    yield CreateWorkspace(clew_version="0.1.0")
    yield ImportWorkspace(
        manifest_sha256=digest("manifest"),
        workspace_id="019b0000-0000-7000-8000-000000000000",
        clew_version="0.1.0",
        rows={},
    )
    dataset_id = yield CreateDataset(name="house-sales", key_columns=["id"], subject_column="owner")
    yield SetPolicy(dataset_id=dataset_id, column="phone", action="drop", reason="nobody needs it")
    yield SetPolicy(dataset_id=dataset_id, column="phone", action="pseudonym", reason="it joins with the calls")
    yield SetPolicy(
        dataset_id=dataset_id, column="born", action="generalise", reason="the year is enough", details={"to": "year"}
    )
    yield WithdrawPolicy(dataset_id=dataset_id, column="born")
    yield RecordKey(purpose="pseudonym", fingerprint=digest("key 1"))
    yield RecordKey(purpose="pseudonym", fingerprint=digest("key 2"), after="pseudonym-1")
    yield RetireKey(name="pseudonym-1")
    source = SourceSpec(uri="file:///dump.csv", kind="csv", bytes=120, modified_ns=1_790_000_000_123_456_789)
    first = yield snapshot_of(dataset_id, "A", sources=[source], message="Grüße, 家")
    yield snapshot_of(dataset_id, "B")
    yield snapshot_of(dataset_id, "A")
    contract = yield RecordContract(dataset_id=dataset_id, toml='[columns.price]\ntype = "float"\n')
    snapshot_id = first["snapshot_id"]
    content_pk = catalog.get(data.snapshots, snapshot_id).content_pk

    kept_out = RecordQuarantine(
        dataset_id=dataset_id, contract_id=contract["contract_id"], uri="file:///dump.csv", rows=2,
        results={"rows": 9, "rules": [{"rule": "price: min 1", "failing_rows": 2}]}, digest=digest("kept out"),
    )  # fmt: skip
    quarantine_id = yield kept_out
    yield kept_out  # the same rows again
    yield ForgetQuarantine(quarantine_id=quarantine_id)
    yield kept_out

    lease_id = yield TakeLease(holder="here|7|1", target="house-sales", seconds=60)
    yield RenewLease(lease_id=lease_id, seconds=90)
    fresh = FragmentSpec(digest("fragment whole"), 6, 75)
    groups = [GroupSpec(["price", "rooms"], digest("rope whole"), [fresh])]
    yield ReplaceGroups(content_pk=content_pk, ropes=[digest("rope A")], groups=groups)
    yield RelocateContent(content_pk=content_pk, profile=digest("profile B"), groups=groups)
    yield EndLease(lease_id="019b0000-0000-7000-8000-000000000000")  # ended by somebody else
    yield ForgetFragments(released_before=datetime(2100, 1, 1, tzinfo=UTC))

    code_id = yield code("flow")
    environment_id = yield environment("flow")
    run_id = yield StartRun(
        name="flow",
        pipeline="train",
        entry="flow.py:train",
        provenance="recorded",
        code_id=code_id,
        environment_id=environment_id,
        parameters={"depth": 3, "rate": 0.1, "names": ["a", "b"], "none": None},
        criteria={"mae": {"max": 20.0}},
        inputs={"raw": ("house-sales@1", snapshot_id)},
        occurred_at=WHEN,
    )
    said_id = yield StartRun(
        name="script",
        pipeline="script",
        entry="train.py",
        provenance="declared",
        code_id=None,
        environment_id=None,
        parameters={"depth": 3},
        criteria=[],
        inputs={},
        occurred_at=WHEN,
    )
    yield DescribeRun(
        run_id=said_id, inputs={"sales": ("house-sales@1", snapshot_id)}, parameters={"rate": 0.1}, code_id=code_id
    )
    yield EndRun(run_id=said_id, state="done")
    yield FinishStep(
        run_id=run_id,
        ordinal=0,
        name="clean",
        state="ran",
        cache_key=f"s1:{digest('clean')}",
        key_parts={"code": "k", "inputs": [1, 2]},
        why="no run of it yet",
        inputs={"raw": artifact("raw")},
        outputs={"clean": artifact("clean")},
        started_at=WHEN,
    )
    yield FinishStep(
        run_id=run_id, ordinal=1, name="fit", state="failed", cache_key=None, key_parts=None, why="new",
        error="ValueError: no rows", log=digest("log"), started_at=WHEN,
    )  # fmt: skip
    yield FinishStep(
        run_id=run_id, ordinal=2, name="plot", state="ran", cache_key=f"s1:{digest('plot')}", key_parts={}, why="new",
        started_at=WHEN,
    )  # fmt: skip
    more = [
        FinishStep(
            run_id=run_id, ordinal=ordinal, name=f"more {ordinal}", state="ran", why="new", key_parts={},
            cache_key=f"s1:{digest(f'more {ordinal}')}", outputs={"more": artifact(f"more {ordinal}")}, started_at=WHEN,
        )
        for ordinal in (3, 4)
    ]  # fmt: skip
    yield FinishSteps(steps=more)
    yield ForgetStep(cache_key=f"s1:{digest('plot')}", reason="its bytes were damaged")
    version: dict[str, Any] = {
        "run_id": run_id,
        "model": "house-price",
        "artifact": artifact("model", "model"),
        "provenance": "recorded",
        "signature": {"inputs": [["rooms", "Int64"]]},
        "metrics": {"mae": 12.25, "log_loss": float("inf")},
        "verdicts": [{"gate": "mae", "passed": True}],
        "inputs": [InputSpec(role="train", snapshot_id=snapshot_id), InputSpec(role="test", artifact=artifact("test"))],
        "evaluations": [
            EvaluationSpec(
                name="test", metrics={"mae": 12.25}, slices=[], test=artifact("test"), predictions=artifact("p")
            )
        ],
        "occurred_at": WHEN,
    }
    seven = yield RegisterModel(**version, identity="m1:7")
    eight = yield RegisterModel(**version, identity="m1:8")
    yield RegisterModel(**version, identity="m1:9", refused_because="worse than house-price@2")
    yield DescribeModel(model_version_id=eight["model_version_id"], intended_use="a first guess at a price")
    yield DescribeModel(model_version_id=eight["model_version_id"], limits="not for plots without a house")
    yield EndRun(run_id=run_id, state="done", metrics={"mae": 12.25, "loss": float("nan")})
    champion, candidate = seven["model_version_id"], eight["model_version_id"]
    alias: dict[str, Any] = {"owner_kind": "dataset", "owner_id": dataset_id, "alias": "gold"}
    yield MoveAlias(**alias, to_id=snapshot_id, reason="audited")

    endpoint = yield CreateEndpoint(
        name="prices", model_version_id=champion, entity_column="owner", settings={"batch": 8}, occurred_at=WHEN
    )
    endpoint_id = endpoint["endpoint_id"]
    rollout = yield StartRollout(
        endpoint_id=endpoint_id,
        champion_id=champion,
        candidate_id=candidate,
        plan={"stages": [0.05, 1]},
        occurred_at=WHEN,
    )
    decision: dict[str, Any] = {
        "rollout_id": rollout["rollout_id"],
        "requests": 900,
        "outcomes": 70,
        "occurred_at": WHEN,
    }
    yield RecordDecision(
        **decision, verdict="advance", reason="no harm so far", stage_before="shadow", stage_after="5%",
        state="running", evidence={"e": 1.5, "bound": float("inf")},
        targets=[
            Target(model_version_id=champion, role="champion", share=0.95),
            Target(model_version_id=candidate, role="candidate", share=0.05),
        ],
    )  # fmt: skip
    yield RecordDecision(
        **decision, verdict="promote", reason="harm excluded", stage_before="5%", stage_after="100%", state="promoted",
        evidence={"e": 42.0}, targets=[Target(model_version_id=candidate, role="champion", share=1.0)],
    )  # fmt: skip
    yield RecordSegment(writer="server-1", sequence=1, state="open")
    yield RecordSegment(writer="server-1", sequence=1, state="sealed", predictions=900, outcomes=70)
    monitor_id = yield CreateMonitor(endpoint_id=endpoint_id, name="drift", settings={"bins": 20})
    alert = AlertSpec(kind="drift", subject="rooms", message="rooms moved", evidence={"p": 1e-9})
    report: dict[str, Any] = {
        "monitor_id": monitor_id,
        "model_version_id": candidate,
        "alerts": [alert],
        "occurred_at": WHEN,
    }
    yield RecordReport(**report, report={"counts": [1, 2]}, progress={"at": 2})
    yield RecordReport(**report, report={"counts": [4, 4]}, progress={"at": 8})
    yield RecordContractCheck(
        contract_id=contract["contract_id"], content_pk=content_pk, passed=True, results=[], run_id=run_id
    )

    yield SetErasedPolicy(endpoint_id=endpoint_id, erased_data="refuse", reason="the works council asked")
    found = yield PlanErasure(
        dataset_id=dataset_id, subject_hmac=digest("nobody"), key_name="erasure-1", hashes=[digest("nobody")]
    )
    yield AbandonErasure(erasure_id=found["erasure_id"])
    found = yield PlanErasure(
        dataset_id=dataset_id, subject_hmac=digest("somebody"), key_name="erasure-1", hashes=[digest("somebody")]
    )
    yield _erasure_of_a(catalog, found["erasure_id"], content_pk)
    yield FinishErasure(erasure_id=found["erasure_id"], receipt={"summary": "one row"})

    old_id = yield StartRun(
        name="old", pipeline="train", entry="flow.py:train", provenance="recorded", code_id=code_id,
        environment_id=environment_id, parameters={}, criteria={}, inputs={}, occurred_at=WHEN,
    )  # fmt: skip
    yield FinishStep(
        run_id=old_id, ordinal=0, name="clean", state="ran", cache_key=f"s1:{digest('old')}", key_parts={}, why="new",
        outputs={"clean": artifact("old")}, started_at=WHEN,
    )  # fmt: skip
    yield EndRun(run_id=old_id, state="done")
    yield PlaceHold(kind="version", target_id=champion, reason="case 17")
    yield ReleaseHold(kind="version", target_id=champion)
    segment = SegmentSpec(writer="server-1", sequence=1, predictions=900, outcomes=70)
    beyond = SegmentSpec(writer="server-2", sequence=1, predictions=1, outcomes=0, first_id="a", last_id="a")
    yield ApplyRetention(newer_than=datetime(2100, 1, 1, tzinfo=UTC), segments=[segment, beyond])
    yield FinishStep(
        run_id=old_id, ordinal=1, name="again", state="ran", cache_key=f"s1:{digest('again')}", key_parts={}, why="new",
        outputs={"again": artifact("again")}, started_at=WHEN,
    )  # fmt: skip
    yield RecordReport(**report, report={"counts": [5, 6]}, progress={"at": 9})
    yield BeginErasing(holder="here|7|1", seconds=60)  # the last: nobody may write from then on


def _erasure_of_a(catalog: Catalog, erasure_id: str, content_pk: str) -> EraseRows:
    """A row of the first content is a person's: it loses it, and all that came of it."""
    with catalog.read() as connection:
        packages = affected(connection, [content_pk]).packages
        contents = connection.execute(sa.select(data.contents.c.id).where(data.contents.c.state == "live")).scalars()
        examined = [str(one) for one in contents]
    fresh = FragmentSpec(digest("fragment erased"), 5, 60)
    return EraseRows(
        erasure_id=erasure_id,
        examined=examined,
        contents=[
            ContentRewrite(
                content_pk=content_pk,
                ropes=[digest("rope whole")],
                content_id=f"c1:{digest('A without')}",
                former=f"e1:{digest('A')}",
                rows=5,
                profile=digest("profile erased"),
                groups=[GroupSpec(["price", "rooms"], digest("rope erased"), [fresh])],
                erased_rows=1,
            )
        ],
        fragments=[digest("fragment whole")],
        packages=[Repackaged(one, artifact("repackaged", "model")) for one in sorted(packages)],
        quarantines=[],
    )


def dump(catalog: Catalog) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, with ids named by the order in which they were made, and without the moments of here."""
    found = {table.name: catalog.rows(sa.select(table)) for table in metadata.sorted_tables}
    ids = sorted({row.id for rows in found.values() for row in rows if "id" in row._fields})
    names = {key: f"id {n}" for n, key in enumerate(ids)}

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: named(item) for name, item in sorted(value.items())}
        if isinstance(value, list | tuple):
            return [named(item) for item in value]
        if not isinstance(value, str):
            return value
        before, colon, key = value.partition(":")
        return f"erased:{names.get(key, key)}" if before == "erased" and colon else names.get(value, value)

    def plain(row: sa.Row[Any]) -> dict[str, Any]:
        fields = dict(row._mapping)
        for here in ("recorded_at", "ended_at", "superseded_at", "released_at", "retired_at", "expires_at"):
            if isinstance(fields.get(here), datetime) and fields[here] != WHEN:
                fields[here] = "here"
        return {name: named(value) for name, value in fields.items()}

    return {table: sorted((plain(row) for row in rows), key=repr) for table, rows in found.items()}
