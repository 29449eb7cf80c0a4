import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.thread.filled import Filled, fill, opened, predictions

from clew.catalog.commands import MoveAlias
from clew.catalog.tables import models
from clew.errors import IntegrityError, NotFoundError, UsageError
from clew.serving.journal import Journal, answered, compact, find_prediction, outcomes_of
from clew.serving.journal.ids import find_rows, write_ids
from clew.thread.used_by import model_used_by, snapshot_used_by
from clew.workspace import Workspace


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Filled]]:
    with opened(tmp_path_factory.mktemp("used")) as workspace:
        yield workspace, fill(workspace)


def test_a_snapshot_is_used_by_runs_models_and_the_endpoints_where_these_answered(
    filled: tuple[Workspace, Filled],
) -> None:
    workspace, made = filled
    used = snapshot_used_by(workspace, "house-sales@2")
    assert json.loads(json.dumps(used)) == used
    assert [one["run"] for one in used["runs"]] == [made.runs["failed"], made.runs["train 3"], made.runs["train 2"]]
    assert used["runs_in_all"] == 3
    assert [(one["model"], one["as"], one["live"]) for one in used["models"]] == [
        ("house-price@3", ["sales"], False),
        ("house-price@2", ["sales"], True),
    ]
    assert [one["predictions"] for one in used["models"]] == [0, 30]
    (endpoint,) = used["endpoints"]
    assert (endpoint["endpoint"], endpoint["live"], endpoint["versions"]) == ("house-price", ["house-price@2"], 1)
    assert used["predictions"] == {"total": 30, "uncounted": 0, "open_bytes": 0}
    assert (used["state"], used["snapshot"]) == ("live", "house-sales@2")


def test_lists_are_bounded_and_counts_are_not(filled: tuple[Workspace, Filled]) -> None:
    workspace, made = filled
    used = snapshot_used_by(workspace, "house-sales@2", most=1)
    assert [one["run"] for one in used["runs"]] == [made.runs["failed"]]
    assert (used["runs_in_all"], used["models_in_all"]) == (3, 2)
    assert [one["model"] for one in used["models"]] == ["house-price@3"]


def test_a_version_knows_its_endpoints_with_periods_its_rollouts_and_its_predictions(
    filled: tuple[Workspace, Filled],
) -> None:
    workspace, made = filled
    used = model_used_by(workspace, "house-price@1")
    assert [one["run"] for one in used["runs"]] == [made.runs["train 1"]]
    (endpoint,) = used["endpoints"]
    assert endpoint["live"] == {"role": "champion", "share": 0.5}
    assert endpoint["predictions"] == 30
    periods = endpoint["periods"]
    assert [one["revision"] for one in periods] == [6, 5, 4, 3, 2, 1]
    assert periods[0]["to"] is None
    assert all(before["from"] == after["to"] for before, after in pairwise(periods))
    assert used["compared_with"] == ["house-price@2"]
    assert model_used_by(workspace, "house-price@2")["aliases"] == ["staging"]
    unused = model_used_by(workspace, "house-price@3")
    assert (unused["endpoints"], unused["rollouts"], unused["predictions"]["total"]) == ([], [], 0)


@pytest.mark.parametrize(
    ("reference", "error"), [("nobody@1", NotFoundError), ("house-sales@9", NotFoundError), ("a@b@c", UsageError)]
)
def test_what_is_not_there_is_named(filled: tuple[Workspace, Filled], reference: str, error: type[Exception]) -> None:
    workspace, _ = filled
    with pytest.raises(error):
        snapshot_used_by(workspace, reference)
    with pytest.raises((NotFoundError, UsageError)):
        model_used_by(workspace, reference)


def test_predictions_are_counted_whether_open_sealed_or_compacted(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        assert answered(workspace.journal).by == {
            ("house-price", made.versions[1]): 30,
            ("house-price", made.versions[2]): 30,
        }
        compact(workspace.journal)
        with Journal(workspace.journal, "server-2") as journal:
            journal.append(predictions(made, 11)).result()
            assert model_used_by(workspace, "house-price@2")["predictions"] == {
                "total": 36,
                "uncounted": 0,
                "open_bytes": 0,
            }


def test_a_seal_of_an_older_version_is_read_and_its_predictions_are_said_to_be_uncounted(tmp_path: Path) -> None:
    from clew.serving.journal.seal import read_seal, write_seal

    with opened(tmp_path) as workspace:
        made = fill(workspace)
        folder = workspace.journal / "server-1"
        seal = read_seal(folder, 1)
        assert seal is not None
        seal.answered = {}
        write_seal(folder, seal)
        text = (folder / "0000000001.json").read_text()
        (folder / "0000000001.json").write_text(
            text.replace(',\n "answered": {}', "").replace('\n "answered": {},', "")
        )
        assert "answered" not in (folder / "0000000001.json").read_text()
        assert read_seal(folder, 1) is not None
        assert model_used_by(workspace, "house-price@2")["predictions"]["uncounted"] == 60
        assert find_prediction(workspace.journal, made.predictions[3]) is not None


def test_an_index_finds_every_row_and_nothing_else(tmp_path: Path) -> None:
    ids = [f"id-{number // 3}" if number % 7 else None for number in range(5000)]
    write_ids(tmp_path / "x.ids", ids)
    for wanted in {one for one in ids if one is not None}:
        rows = find_rows(tmp_path / "x.ids", wanted)
        assert rows == [row for row, one in enumerate(ids) if one == wanted]
    assert find_rows(tmp_path / "x.ids", "id-5000") == []
    assert find_rows(tmp_path / "none.ids", "id-1") is None
    write_ids(tmp_path / "empty.ids", [])
    assert find_rows(tmp_path / "empty.ids", "id-1") == []


def test_a_damaged_index_is_named_and_without_it_the_search_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        (folder,) = compact(workspace.journal)
        assert find_prediction(workspace.journal, made.predictions[7]) is not None
        assert len(outcomes_of(workspace.journal, made.predictions[0])) == 2
        index = folder / "predictions.ids"
        body = bytearray(index.read_bytes())
        body[5000] ^= 1
        index.write_bytes(body)
        with pytest.raises(IntegrityError, match=r"predictions\.ids is damaged"):
            find_prediction(workspace.journal, made.predictions[7])
        index.unlink()
        assert find_prediction(workspace.journal, made.predictions[7]) is not None


def test_an_alias_shows_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        owner = str(workspace.catalog.get(models.model_versions, made.versions[3]).model_id)
        workspace.catalog.execute(
            MoveAlias(owner_kind="model", owner_id=owner, alias="blue", to_id=made.versions[3], reason="a try")
        )
        assert model_used_by(workspace, "house-price@3")["aliases"] == ["blue"]
