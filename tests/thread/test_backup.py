"""The drill: back up while others write, lose everything, put the backup back, and find all that it promised."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from tests.projects import Project, made
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server
from tests.thread.filled import fill, opened
from tests.thread.test_exchange import filled
from tests.thread.test_retention import journal

from clew import models
from clew.catalog.tables import builds, data
from clew.data import all_of, verify
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.models.rebuild import rebuild
from clew.models.restore import restore
from clew.objects import open_store
from clew.serving.journal import Journal, Prediction
from clew.session import open_workspace
from clew.thread import why
from clew.thread.backup import back_up
from clew.thread.doctor import examine
from clew.thread.exchange import export_workspace, import_workspace
from clew.workspace import init


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from made(tmp_path / "project")


def test_a_backup_made_while_others_write_is_one_moment_and_can_be_put_back(project: Project, tmp_path: Path) -> None:
    asked = filled(project)
    stop = threading.Event()
    acknowledged: list[str] = []
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with open_workspace(project.folder) as mine:
                number = 0
                while not stop.is_set():
                    number += 1
                    rows = {"x": [float(number)], "y": [2.0 * number]}
                    acknowledged.append(mine.add("stream", pl.DataFrame(rows)).reference)
        except BaseException as error:  # noqa: BLE001 - the thread's edge
            failed.append(error)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for one in writers:
        one.start()
    try:
        while len(acknowledged) < 6:
            assert not failed
            stop.wait(0.02)
        for _ in range(3):  # each into the folder of the one before
            before = set(acknowledged)
            back_up(project.workspace, tmp_path / "backup")
            with open_workspace(tmp_path / "backup") as copy:
                found = {one.reference for one in all_of(copy, "stream")}
                assert before <= found
                assert all(one["ok"] for one in examine(copy))
    finally:
        stop.set()
        for one in writers:
            one.join()
    assert not failed
    # The disk is lost; the backup goes into its place.
    project.workspace.close()
    shutil.rmtree(project.folder / ".clew")
    shutil.copytree(tmp_path / "backup" / ".clew", project.folder / ".clew")
    with open_workspace(project.folder) as again:
        assert all(one["ok"] for one in examine(again))
        assert all(one.fault is None for one in verify(all_of(again)))
        assert [why(again, one)["prediction"]["id"] for one in asked] == asked
        assert restore(models.find(again, "slope@1"), tmp_path / "restored")["model"] == "slope@1"
        assert rebuild(models.find(again, "slope@2"))["verdict"] == "identical"
        assert again.add("stream", pl.DataFrame({"x": [0.5], "y": [0.5]})).collect().height == 1


def test_a_second_backup_copies_what_is_new_and_the_open_segment_is_in_it(project: Project, tmp_path: Path) -> None:

    filled(project)
    first = back_up(project.workspace, tmp_path / "backup")
    assert first["copied"] == first["objects"] > 0
    assert back_up(project.workspace, tmp_path / "backup")["copied"] == 0
    version = models.find(project.workspace, "slope@2")
    one = Prediction(
        id="0197a0c4-0000-7000-8000-000000000001", endpoint="slope", request_id="r", row=0, model_version="slope@2",
        model_version_id=version.id, role="champion", share=1.0, reason="only one", route_revision=1, occurred_at=1,
        recorded_at=1, inputs={"x": 1.0}, output=2.0, latency_us=3,
    )  # fmt: skip
    with Journal(project.workspace.journal, "server-3") as writer:
        writer.append([one]).result()
        back_up(project.workspace, tmp_path / "backup")
        with open_workspace(tmp_path / "backup") as copy:
            assert why(copy, one.id)["model"]["reference"] == "slope@2"
    back_up(project.workspace, tmp_path / "backup")
    with open_workspace(tmp_path / "backup") as copy:
        assert why(copy, one.id)["model"]["reference"] == "slope@2"
        more = journal(copy, version.id, segments=1)  # a server goes on where the backup ends
        assert why(copy, more[0])["prediction"]["output"] == 2.0


def test_backups_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "w") as workspace:
        with pytest.raises(RefusedError, match="the workspace itself"):
            back_up(workspace, tmp_path / "w")
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "letter.txt").touch()
        with pytest.raises(RefusedError, match="neither empty nor a backup"):
            back_up(workspace, tmp_path / "other")
        back_up(workspace, tmp_path / "backup")
        fill(workspace)  # whose objects are nowhere
        with pytest.raises(NotFoundError):
            back_up(workspace, tmp_path / "backup")
    with open_workspace(tmp_path / "backup") as copy:  # as it was before
        assert copy.catalog.rows(sa.select(data.datasets)) == []


def test_the_drill_with_postgresql_and_s3(
    project: Project,
    tmp_path: Path,
    postgres_server: PostgresServer,
    postgres_database: str,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = filled(project)
    export_workspace(project.workspace, tmp_path / "out", laid_out=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    here, there = s3_server.url(), s3_server.url()
    init(tmp_path / "team", catalog=postgres_database, objects=here)
    with open_workspace(tmp_path / "team") as team:
        import_workspace(team, tmp_path / "out")
        with pytest.raises(UsageError, match="lives in PostgreSQL"):
            back_up(team, tmp_path / "backup")
        dump = tmp_path / "catalog.dump"
        url = sa.make_url(postgres_database)
        where = ["--host", str(url.query["host"]), "--username", "postgres"]
        program = postgres_server.programs / "pg_dump"
        # The catalog first, while another adds a version …
        stop = threading.Event()
        added: list[str] = []

        def write() -> None:
            with open_workspace(tmp_path / "team") as mine:
                while not stop.is_set():
                    added.append(mine.add("stream", pl.DataFrame({"x": [float(len(added))]})).reference)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            while not added:
                stop.wait(0.02)
            before = set(added)
            command = [str(program), *where, "--format", "custom", "--file", str(dump), str(url.database)]
            subprocess.run(command, check=True, timeout=60)
        finally:
            stop.set()
            writer.join()
        # … and the objects after it.
        source, copy = open_store(here, tmp_path / "cache-1"), open_store(there, tmp_path / "cache-2")
        for one in source.list():
            copy.put(source.open_path(one.digest))
        shutil.copytree(team.journal, tmp_path / "journal")
    name = postgres_server.create_database()
    try:
        command = [str(postgres_server.programs / "pg_restore"), *where, "--no-owner", "--dbname", name, str(dump)]
        subprocess.run(command, check=True, timeout=60)
        init(tmp_path / "again", catalog=postgres_server.database_url(name), objects=there)
        shutil.copytree(tmp_path / "journal", tmp_path / "again" / ".clew" / "journal", dirs_exist_ok=True)
        with open_workspace(tmp_path / "again") as again:
            assert all(one["ok"] for one in examine(again))
            assert before <= {one.reference for one in all_of(again, "stream")}
            assert [why(again, one)["prediction"]["id"] for one in asked] == asked
            assert rebuild(models.find(again, "slope@2"))["verdict"] == "identical"
            assert len(again.catalog.rows(sa.select(builds.runs.c.id))) == 2
    finally:
        postgres_server.drop_database(name)
