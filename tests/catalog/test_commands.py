"""What each command promises, over both databases."""

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from tests.catalog import story, things
from tests.catalog.things import ACTOR, NOWHERE, WHEN, Served, artifact, code, count, digest, environment, snapshot_of

from clew.catalog import Actor, Catalog, Command, Transaction, decode, encode
from clew.catalog.command import all_commands
from clew.catalog.commands import (
    AlertSpec,
    CreateDataset,
    CreateEndpoint,
    CreateMonitor,
    CreateWorkspace,
    EndRun,
    FinishStep,
    ForgetStep,
    InputSpec,
    MoveAlias,
    RecordContract,
    RecordDecision,
    RecordReport,
    RecordSnapshot,
    RegisterModel,
    SetPolicy,
    StartRollout,
    Target,
)
from clew.catalog.commands.builds import RunState
from clew.catalog.tables import builds, data, governance, models, serving
from clew.errors import ClewError, NotFoundError, RefusedError, UsageError


def same(command: Command) -> Command:
    return command


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what depends on when it was written."""
    return {name: value for name, value in row.items() if name not in ("expires_at", "released_at")}


def through_json(command: Command) -> Command:
    return decode(encode(command))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    with Catalog(f"sqlite:///{tmp_path_factory.mktemp('story') / 'catalog.sqlite'}", ACTOR) as catalog:
        catalog.upgrade()
        answers, used = story.tell(catalog, same)
        assert used == set(all_commands()), "the story has to use every command"
        return len(answers), story.dump(catalog)


def test_every_command_leaves_the_same_rows_on_each_database_and_through_json(
    fresh: Catalog, expected: tuple[int, dict[str, list[dict[str, Any]]]]
) -> None:
    answers, _ = story.tell(fresh, through_json)
    assert len(answers) == expected[0]
    msgspec.json.encode(answers)  # a hub can send them
    actual = story.dump(fresh)
    for table, rows in expected[1].items():
        assert [timeless(row) for row in actual[table]] == [timeless(row) for row in rows], table
    filled = {table for table, rows in actual.items() if rows}
    later = {"tokens"}
    assert filled == set(actual) - later, "each table but those of later commands gets a row"


def test_the_log_keeps_every_command_under_its_actor(catalog: Catalog) -> None:
    robot = Actor("token", things.name("robot"))
    dataset_name = things.name("sales")
    catalog.execute(CreateDataset(name=dataset_name, key_columns=["id"]), actor=robot)
    query = sa.select(governance.commands, governance.actors.c.kind).join(governance.actors)
    (row,) = catalog.rows(query.where(governance.actors.c.name == robot.name))
    assert (row.name, row.kind) == ("CreateDataset", "token")
    assert row.payload == {"name": dataset_name, "key_columns": ["id"], "subject_column": None, "subject_files": None}


def test_hidden_fields_stay_out_of_the_log(catalog: Catalog) -> None:
    served = Served(catalog)
    monitor_id = catalog.execute(CreateMonitor(endpoint_id=served.endpoint_id, name="drift", settings={}))
    robot = Actor("token", things.name("robot"))
    report = {"monitor_id": monitor_id, "model_version_id": served.versions[0], "occurred_at": WHEN}
    catalog.execute(RecordReport(**report, report={"secret": 1}, progress=0), actor=robot)
    query = sa.select(governance.commands.c.payload).join(governance.actors)
    (row,) = catalog.rows(query.where(governance.actors.c.name == robot.name))
    assert set(row.payload) == {"monitor_id", "model_version_id", "alerts", "occurred_at"}


class AddsAndFails(Command, frozen=True, kw_only=True):
    name: str

    def apply(self, tx: Transaction) -> None:
        tx.insert(data.datasets, name=self.name, key_columns=[])
        raise RefusedError("after it wrote")


def test_a_command_that_raises_leaves_nothing(catalog: Catalog) -> None:
    stranger = Actor("user", things.name("stranger"))
    command = AddsAndFails(name=things.name("sales"))
    commands = count(catalog, governance.commands, name="AddsAndFails")
    for _ in range(2):
        with pytest.raises(RefusedError):
            catalog.execute(command, actor=stranger)
    assert count(catalog, data.datasets, name=command.name) == 0
    assert count(catalog, governance.actors, name=stranger.name) == 0
    assert count(catalog, governance.commands, name="AddsAndFails") == commands == 0
    catalog.execute(CreateDataset(name=command.name), actor=stranger)
    assert count(catalog, governance.actors, name=stranger.name) == 1


def test_a_workspace_has_one_identity(fresh: Catalog) -> None:
    first = fresh.execute(CreateWorkspace(clew_version="0.1.0"))
    assert fresh.execute(CreateWorkspace(clew_version="0.2.0")) == first
    assert count(fresh, governance.workspace) == 1


def test_stating_a_dataset_again_changes_only_what_is_stated(catalog: Catalog) -> None:
    sales = things.name("sales")
    first = catalog.execute(CreateDataset(name=sales, key_columns=["id"]))
    assert catalog.execute(CreateDataset(name=sales, subject_column="owner")) == first
    row = catalog.get(data.datasets, first)
    assert (row.key_columns, row.subject_column) == (["id"], "owner")


def test_the_newest_content_again_is_no_new_version(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    command = snapshot_of(sales, sales)
    first = catalog.execute(command)
    again = catalog.execute(command)
    assert (first["version"], first["changed"]) == (1, True)
    assert again == {"snapshot_id": first["snapshot_id"], "version": 1, "changed": False}


def test_a_b_a_are_three_versions_of_two_contents(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    answers = [catalog.execute(snapshot_of(sales, f"{sales} {text}")) for text in "ABA"]
    rows = [catalog.get(data.snapshots, answer["snapshot_id"]) for answer in answers]
    assert [row.version for row in rows] == [1, 2, 3]
    assert [row.parent_id for row in rows] == [None, rows[0].id, rows[1].id]
    assert rows[0].content_pk == rows[2].content_pk != rows[1].content_pk
    assert all(row.occurred_at == WHEN for row in rows)


def test_two_datasets_share_content_and_fragments(catalog: Catalog) -> None:
    text = things.name("content")
    ids = [things.snapshot(catalog, things.dataset(catalog), text) for _ in range(2)]
    assert len({catalog.get(data.snapshots, key).content_pk for key in ids}) == 1
    assert count(catalog, data.fragments, digest=digest(f"fragment {text} 0")) == 1


def set_state(catalog: Catalog, table: sa.Table, key: str, state: str) -> None:
    """What the commands of erasure and retention will do."""
    with catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
        connection.execute(table.update().where(table.c.id == key).values(state=state))


def test_expired_content_lives_again_with_its_new_bytes(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    command = snapshot_of(sales, sales)
    content_pk = catalog.get(data.snapshots, catalog.execute(command)["snapshot_id"]).content_pk
    set_state(catalog, data.contents, content_pk, "expired")
    other = things.dataset(catalog)
    with pytest.raises(RefusedError, match="no bytes"):
        catalog.execute(snapshot_of(other, sales, manifest=None, groups=[]))
    moved = msgspec.structs.replace(command.groups[0], rope=digest(f"{sales} written anew"))
    catalog.execute(snapshot_of(other, sales, groups=[moved]))
    assert catalog.get(data.contents, content_pk).state == "live"
    (group,) = catalog.rows(sa.select(data.column_groups).where(data.column_groups.c.content_pk == content_pk))
    assert group.rope == moved.rope


def test_an_expired_newest_version_is_followed_by_a_new_one(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    first = catalog.execute(snapshot_of(sales, sales))
    set_state(catalog, data.snapshots, first["snapshot_id"], "expired")
    assert catalog.execute(snapshot_of(sales, sales))["version"] == 2


def test_erased_content_does_not_come_back(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    content_pk = catalog.get(data.snapshots, things.snapshot(catalog, sales, sales)).content_pk
    set_state(catalog, data.contents, content_pk, "erased")
    other = things.dataset(catalog)
    with pytest.raises(RefusedError, match="erased"):
        catalog.execute(snapshot_of(other, sales))
    assert count(catalog, data.snapshots, dataset_id=other) == 0


def test_a_policy_supersedes_the_one_before_and_needs_a_reason(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    for action in ("drop", "pseudonym"):
        catalog.execute(SetPolicy(dataset_id=sales, column="phone", action=action, reason="so it was agreed"))
    table = data.policies
    rows = catalog.rows(sa.select(table).where(table.c.dataset_id == sales).order_by(table.c.id))
    assert [(row.action, row.superseded_at is None) for row in rows] == [("drop", False), ("pseudonym", True)]
    with pytest.raises(UsageError, match="reason"):
        catalog.execute(SetPolicy(dataset_id=sales, column="phone", action="allow", reason=" "))


def test_the_same_contract_is_the_same_version(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    versions = [catalog.execute(RecordContract(dataset_id=sales, toml=toml))["version"] for toml in "aaba"]
    assert versions == [1, 1, 2, 3]


def test_the_same_code_and_environment_are_kept_once(catalog: Catalog) -> None:
    text = things.name("code")
    assert catalog.execute(code(text)) == catalog.execute(code(text))
    assert catalog.execute(environment(text)) == catalog.execute(environment(text))
    assert catalog.execute(code(text)) != catalog.execute(code(f"{text} changed"))


def test_a_recorded_run_has_code_and_environment(catalog: Catalog) -> None:
    snapshot_id = things.snapshot(catalog, things.dataset(catalog), things.name("content"))
    with pytest.raises(UsageError, match="code"):
        things.run(catalog, snapshot_id, code_id=None)
    run_id = things.run(catalog, snapshot_id, provenance="declared", code_id=None, environment_id=None)
    assert catalog.get(builds.runs, run_id).provenance == "declared"


def a_run(catalog: Catalog, **changes: Any) -> tuple[str, str]:
    snapshot_id = things.snapshot(catalog, things.dataset(catalog), things.name("content"))
    return things.run(catalog, snapshot_id, **changes), snapshot_id


def test_a_run_ends_once(catalog: Catalog) -> None:
    run_id, _ = a_run(catalog)
    states: list[RunState] = ["interrupted", "done"]
    ends = [EndRun(run_id=run_id, state=state, metrics={"mae": 1.5}) for state in states]
    assert [catalog.execute(end)["ended"] for end in ends] == [True, False]
    assert catalog.get(builds.runs, run_id).state == "interrupted"
    assert count(catalog, builds.run_metrics, run_id=run_id) == 1


def test_a_metric_that_is_no_number_does_not_lose_the_run(catalog: Catalog) -> None:
    run_id, _ = a_run(catalog)
    metrics = {"loss": float("nan"), "gain": float("-inf"), "mae": 1.5}
    catalog.execute(EndRun(run_id=run_id, state="done", metrics=metrics))
    rows = catalog.rows(sa.select(builds.run_metrics).where(builds.run_metrics.c.run_id == run_id))
    assert {row.name: row.value for row in rows} == {"loss": None, "gain": None, "mae": 1.5}


def test_an_error_that_can_not_be_kept_as_it_is_does_not_lose_the_run(catalog: Catalog) -> None:
    run_id, _ = a_run(catalog)
    catalog.execute(EndRun(run_id=run_id, state="failed", error="bytes \0 and \udcff"))
    row = catalog.get(builds.runs, run_id)
    assert (row.state, row.error) == ("failed", "bytes \ufffd and ?")


def finished(run_id: str, ordinal: int, key: str, output: str) -> FinishStep:
    return FinishStep(
        run_id=run_id, ordinal=ordinal, name="clean", state="ran", cache_key=key, key_parts={}, why="new",
        outputs={"out": artifact(output)}, started_at=WHEN,
    )  # fmt: skip


def test_the_cache_finds_the_newest_step_that_ran(catalog: Catalog) -> None:
    run_id, _ = a_run(catalog)
    key = things.name("s1:key")
    steps = [catalog.execute(finished(run_id, n, key, "out")) for n in range(2)]
    failed = msgspec.structs.replace(finished(run_id, 2, key, "other"), state="failed")
    catalog.execute(failed)
    (row,) = catalog.rows(sa.select(builds.step_cache).where(builds.step_cache.c.cache_key == key))
    assert row.step_id == steps[1]
    assert catalog.execute(ForgetStep(cache_key=key, reason="gone"))
    assert not catalog.execute(ForgetStep(cache_key=key, reason="gone"))


def test_an_artifact_made_again_lives_again(catalog: Catalog) -> None:
    run_id, _ = a_run(catalog)
    text = things.name("artifact")
    catalog.execute(finished(run_id, 0, things.name("s1:key"), text))
    query = sa.select(builds.artifacts).where(builds.artifacts.c.digest == artifact(text).digest)
    (row,) = catalog.rows(query)
    set_state(catalog, builds.artifacts, row.id, "expired")
    catalog.execute(finished(run_id, 1, things.name("s1:key"), text))
    assert [(again.id, again.state) for again in catalog.rows(query)] == [(row.id, "live")]


def test_the_same_model_is_the_same_version_and_remembers_both_runs(catalog: Catalog) -> None:
    model = things.name("price")
    first_run, snapshot_id = a_run(catalog)
    second_run, _ = a_run(catalog)
    answers = [
        catalog.execute(things.version_of(run_id, snapshot_id, model, identity))
        for run_id, identity in ((first_run, "m1:a"), (second_run, "m1:a"), (second_run, "m1:b"), (first_run, "m1:a"))
    ]
    assert [(answer["version"], answer["changed"]) for answer in answers] == [
        (1, True),
        (1, False),
        (2, True),
        (3, True),
    ]
    assert count(catalog, models.run_models, model_version_id=answers[0]["model_version_id"]) == 2


def test_a_refusal_is_kept_and_is_not_taken_for_the_accepted_version(catalog: Catalog) -> None:
    model = things.name("price")
    run_id, snapshot_id = a_run(catalog)
    refused = things.version_of(run_id, snapshot_id, model, "m1:a", refused_because="worse than before")
    accepted = things.version_of(run_id, snapshot_id, model, "m1:a")
    answers = [catalog.execute(command) for command in (refused, refused, accepted)]
    assert [answer["version"] for answer in answers] == [1, 1, 2]
    states = [catalog.get(models.model_versions, answer["model_version_id"]).state for answer in answers[1:]]
    assert states == ["refused", "accepted"]
    with pytest.raises(RefusedError, match="worse than before"):
        catalog.execute(
            CreateEndpoint(name=things.name("e"), model_version_id=answers[0]["model_version_id"], occurred_at=WHEN)
        )


def test_a_version_needs_an_input_and_is_known_no_better_than_its_run(catalog: Catalog) -> None:
    run_id, snapshot_id = a_run(catalog, provenance="declared", code_id=None)
    model = things.name("price")
    good = things.version_of(run_id, snapshot_id, model, "m1:a", provenance="declared")
    bad: list[RegisterModel] = [
        msgspec.structs.replace(good, inputs=[]),
        msgspec.structs.replace(good, inputs=[InputSpec(role="train")]),
        msgspec.structs.replace(good, inputs=[InputSpec(role="t", snapshot_id=snapshot_id, artifact=artifact("x"))]),
        msgspec.structs.replace(good, provenance="recorded"),
    ]
    for command in bad:
        with pytest.raises(UsageError):
            catalog.execute(command)
    assert count(catalog, models.models, name=model) == 0
    catalog.execute(good)


def test_an_alias_keeps_its_history(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    one, two = (things.snapshot(catalog, sales, f"{sales} {text}") for text in "AB")
    moves = [
        catalog.execute(MoveAlias(owner_kind="dataset", owner_id=sales, alias="gold", to_id=to, reason=reason))
        for to, reason in ((one, "audited"), (one, "again"), (two, "newer"), (one, "back"))
    ]
    assert moves == [
        {"from_id": None, "moved": True},
        {"from_id": one, "moved": False},
        {"from_id": one, "moved": True},
        {"from_id": two, "moved": True},
    ]
    table = governance.alias_moves
    history = catalog.rows(sa.select(table).where(table.c.owner_id == sales).order_by(table.c.id))
    assert [(row.from_id, row.to_id, row.reason) for row in history] == [
        (None, one, "audited"),
        (one, two, "newer"),
        (two, one, "back"),
    ]
    assert count(catalog, governance.aliases, owner_id=sales, target_id=one) == 1


def test_an_alias_points_at_a_version_of_its_owner(catalog: Catalog) -> None:
    one, other = things.dataset(catalog), things.dataset(catalog)
    foreign = things.snapshot(catalog, other, other)
    for to_id in (foreign, NOWHERE):
        with pytest.raises(NotFoundError):
            catalog.execute(MoveAlias(owner_kind="dataset", owner_id=one, alias="gold", to_id=to_id))


@pytest.mark.parametrize("bad", ["", ".", "-a", "a/b", "a b", "a@1", "é", "x" * 101, "..", "a:b"])
def test_names_are_refused(catalog: Catalog, bad: str) -> None:
    with pytest.raises(UsageError, match="can't be a name"):
        catalog.execute(CreateDataset(name=bad))


@pytest.mark.parametrize("bad", ["", "3", "3rd", "latest", "2026-11-23", "a b", "a@b", "-a", "_", "x" * 101, "a.b"])
def test_aliases_are_refused(catalog: Catalog, bad: str) -> None:
    with pytest.raises(UsageError, match="can't be an alias"):
        catalog.execute(MoveAlias(owner_kind="model", owner_id=NOWHERE, alias=bad, to_id=NOWHERE))


def start(served: Served, champion: int = 0, candidate: int = 1) -> StartRollout:
    return StartRollout(
        endpoint_id=served.endpoint_id,
        champion_id=served.versions[champion],
        candidate_id=served.versions[candidate],
        plan={},
        occurred_at=WHEN,
    )


def decide(rollout_id: str, **changes: Any) -> RecordDecision:
    fields: dict[str, Any] = {
        "rollout_id": rollout_id, "verdict": "advance", "reason": "well", "stage_before": "shadow", "stage_after": "5%",
        "requests": 10, "outcomes": 2, "evidence": {}, "state": "running", "occurred_at": WHEN,
    }  # fmt: skip
    return RecordDecision(**(fields | changes))


def live(catalog: Catalog, served: Served) -> dict[str, tuple[str, float]]:
    """The targets of the newest route: role and share, by version."""
    newest = sa.select(sa.func.max(serving.routes.c.revision)).where(serving.routes.c.endpoint_id == served.endpoint_id)
    query = sa.select(serving.route_targets).join(serving.routes)
    mine = (serving.routes.c.endpoint_id == served.endpoint_id) & (
        serving.routes.c.revision == newest.scalar_subquery()
    )
    return {row.model_version_id: (row.role, row.share) for row in catalog.rows(query.where(mine))}


def test_a_rollout_moves_the_routing_with_each_decision_until_it_ends(catalog: Catalog) -> None:
    served = Served(catalog)
    old, new, _ = served.versions
    assert live(catalog, served) == {old: ("champion", 1.0)}
    started = catalog.execute(start(served))
    assert started["revision"] == 2
    assert live(catalog, served) == {old: ("champion", 1.0), new: ("candidate", 0.0)}
    shares = [
        Target(model_version_id=old, role="champion", share=0.9),
        Target(model_version_id=new, role="candidate", share=0.1),
    ]
    assert catalog.execute(decide(started["rollout_id"], targets=shares)) == {"ordinal": 1, "revision": 3}
    assert live(catalog, served) == {old: ("champion", 0.9), new: ("candidate", 0.1)}
    assert catalog.execute(decide(started["rollout_id"], verdict="wait")) == {"ordinal": 2, "revision": None}
    back = [Target(model_version_id=old, role="champion", share=1.0)]
    with pytest.raises(UsageError, match="ends"):
        catalog.execute(decide(started["rollout_id"], state="rolled_back"))
    ended = catalog.execute(decide(started["rollout_id"], state="rolled_back", targets=back))
    assert ended == {"ordinal": 3, "revision": 4}
    assert live(catalog, served) == {old: ("champion", 1.0)}
    with pytest.raises(RefusedError, match="rolled_back"):
        catalog.execute(decide(started["rollout_id"]))
    assert catalog.execute(start(served))["revision"] == 5


def test_one_rollout_at_a_time_is_held_by_the_database_too(catalog: Catalog) -> None:
    served = Served(catalog)
    catalog.execute(start(served))
    with pytest.raises(RefusedError, match="running"):
        catalog.execute(start(served, candidate=2))

    class Careless(Command, frozen=True, kw_only=True):
        def apply(self, tx: Transaction) -> None:
            tx.insert(
                serving.rollouts, endpoint_id=served.endpoint_id, champion_id=served.versions[0],
                candidate_id=served.versions[2], plan={}, state="running", occurred_at=WHEN,
            )  # fmt: skip

    with pytest.raises(UsageError, match="contradict"):
        catalog.execute(Careless())
    assert count(catalog, serving.rollouts, endpoint_id=served.endpoint_id) == 1


def test_a_rollout_starts_from_who_is_live(catalog: Catalog) -> None:
    served = Served(catalog)
    with pytest.raises(RefusedError, match="champion"):
        catalog.execute(start(served, champion=1, candidate=2))
    with pytest.raises(UsageError, match="once"):
        catalog.execute(start(served, champion=0, candidate=0))
    assert count(catalog, serving.rollouts, endpoint_id=served.endpoint_id) == 0


@pytest.mark.parametrize(
    ("shares", "roles"),
    [
        ((0.5, 0.4), ("champion", "candidate")),
        ((0.7, 0.7), ("champion", "candidate")),
        ((1.2, -0.2), ("champion", "candidate")),
        ((float("nan"), 0.5), ("champion", "candidate")),
        ((0.5, 0.5), ("champion", "champion")),
        ((0.5, 0.5), ("candidate", "candidate")),
    ],
)
def test_shares_add_up_to_one_and_one_is_champion(
    catalog: Catalog, shares: tuple[float, float], roles: tuple[Any, Any]
) -> None:
    served = Served(catalog)
    rollout_id = catalog.execute(start(served))["rollout_id"]
    targets = [
        Target(model_version_id=key, role=role, share=share)
        for key, role, share in zip(served.versions, roles, shares, strict=False)
    ]
    with pytest.raises(UsageError):
        catalog.execute(decide(rollout_id, targets=targets))
    assert count(catalog, serving.rollout_decisions, rollout_id=rollout_id) == 0
    assert count(catalog, serving.routes, endpoint_id=served.endpoint_id) == 2


def test_an_endpoint_is_created_once(catalog: Catalog) -> None:
    served = Served(catalog)
    with pytest.raises(RefusedError, match="already"):
        catalog.execute(CreateEndpoint(name=served.endpoint, model_version_id=served.versions[0], occurred_at=WHEN))


def test_a_report_replaces_the_one_before_and_an_alert_is_raised_once(catalog: Catalog) -> None:
    served = Served(catalog)
    monitor = CreateMonitor(endpoint_id=served.endpoint_id, name="drift", settings={"bins": 20})
    monitor_id = catalog.execute(monitor)
    assert catalog.execute(msgspec.structs.replace(monitor, settings={"bins": 10})) == monitor_id
    assert catalog.get(serving.monitors, monitor_id).settings == {"bins": 10}
    alert = AlertSpec(kind="drift", subject="rooms", message="moved", evidence={})
    ids = {
        catalog.execute(
            RecordReport(
                monitor_id=monitor_id, model_version_id=served.versions[0], report={"n": n}, progress=n, alerts=[alert],
                occurred_at=WHEN,
            )
        )
        for n in range(3)
    }  # fmt: skip
    assert len(ids) == 1
    assert catalog.get(serving.monitor_reports, ids.pop()).report == {"n": 2}
    assert count(catalog, serving.alerts, monitor_id=monitor_id) == 1


MISSING: list[tuple[Command, type[ClewError]]] = [
    (snapshot_of(NOWHERE, "A"), NotFoundError),
    (SetPolicy(dataset_id=NOWHERE, column="c", action="drop", reason="r"), NotFoundError),
    (EndRun(run_id=NOWHERE, state="done"), NotFoundError),
    (finished(NOWHERE, 0, "k", "o"), UsageError),
    (things.version_of(NOWHERE, NOWHERE, "model", "m1:a"), NotFoundError),
    (CreateEndpoint(name="e", model_version_id=NOWHERE, occurred_at=WHEN), NotFoundError),
    (decide(NOWHERE), NotFoundError),
    (CreateMonitor(endpoint_id=NOWHERE, name="m", settings={}), UsageError),
]


@pytest.mark.parametrize(("command", "error"), MISSING, ids=lambda value: getattr(type(value), "__name__", None))
def test_what_points_nowhere_is_refused_with_a_mend(catalog: Catalog, command: Command, error: type[ClewError]) -> None:
    log = count(catalog, governance.commands)
    with pytest.raises(error) as caught:
        catalog.execute(command)
    assert caught.value.mend
    assert count(catalog, governance.commands) == log


def test_a_snapshot_command_with_the_same_fragment_twice(catalog: Catalog) -> None:
    sales = things.dataset(catalog)
    command: RecordSnapshot = snapshot_of(sales, sales)
    group = command.groups[0]
    doubled = msgspec.structs.replace(group, fragments=[*group.fragments, group.fragments[0]])
    catalog.execute(msgspec.structs.replace(command, groups=[doubled]))
    assert count(catalog, data.fragments, digest=group.fragments[0].digest) == 1
