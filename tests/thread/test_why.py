import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.thread.filled import BEGIN, DAY, Filled, digest, fill, micros, opened, predictions

from clew.catalog.commands import CreateDataset, SetPolicy
from clew.catalog.tables import builds, data, models
from clew.errors import NotFoundError
from clew.serving.journal import Journal, Outcome, compact
from clew.thread import why
from clew.workspace import Workspace


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Filled]]:
    with opened(tmp_path_factory.mktemp("filled")) as workspace:
        yield workspace, fill(workspace)


KEYS = {
    "prediction",
    "endpoint",
    "route",
    "model",
    "run",
    "code",
    "environment",
    "steps",
    "rows",
    "snapshots",
    "outcomes",
    "notes",
}


def test_the_thread_of_a_prediction_leads_to_everything_behind_it(filled: tuple[Workspace, Filled]) -> None:
    workspace, made = filled
    thread = why(workspace, made.predictions[0])
    assert set(thread) == KEYS
    assert json.loads(json.dumps(thread)) == thread
    assert thread["notes"] == []

    said = thread["prediction"]
    assert (said["output"], said["entity"], said["model_version"]) == (412_000.0, "customer-0", "house-price@2")
    assert (said["role"], said["share"], said["reason"]) == ("candidate", 0.5, "sticky by entity")
    assert said["occurred_at"] == "2026-06-21T09:30:00+00:00"
    assert said["recorded_at"] == "2026-06-21T09:30:02+00:00"
    assert said["inputs"]["area"] == 71.5
    assert [(one["model_version"], one["role"], one["output"]) for one in said["shadow"]] == [
        ("house-price@1", "champion", 409_500.0)
    ]

    assert thread["endpoint"]["name"] == "house-price"
    route = thread["route"]
    assert (route["revision"], route["reason"]) == (6, "advance: harm of more than 2% is excluded")
    assert [(one["model_version"], one["role"], one["share"]) for one in route["shares"]] == [
        ("house-price@1", "champion", 0.5),
        ("house-price@2", "candidate", 0.5),
    ]
    assert route["rollout"]["id"] == made.rollout_id
    assert (route["rollout"]["champion"], route["rollout"]["candidate"]) == ("house-price@1", "house-price@2")

    model = thread["model"]
    assert (model["reference"], model["state"], model["provenance"]) == ("house-price@2", "accepted", "recorded")
    assert model["aliases"] == ["staging"]
    assert model["metrics"]["mape"] == pytest.approx(0.10647)

    run = thread["run"]
    assert run["id"] == made.runs["train 2"]
    assert (run["entry"], run["actor"], run["parameters"]["trees"]) == ("train.py", "ada@lab", 400)
    assert run["git_commit"].startswith("4f2c9d1e")
    assert thread["code"]["content_id"] == f"p1:{digest('code')}"
    assert set(thread["code"]["files"]) == {"train.py", "features.py"}
    assert thread["environment"]["python"] == "3.11.2"
    assert [step["name"] for step in thread["steps"]] == ["clean", "split", "fit", "evaluate", "register house-price"]
    assert thread["steps"][0]["why"] == "parameter trees changed: 200 → 400"
    assert [(rows["role"], rows["rows"], rows["content_id"]) for rows in thread["rows"]] == [
        ("train", 17_277, f"c1:{digest('train 2')}"),
        ("test", 4320, f"c1:{digest('test 2')}"),
    ]


def test_the_thread_reaches_the_source_files_their_contract_and_their_policies(
    filled: tuple[Workspace, Filled],
) -> None:
    workspace, made = filled
    (snapshot,) = why(workspace, made.predictions[0])["snapshots"]
    assert (snapshot["reference"], snapshot["role"], snapshot["rows"]) == ("house-sales@2", "sales", 21_597)
    assert snapshot["content_id"] == f"c1:{digest('sales 2')}"
    (source,) = snapshot["sources"]
    assert (source["uri"], source["sha256"]) == ("/srv/dumps/house_sales_2.csv.gz", digest("dump 2"))
    (check,) = snapshot["checks"]
    assert check["passed"]
    assert [(one["column"], one["failing_rows"]) for one in check["findings"]] == [("area", 3)]
    assert [(one["column"], one["action"]) for one in snapshot["policies"]] == [("buyer", "pseudonym")]


