"""Erasing a person: nothing of the rows is left in any byte of the workspace, and every other row stays as it was."""

import hashlib
import hmac
import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.hub.client import Pages
from tests.projects import Child, Project, made, start
from tests.servers.s3 import BUCKET, REGION, S3Server

from clew import models
from clew.catalog.columns import new_id
from clew.catalog.commands import ArtifactSpec, EndRun, FinishStep, SetErasedPolicy, StartRun
from clew.catalog.commands import governance as governance_commands
from clew.catalog.tables import builds, data, governance, metadata
from clew.data import Contract, Snapshot, _leases, add, checkout, find, policies, verify
from clew.data.quarantine import quarantines
from clew.errors import ClewError, NotFoundError, RefusedError, UsageError
from clew.hub import create_app
from clew.keys import rotate, secret_key
from clew.models.restore import restore
from clew.monitoring import Monitor
from clew.objects import ObjectStore
from clew.rollouts import start as start_rollout
from clew.serving import create_endpoint
from clew.serving.journal import Journal, Outcome, Prediction, compact, find_prediction
from clew.thread.erasure import erase, marked_versions, plan_erasure, receipts
from clew.thread.holds import hold, release
from clew.workspace import Workspace, init, open_folder

erasing = importlib.import_module("clew.thread.erasure.erase")  # the package names its function the same

PERSON = "P00042"
MARK = "quagmire-zebra"  # stands in every text of the person
NUMBER = 918_273_645.625  # and this in a number of theirs

PIPELINE = """
import numpy as np

class Slope:
    def __init__(self, slope):
        self.slope = slope
    def predict(self, rows):
        return rows["x"].to_numpy() * self.slope

@clew.step
def keep(rows: pl.DataFrame) -> pl.DataFrame:
    print("first of", rows.height, rows["note"].to_list()[:60])
    return rows.select("person", "x", "y", "note")

@clew.step
def train(rows: pl.DataFrame) -> clew.Model:
    shown = rows.sort("note").select("person", "x", "note").slice(3, 5)
    return clew.Model(Slope(float((rows["y"] / rows["x"]).mean())), example=shown)

@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    slices = [{"slice": "note", "value": one, "rows": 1} for one in rows["note"].unique()]
    mae = float(abs(model.predict(rows) - rows["y"].to_numpy()).mean())
    return clew.Evaluation({"mae": mae}, slices=slices, groups={"note": rows["note"].to_list()})

@clew.pipeline
def slope(people: pl.DataFrame = clew.dataset("people@latest")) -> None:
    rows = keep(people)
    model = train(rows)
    clew.register("slope", model=model, evaluation=evaluate(model, rows), train=rows, test=rows, target="y")
"""


def people(rows: int = 3_000, persons: int = 500) -> pl.DataFrame:
    """Rows of persons, a few each; those of `PERSON` are marked in every column."""
    number = pl.int_range(0, rows, eager=True)
    person = pl.select(pl.format("P{}", (number % persons).cast(pl.String).str.zfill(5))).to_series()
    theirs = person == PERSON
    word = pl.select(pl.when(theirs).then(pl.format(MARK + " {}", number)).otherwise(pl.format("word {}", number % 9)))
    return pl.DataFrame(
        {
            "person": person,
            "x": pl.select(pl.when(theirs).then(NUMBER).otherwise(number % 17 + 1.0)).to_series(),
            "y": pl.select(number % 13 + 1.0).to_series(),
            "note": word.to_series(),
            "kind": word.to_series().cast(pl.Categorical),
            "list": pl.select(pl.concat_list(word.to_series(), pl.lit("more"))).to_series(),
        }
    )


def without(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("person") != PERSON)