def test_outcomes_say_how_late_they_came_and_how_far_off_the_answer_was(filled: tuple[Workspace, Filled]) -> None:
    workspace, made = filled
    price, viewed = why(workspace, made.predictions[0])["outcomes"]
    assert (price["name"], price["kind"], price["value"]) == ("price", "label", 431_500.0)
    assert price["error"] == -19_500.0
    assert price["delay_days"] == 18.5
    assert (viewed["kind"], viewed["value"], viewed["error"]) == ("response", True, None)
    assert why(workspace, made.predictions[1])["outcomes"] == []


@pytest.mark.parametrize(
    "wrong", ["0197a0c4-0000-7000-8000-000000000000", "nonsense", "", "../../etc/passwd", "é" * 36]
)
def test_an_id_that_the_journal_does_not_have_is_not_found(filled: tuple[Workspace, Filled], wrong: str) -> None:
    workspace, _ = filled
    with pytest.raises(NotFoundError) as caught:
        why(workspace, wrong)
    assert caught.value.mend is not None
    assert "clew-prediction-id" in caught.value.mend


def test_the_thread_is_the_same_after_the_journal_was_compacted(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        before = why(workspace, made.predictions[0])
        compact(workspace.journal)
        assert list(workspace.journal.glob("*/*.g0001"))
        assert why(workspace, made.predictions[0]) == before


def test_what_was_erased_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        content = workspace.catalog.get(data.snapshots, made.snapshots[2]).content_pk
        with workspace.catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
            versions = models.model_versions
            connection.execute(versions.update().where(versions.c.id == made.versions[2]).values(state="erased"))
            contents = data.contents
            connection.execute(contents.update().where(contents.c.id == content).values(erased_rows=7))
            rows = builds.artifacts
            erased = rows.c.content_id == f"c1:{digest('train 2')}"
            connection.execute(rows.update().where(erased).values(state="erased"))
        thread = why(workspace, made.predictions[0])
        assert thread["model"]["state"] == "erased"
        notes = " / ".join(thread["notes"])
        assert "house-price@2 was erased" in notes
        assert "the train rows were erased" in notes
        assert "7 rows of house-sales@2 were erased" in notes


def test_a_prediction_of_what_the_catalog_never_had_is_shown_with_notes(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        stranger = msgspec.structs.replace(predictions(Filled(versions={1: "x", 2: "y"}), 1)[0], rollout_id=None)
        with Journal(workspace.journal, "server-9") as journal:
            journal.append([stranger]).result()
        thread = why(workspace, stranger.id)
        assert set(thread) == KEYS
        assert (thread["endpoint"], thread["model"], thread["run"], thread["snapshots"]) == (None, None, None, [])
        assert len(thread["notes"]) == 2


def test_a_policy_holds_for_the_snapshots_that_were_taken_under_it(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        dataset_id = workspace.catalog.execute(CreateDataset(name="house-sales"))
        workspace.catalog.execute(SetPolicy(dataset_id=dataset_id, column="city", action="drop", reason="later"))
        workspace.catalog.execute(SetPolicy(dataset_id=dataset_id, column="buyer", action="drop", reason="later"))
        (snapshot,) = why(workspace, made.predictions[0])["snapshots"]
        assert [(one["column"], one["action"]) for one in snapshot["policies"]] == [("buyer", "pseudonym")]


def test_an_outcome_from_before_the_prediction_has_a_negative_delay(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        early = BEGIN + 20 * DAY + timedelta(minutes=2) - timedelta(hours=6)
        with Journal(workspace.journal, "server-2") as journal:
            journal.append(
                [
                    Outcome(
                        id="o",
                        prediction_id=made.predictions[2],
                        name="price",
                        kind="label",
                        value="sold",
                        occurred_at=micros(early),
                        recorded_at=micros(early),
                    )
                ]
            ).result()
        (outcome,) = why(workspace, made.predictions[2])["outcomes"]
        assert (outcome["delay_days"], outcome["error"]) == (-0.25, None)