def versions() -> dict[int, pl.DataFrame]:
    """A history: edited, deleted, a column added, replaced as a whole, reordered, without the person at the end."""
    first = people()
    second = first.filter(pl.int_range(pl.len()) % 97 != 0)
    third = second.with_columns(z=pl.col("y") * 2)
    fourth = third.with_columns(z=pl.col("y") * 3, y=pl.when(pl.col("x") == 3.0).then(-1.0).otherwise("y"))
    fifth = fourth.sort("note", "y")
    return dict(enumerate((first, second, third, fourth, fifth, without(fifth)), start=1))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name in ("CLEW_PSEUDONYM_KEY", "CLEW_ERASURE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield from made(tmp_path / "project")


def filled(workspace: Workspace) -> dict[int, pl.DataFrame]:
    told = versions()
    for version, table in told.items():
        add(workspace, "people", table, subject="person", accept_schema=True, message=f"delivery {version}")
    add(workspace, "copies", told[2])
    return told


def needles() -> list[bytes]:
    return [MARK.encode(), PERSON.encode(), b"918273645"]


def readings(raw: bytes) -> Iterator[bytes]:
    """Bytes as they lie, and as whoever knows their format would read them."""
    yield raw
    if raw[:4] == b"PAR1":
        yield str(pl.read_parquet(io.BytesIO(raw)).to_dicts()).encode()
    elif raw[:6] == b"ARROW1":
        yield str(pa.ipc.open_file(io.BytesIO(raw)).read_all().to_pylist()).encode()
    elif zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for name in archive.namelist():
                yield from readings(archive.read(name))
    elif raw[:2] in (b"\x78\x9c", b"\x78\x01"):
        yield zlib.decompress(raw)


def residues(root: Path) -> list[str]:
    """Where a planted value still is: every file of the workspace, raw and read; the database with its log."""
    found = []
    for path in sorted((root / ".clew").rglob("*")):
        if path.is_file():
            for reading in readings(path.read_bytes()):
                found += [f"{path.relative_to(root)}: {one.decode()}" for one in needles() if one in reading]
    return found


def assert_rest_is_there(workspace: Workspace, told: dict[int, pl.DataFrame]) -> None:
    for version, table in told.items():
        assert find(workspace, f"people@{version}").collect().equals(without(table)), version
    found = [find(workspace, f"people@{version}") for version in told] + [find(workspace, "copies@1")]
    assert [one.fault for one in verify(found)] == [None] * len(found)


def prediction(entity: str, model: models.ModelVersion, inputs: dict[str, Any], number: int) -> Prediction:
    return Prediction(
        id=new_id(), endpoint="slope", request_id="r", row=0, model_version=model.reference, model_version_id=model.id,
        role="champion", share=1.0, reason="", route_revision=1, entity=entity, occurred_at=number, recorded_at=number,
        inputs=inputs, output=1.0, latency_us=1,
    )  # fmt: skip


def served(workspace: Workspace, count: int = 400) -> dict[str, str]:
    """An endpoint with predictions and outcomes about everybody; the ids of the person's, and of another's."""
    version = models.find(workspace, "slope@1")
    create_endpoint(workspace, "slope", "slope@1", entity_column="person", occurred_at=datetime.now(UTC))
    ids: dict[str, str] = {}
    with Journal(workspace.journal, "server", segment_bytes=40_000) as journal:
        for number in range(count):
            person = f"P{number % 100:05d}"
            note = MARK if person == PERSON else "nothing"
            one = prediction(person, version, {"person": person, "x": 1.0, "note": note}, number)
            ids.setdefault(person, one.id)
            journal.append([one])
            journal.append(
                [
                    Outcome(id=new_id(), prediction_id=one.id, name="y", kind="label", value=note, occurred_at=number,
                            recorded_at=number),
                    Outcome(id=new_id(), endpoint="slope", entity=person, name="left", kind="response", value=note,
                            occurred_at=number, recorded_at=number),
                ]
            )  # fmt: skip
    compact(workspace.journal)
    return ids


def test_nothing_of_the_person_is_left_and_all_else_is_as_it_was(project: Project) -> None:
    workspace = project.workspace
    told = filled(workspace)
    project.write(PIPELINE)
    project.run(people="people@2")
    project.run(people="people@4")
    project.run(people="people@6")
    ids = served(workspace)
    assert len(residues(project.folder)) > 10  # else nothing would be shown below

    plan = plan_erasure(workspace, "people", PERSON)
    rows = {one["snapshot"]: one["rows"] for one in plan["snapshots"]}
    assert rows == {f"people@{n}": told[n].height - without(told[n]).height for n in range(1, 6)} | {"copies@1": 6}
    assert plan["model_versions"] == ["slope@1", "slope@2"]
    assert plan["journal"] == {"predictions": 4, "outcomes": 8, "open": []}
    assert plan["fragments"]["bytes_read"] < 20 * people().estimated_size() / 6
    assert_rest = {n: find(workspace, f"people@{n}").collect() for n in told}
    assert all(assert_rest[n].equals(told[n]) for n in told)  # the plan changed nothing

    receipt = erase(workspace, "people", PERSON)

    workspace.close()
    assert residues(project.folder) == []
    assert_rest_is_there(workspace, told)
    assert receipt["model_versions"] == ["slope@1", "slope@2"]
    assert receipt["journal_records"] == {"predictions": 4, "outcomes": 8}
    assert receipt["retrain"] == ["clew run pipeline.py:slope --set people=people@4"]
    assert receipt["mentions"] == []
    assert find_prediction(workspace.journal, ids[PERSON]) is None
    assert find_prediction(workspace.journal, ids["P00041"]) is not None
    # the person stands nowhere in the receipt, and its hash can't be made without the key
    (kept,) = receipts(workspace)
    assert PERSON not in json.dumps(kept, default=str)
    assert kept["state"] == "done"
    # the third model never saw the person, and stays whole
    third = models.find(workspace, "slope@3")
    assert third.load().predict(pl.DataFrame({"person": ["a"], "x": [2.0], "note": ["b"]})) is not None
    assert third.artifact("test").state == "live"
    assert set(marked_versions(workspace)) == {models.find(workspace, f"slope@{n}").id for n in (1, 2)}


def test_a_marked_version_still_loads_and_says_what_is_missing(project: Project, tmp_path: Path) -> None:
    workspace = project.workspace
    filled(workspace)
    project.write(PIPELINE)
    project.run(people="people@2")
    erase(workspace, "people", PERSON)
    version = models.find(workspace, "slope@1")
    model = version.load()
    assert model.example.height == 5 - 3
    with pytest.raises(NotFoundError, match="went with rows of a person"):
        version.artifact("test")
    done = restore(version, tmp_path / "back")
    assert "Exact but for 6 rows that were erased since" in (tmp_path / "back" / "README.md").read_text()
    assert done["folder"]
    again = project.run(people="people@2")  # nothing of what was derived is taken from the cache
    assert {step.status for step in again.steps if step.name in ("keep", "train")} == {"ran"}


def test_the_person_can_not_come_back(project: Project) -> None:
    workspace = project.workspace
    told = filled(workspace)
    erase(workspace, "people", PERSON)
    with pytest.raises(RefusedError, match="6 rows of this are about 1 person"):
        add(workspace, "people", told[1], accept_schema=True)
    with pytest.raises(RefusedError, match="no column person"):
        add(workspace, "people", told[1].drop("person"), accept_schema=True)
    taken = add(workspace, "people", told[4], accept_schema=True, strip_erased=True)
    assert taken.stripped_rows == 6
    assert taken.snapshot.collect().equals(without(told[4]))
    assert add(workspace, "copies", told[2].filter(pl.col("person") != PERSON)).changed is False


def test_a_lost_key_is_missed(project: Project, tmp_path: Path) -> None:
    workspace = project.workspace
    told = filled(workspace)
    erase(workspace, "people", PERSON)
    for path in (tmp_path / "config").rglob("*erasure*"):
        path.unlink()
    with pytest.raises(ClewError, match="erasure-1"):
        add(workspace, "people", told[1], accept_schema=True)
    with pytest.raises(ClewError, match="erasure-1"):
        erase(workspace, "people", "P00007")


@pytest.mark.parametrize("subject", ["P99999", "", " "])
def test_a_subject_that_is_not_there_changes_nothing(project: Project, subject: str) -> None:
    filled(project.workspace)
    with pytest.raises((NotFoundError, UsageError)):
        erase(project.workspace, "people", subject)
    assert receipts(project.workspace) == []
    with pytest.raises((NotFoundError, UsageError)):
        plan_erasure(project.workspace, "people", subject)


def test_a_column_that_was_renamed_or_retyped_is_told(project: Project) -> None:
    workspace = project.workspace
    table = pl.DataFrame({"person": [1, 2, 3], "v": [1, 2, 3]})
    add(workspace, "people", table, subject="person")
    add(workspace, "people", table.rename({"person": "who"}), accept_schema=True)
    with pytest.raises(RefusedError, match=r"people@2 has no column person") as error:
        erase(workspace, "people", "2")
    assert "--column" in str(error.value.mend)
    add(workspace, "people", table.with_columns(pl.col("person").cast(pl.String)), accept_schema=True)
    with pytest.raises(RefusedError, match="changed its type"):
        erase(workspace, "people", "2", columns=["who"])
    assert receipts(workspace) == []
    done = erase(workspace, "people", "2", columns=["who"], as_text=True)
    assert [one["rows"] for one in done["snapshots"]] == [1, 1, 1]
    assert all(find(workspace, f"people@{n}").collect()["v"].to_list() == [1, 3] for n in (1, 2, 3))


def test_nobody_said_whom_rows_are_about(project: Project) -> None:
    add(project.workspace, "people", people(60))
    with pytest.raises(UsageError, match="which column"):
        erase(project.workspace, "people", PERSON)
    with pytest.raises(NotFoundError, match="no dataset"):
        erase(project.workspace, "nobody", PERSON)


@pytest.mark.parametrize("held", ["people@3", "people", "slope@1", "slope"])
def test_a_hold_keeps_everything(project: Project, held: str) -> None:
    workspace = project.workspace
    told = filled(workspace)
    project.write(PIPELINE)
    project.run(people="people@2")
    hold(workspace, held, "case 2026-17")
    assert "case 2026-17" in plan_erasure(workspace, "people", PERSON)["held"]
    with pytest.raises(RefusedError, match="case 2026-17"):
        erase(workspace, "people", PERSON)
    assert find(workspace, "people@1").collect().equals(told[1])
    assert receipts(workspace) == []
    release(workspace, held)
    erase(workspace, "people", PERSON)
    assert_rest_is_there(workspace, told)


def test_a_pseudonym_is_found_by_the_value_behind_it(project: Project) -> None:
    workspace = project.workspace
    policies.declare(workspace, "people", "person", "pseudonym", "it names a person")
    table = people(600).drop("kind", "list")
    add(workspace, "people", table, subject="person")
    assert PERSON not in find(workspace, "people@1").collect()["person"].to_list()
    erase(workspace, "people", PERSON)
    assert find(workspace, "people@1").collect()["note"].equals(without(table)["note"])
    with pytest.raises(RefusedError, match="1 person"):
        add(workspace, "people", table)
    rotate(workspace, "pseudonym")  # the person's pseudonym is another now
    with pytest.raises(RefusedError, match="1 person"):
        add(workspace, "people", table)
    assert add(workspace, "people", table, strip_erased=True).stripped_rows == 2


def test_an_endpoint_may_refuse_marked_versions(project: Project) -> None:
    workspace = project.workspace
    filled(workspace)
    project.write(PIPELINE)
    project.run(people="people@2")
    project.run(people="people@6")
    route = create_endpoint(workspace, "slope", "slope@2", entity_column=None, occurred_at=datetime.now(UTC))
    erase(workspace, "people", PERSON)
    workspace.catalog.execute(SetErasedPolicy(endpoint_id=route.endpoint_id, erased_data="refuse", reason="policy"))
    with pytest.raises(RefusedError, match="were erased since"):
        start_rollout(workspace, "slope", "slope@1")
    workspace.catalog.execute(SetErasedPolicy(endpoint_id=route.endpoint_id, erased_data="serve", reason="policy"))
    assert start_rollout(workspace, "slope", "slope@1")["candidate"] == "slope@1"


def photos(root: Path, persons: int = 30) -> Path:
    folder = root / "photos"
    for number in range(persons):
        home = folder / f"P{number:05d}"
        home.mkdir(parents=True, exist_ok=True)
        for photo in range(4):
            text = f"{MARK} {photo}" if number == 12 else f"picture {number} {photo}"
            (home / f"{photo}.txt").write_text(text * 30)
        (home / "same.txt").write_text("the same for all")
    return folder


def test_files_go_by_their_path(project: Project, tmp_path: Path) -> None:
    workspace = project.workspace
    folder = photos(tmp_path)
    first = add(workspace, "photos", files_in=folder, subject_files="{subject}/*").snapshot
    (folder / "P00001" / "0.txt").write_text("another")
    add(workspace, "photos", files_in=folder)
    (folder / "P00029" / "new.txt").write_text("new")
    add(workspace, "photos", files_in=folder)
    assert any(MARK in one for one in residues(project.folder))
    before = {n: _files(find(workspace, f"photos@{n}"), tmp_path / f"before-{n}") for n in (1, 2, 3)}
    done = erase(workspace, "photos", "P00012")
    assert [one["rows"] for one in done["snapshots"]] == [5, 5, 5]
    for n in (1, 2, 3):
        wanted = {path: text for path, text in before[n].items() if not path.startswith("P00012/")}
        assert _files(find(workspace, f"photos@{n}"), tmp_path / f"after-{n}") == wanted
    assert [one.fault for one in verify([find(workspace, f"photos@{n}") for n in (1, 2, 3)])] == [None] * 3
    assert first.content_id != find(workspace, "photos@1").content_id
    workspace.close()
    left = [one for one in residues(project.folder) if MARK in one]
    assert left == []
    assert not any(b"P00012" in path.read_bytes() for path in (project.folder / ".clew").rglob("*") if path.is_file())
    with pytest.raises(RefusedError, match="files of 1 person"):
        add(workspace, "photos", files_in=folder)
    with pytest.raises(UsageError, match="whose a file is"):
        add(workspace, "more", files_in=folder, subject_files="*/x")


def _files(snapshot: Snapshot, dest: Path) -> dict[str, str]:
    checkout(snapshot, dest)
    return {str(path.relative_to(dest)): path.read_text() for path in sorted(dest.rglob("*")) if path.is_file()}


def test_bytes_that_are_anothers_too_stay(project: Project) -> None:
    """A version in which the person's number was corrected to another's shares all other columns with the first."""
    workspace = project.workspace
    table = people(600)
    add(workspace, "people", table, subject="person")
    corrected = table.with_columns(
        pl.when(pl.col("person") == PERSON).then(pl.lit("P77777")).otherwise("person").alias("person")
    )
    add(workspace, "people", corrected)
    erase(workspace, "people", PERSON)
    assert find(workspace, "people@1").collect().equals(without(table))
    assert find(workspace, "people@2").collect().equals(corrected)
    workspace.close()
    assert not any(PERSON in one for one in residues(project.folder))


def test_ids_of_former_contents_stand_nowhere(project: Project) -> None:
    workspace = project.workspace
    filled(workspace)
    project.write(PIPELINE)
    project.run(people="people@2")
    former = [find(workspace, f"people@{n}") for n in range(1, 6)]
    said = {one.content_id for one in former} | {column for one in former for column in one.column_ids or ()}
    kept = set(find(workspace, "people@6").column_ids or ())
    erase(workspace, "people", PERSON)
    still = {find(workspace, f"people@{n}").content_id for n in range(1, 7)}
    still |= {column for n in range(1, 7) for column in find(workspace, f"people@{n}").column_ids or ()}
    workspace.close()
    raw = (project.folder / ".clew" / "catalog.sqlite").read_bytes()
    gone = [one for one in said - kept - still if one.partition(":")[2].encode() in raw]
    assert gone == []
    assert former[0].content_id not in still


def test_a_run_under_way_keeps_the_rows(project: Project) -> None:
    workspace = project.workspace
    told = filled(workspace)
    project.write(PIPELINE.replace("return rows.select", "import time; time.sleep(60); return rows.select"))
    child = project.start("run", "pipeline.py", "--set", "people=people@2")
    try:
        runs = sa.select(builds.runs.c.id).where(builds.runs.c.state == "running")
        for _ in range(600):
            if workspace.catalog.first(runs) is not None:
                break
            subprocess.run(["sleep", "0.1"], check=True)
        with pytest.raises(RefusedError, match="a run is reading"):
            erase(workspace, "people", PERSON)
        assert find(workspace, "people@1").collect().equals(told[1])
        assert receipts(workspace) == []
    finally:
        child.kill()
        child.wait()
    erase(workspace, "people", PERSON)  # its process is gone
    assert_rest_is_there(workspace, told)


def test_a_server_that_writes_is_waited_for(project: Project) -> None:
    workspace = project.workspace
    told = filled(workspace)
    project.write(PIPELINE)
    project.run(people="people@2")
    version = models.find(workspace, "slope@1")
    create_endpoint(workspace, "slope", "slope@1", entity_column="person", occurred_at=datetime.now(UTC))
    with Journal(workspace.journal, "server") as journal:
        journal.append([prediction(PERSON, version, {"person": PERSON}, 1)])
        with pytest.raises(RefusedError, match="is writing the journal"):
            erase(workspace, "people", PERSON)
        assert receipts(workspace)[0]["state"] == "planned"
        assert_rest_is_there(workspace, told)
    done = erase(workspace, "people", PERSON)
    assert done["journal_records"] == {"predictions": 1, "outcomes": 0}
    assert done["model_versions"] == ["slope@1"]
    workspace.close()
    assert residues(project.folder) == []


def test_the_receipts_hash_needs_the_key(project: Project) -> None:
    filled(project.workspace)
    erase(project.workspace, "people", PERSON)
    row = project.workspace.catalog.first(sa.select(governance.erasures))
    assert row is not None
    from clew.data.erasing import hash_of

    name, key = secret_key(project.workspace, "erasure")
    assert (row.key_name, row.subject_hmac) == (name, hash_of(key, PERSON))
    assert hash_of(b"another key of some bytes", PERSON) != row.subject_hmac


_CHILD = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from clew.thread.erasure import erase
from clew.workspace import open_folder
touching = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "sqlite3.connect", "os.chmod"}
left = int(os.environ["KILL_AT"])
def hook(event, args):
    global left
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in touching:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
with open_folder(Path.cwd()) as workspace:
    @sa.event.listens_for(workspace.catalog.engine, "before_cursor_execute")
    def _statement(connection, cursor, statement, *rest):
        if statement.split()[0] in ("INSERT", "UPDATE", "DELETE"):
            hook("os.rename", ())
    @sa.event.listens_for(workspace.catalog.engine, "commit")
    def _commit(connection):
        hook("os.rename", ())
    sys.addaudithook(hook)
    erase(workspace, "people", "P00042")
print("touches", int(os.environ["KILL_AT"]) - left)
"""


def _killed(root: Path, at: int) -> tuple[int, Child]:
    child = start(_CHILD, root, KILL_AT=str(at), XDG_CONFIG_HOME=os.environ["XDG_CONFIG_HOME"])
    return child.wait(), child


def _kills(project: Project, tmp_path: Path, points: int, first_point: int = 0) -> int:
    """Kill an erasure at so many of its touches, each in a copy; then it is asked again, and ends complete."""
    workspace = project.workspace
    first = people(400, 80)
    second = first.filter(pl.int_range(pl.len()) % 97 != 0)
    told = dict(enumerate((first, second, without(second)), start=1))
    for table in told.values():
        add(workspace, "people", table, subject="person")
    project.write(PIPELINE)
    project.run(people="people@2")
    served(workspace, 100)
    workspace.close()
    probe = tmp_path / "probe"
    shutil.copytree(project.folder, probe)
    code, whole = _killed(probe, 10**9)
    assert code == 0, whole.stderr
    touches = int(whole.stdout.split()[-1])
    killed = 0
    for at in range(1 + first_point, touches + 1, max(1, touches // points)):
        root = tmp_path / f"at-{at}"
        shutil.copytree(project.folder, root)
        killed += _killed(root, at)[0] == -signal.SIGKILL
        with Workspace(root) as again:
            try:
                receipt = erase(again, "people", PERSON)
            except NotFoundError:  # killed when all was done but to say so
                receipt = receipts(again)[0]
            assert receipt["state"] == "done", at
            assert receipt["model_versions"] == ["slope@1"], at
            assert len(receipts(again)) == 1, at
            for version, table in told.items():
                assert find(again, f"people@{version}").collect().equals(without(table)), (at, version)
            assert not [one for one in verify([find(again, f"people@{version}") for version in told]) if one.fault], at
        assert residues(root) == [], at
        shutil.rmtree(root)
    return killed


def test_killed_on_the_way_it_goes_on_from_there(project: Project, tmp_path: Path) -> None:
    assert _kills(project, tmp_path, 5) >= 4


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first_point", [0, 1])
def test_killed_at_a_hundred_points(project: Project, tmp_path: Path, first_point: int) -> None:
    """Half of them each, so that two workers share the time."""
    assert _kills(project, tmp_path, 50, first_point) >= 45


def test_rows_kept_apart_go_too(project: Project) -> None:
    workspace = project.workspace
    terms = 'dataset = "people"\n[columns.y]\ntype = "float64"\nmax = 5.0\n'
    table = people(600).select("person", "y", "note")
    added = add(
        workspace, "people", table, subject="person", contract=Contract.from_toml(terms), quarantine=True
    )  # fmt: skip
    assert added.quarantine is not None
    (apart,) = quarantines(workspace, "people")
    before = apart.rows
    theirs = table.filter((pl.col("y") > 5) & (pl.col("person") == PERSON)).height
    assert theirs
    done = erase(workspace, "people", PERSON)
    assert done["quarantines"] == 1
    (apart,) = quarantines(workspace, "people")
    assert apart.rows == before - theirs
    workspace.close()
    assert residues(project.folder) == []


def test_the_pages_show_receipts_and_marks(project: Project) -> None:
    workspace = project.workspace
    filled(workspace)
    project.write(PIPELINE)
    project.run(people="people@2")
    receipt = erase(workspace, "people", PERSON)
    pages = Pages(create_app(workspace))
    page = pages.get("/datasets/people").text
    assert receipt["erasure"] in page
    assert "slope@1" in page
    assert PERSON not in page
    assert "were erased since" in pages.get("/models/slope/1").text


def test_from_the_command_line(project: Project) -> None:
    workspace = project.workspace
    told = filled(workspace)
    project.write(PIPELINE)
    project.run(people="people@2")
    create_endpoint(workspace, "slope", "slope@1", entity_column=None, occurred_at=datetime.now(UTC))

    def said(*arguments: str) -> Any:
        child = project.start(*arguments)
        assert child.wait() == 0, child.stderr
        return child.stdout

    assert "people@3" in said("data", "erase", "people", "--subject", PERSON, "--dry-run")
    assert find(workspace, "people@1").collect().equals(told[1])
    receipt = json.loads(said("data", "erase", "people", "--subject", PERSON, "--json"))
    assert receipt["model_versions"] == ["slope@1"]
    assert receipt["erasure"] in said("data", "erasures")
    assert "clew run pipeline.py:slope" in said("data", "erasures", receipt["erasure"][:13])
    assert receipt["erasure"] in said("model", "show", "slope@1")
    assert "slope@1 is not watched" in said("monitor", "status", "slope")
    assert "refuse" in said("endpoint", "erased", "slope", "refuse", "--reason", "asked for")
    assert said("doctor").count("BAD") == 0
    assert_rest_is_there(workspace, told)


def test_a_monitor_writes_nothing_of_what_went(project: Project) -> None:
    workspace = project.workspace
    filled(workspace)
    project.write(PIPELINE)
    project.run(people="people@2")
    served(workspace)
    monitor = Monitor(workspace, "slope")
    monitor.advance(datetime.now(UTC))
    assert len(monitor.watches) == 1
    erase(workspace, "people", PERSON)
    monitor.advance(datetime.now(UTC))
    assert not monitor.watches
    workspace.close()
    assert residues(project.folder) == []


def test_what_was_made_of_others_rows_alone_stays(project: Project) -> None:
    """A run under the person's (as a bisection's builds are) that repeats what another made marks nothing of that."""
    workspace = project.workspace
    add(workspace, "people", people(), subject="person")
    add(workspace, "others", without(people()).head(900))
    project.write(PIPELINE)
    mine = project.run(people="people@1")
    theirs = project.run(people="others@1")
    other = find(workspace, "others@1")
    run = workspace.catalog.get(builds.runs, theirs.run)
    between = workspace.catalog.execute(
        StartRun(
            name="between", pipeline="slope", entry="pipeline.py", provenance="recorded", code_id=str(run.code_id),
            environment_id=str(run.environment_id), parameters={}, criteria=[], parent_run_id=mine.run,
            inputs={"people": (other.reference, other.id)}, occurred_at=datetime.now(UTC),
        )
    )  # fmt: skip
    k, a = builds.step_artifacts.c, builds.artifacts
    made = workspace.catalog.rows(
        sa.select(a)
        .join(builds.step_artifacts, k.artifact_id == a.c.id)
        .join(builds.steps, builds.steps.c.id == k.step_id)
        .where(builds.steps.c.run_id == theirs.run, k.direction == "out")
    )
    fields = ("kind", "content_id", "digest", "bytes", "rows", "body")
    outputs = {str(n): ArtifactSpec(**{name: row._mapping[name] for name in fields}) for n, row in enumerate(made)}
    workspace.catalog.execute(
        FinishStep(
            run_id=between, ordinal=0, name="all", state="cached", cache_key=None, key_parts=None, why="cached",
            outputs=outputs, started_at=datetime.now(UTC),
        )
    )  # fmt: skip
    workspace.catalog.execute(EndRun(run_id=between, state="done"))
    receipt = erase(workspace, "people", PERSON)
    assert receipt["model_versions"] == ["slope@1"]
    assert models.find(workspace, "slope@2").artifact("test").state == "live"


def test_versions_that_change_all_the_while_end_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = project.workspace
    told = filled(workspace)
    seen = erasing.examine

    def examined(*given: Any) -> Any:
        found = seen(*given)
        number = len(find(workspace, "people@latest").collect()) - 1  # another delivery, just after each look
        add(workspace, "people", without(told[6]).head(number), accept_schema=True, strip_erased=True)
        return found

    monkeypatch.setattr(erasing, "examine", examined)
    monkeypatch.setattr(_leases, "_wait_for_erasure", lambda _workspace: None)
    monkeypatch.setattr(governance_commands, "refuse_while_erasing", lambda _tx: None)
    with pytest.raises(RefusedError, match="changed all the while"):
        erase(workspace, "people", PERSON)
    assert receipts(workspace) == []
    assert find(workspace, "people@1").collect().equals(told[1])


def test_policies_of_the_dataset_stay(project: Project) -> None:
    filled(project.workspace)
    before = project.workspace.catalog.rows(sa.select(data.datasets))
    erase(project.workspace, "people", PERSON)
    assert project.workspace.catalog.rows(sa.select(data.datasets)) == before


def test_in_a_teams_workspace(
    tmp_path: Path, postgres_database: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    init(tmp_path / "team", catalog=postgres_database, objects=s3_server.url())
    with open_folder(tmp_path / "team") as workspace:
        told = filled(workspace)
        plan = plan_erasure(workspace, "people", PERSON)
        whole = sum(one.size for one in workspace.objects.list())
        assert plan["fragments"]["bytes_read"] < whole * 4  # by ranges: of small files most is their end
        done = erase(workspace, "people", PERSON)
        assert not any("keeps versions" in one for one in done["not_reached"])
        assert any("write-ahead log" in one for one in done["not_reached"])
        assert_rest_is_there(workspace, told)
        for one in workspace.objects.list():
            for reading in readings(workspace.objects.get(one.digest)):
                assert not any(needle in reading for needle in needles())
        with workspace.catalog.read() as connection:
            for table in metadata.sorted_tables:
                whole_row = sa.cast(sa.literal_column(f'"{table.name}"'), sa.Text)
                rows = connection.execute(sa.select(whole_row).select_from(table))
                assert not any(needle.decode() in row[0] for row in rows for needle in needles()), table.name


def test_a_bucket_that_keeps_versions_is_told(s3_server: S3Server, s3_store: ObjectStore) -> None:
    keeps = s3_store.keeps_versions  # type: ignore[attr-defined]
    assert not keeps()
    _versioning(s3_server, "Enabled")
    try:
        assert keeps()
    finally:
        _versioning(s3_server, "Suspended")


def _versioning(server: S3Server, status: str) -> None:
    """Turn versions of the bucket on or off, by a request signed as AWS describes it (Signature Version 4)."""
    body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>".encode()
    host = server.endpoint.removeprefix("http://")
    now, hashed = datetime.now(UTC), hashlib.sha256(body).hexdigest()
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    signed = "host;x-amz-content-sha256;x-amz-date"
    headers = f"host:{host}\nx-amz-content-sha256:{hashed}\nx-amz-date:{stamp}\n"
    asked = f"PUT\n/{BUCKET}\nversioning=\n{headers}\n{signed}\n{hashed}"
    scope = f"{day}/{REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    key = f"AWS4{server.secret_access_key}".encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={server.access_key_id}/{scope}, SignedHeaders={signed}"
    answer = httpx.put(
        f"{server.endpoint}/{BUCKET}?versioning",
        content=body,
        headers={
            "x-amz-content-sha256": hashed,
            "x-amz-date": stamp,
            "authorization": f"{credential}, Signature={signature}",
        },
    )
    assert answer.status_code == 200, answer.text
