import os
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server

from clew.catalog import SCHEMA
from clew.errors import ClewError, NoWorkspaceError, RefusedError, SchemaError, UsageError
from clew.workspace import Workspace, find_root, init, open_folder


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CLEW_WORKSPACE", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def test_init_makes_one_and_then_leaves_it_alone(tmp_path: Path) -> None:
    assert init(tmp_path / "new" / "place")
    config = tmp_path / "new" / "place" / ".clew" / "config.toml"
    before = config.stat()
    assert not init(tmp_path / "new" / "place")
    assert not init(tmp_path / "new" / "place" / ".clew")
    assert config.stat().st_mtime_ns == before.st_mtime_ns
    with open_folder(tmp_path / "new" / "place") as workspace:
        assert workspace.is_local
        assert workspace.catalog.schema() == SCHEMA
        assert {path.name for path in workspace.folder.iterdir()} >= {"journal", "locks", "objects", "catalog.sqlite"}


def test_two_that_init_at_once_make_one(tmp_path: Path) -> None:
    threads = [threading.Thread(target=init, args=(tmp_path / "w",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_folder(tmp_path / "w") as workspace:
        assert workspace.catalog.schema() == SCHEMA


def test_an_init_that_was_broken_off_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / ".clew").mkdir()
    with pytest.raises(NoWorkspaceError, match="not a finished workspace") as caught:
        open_folder(tmp_path)
    assert caught.value.mend == f"clew init {tmp_path}"
    (tmp_path / ".clew" / "config.toml.new").write_text("garbage [")
    assert init(tmp_path)
    open_folder(tmp_path).close()


def test_the_nearest_one_upwards_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init(tmp_path / "a")
    below = tmp_path / "a" / "b" / "c"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_root() == tmp_path / "a"
    init(below)
    assert find_root() == below
    monkeypatch.setenv("CLEW_WORKSPACE", str(tmp_path / "a"))
    assert find_root() == tmp_path / "a"
    assert find_root(below) == below
    assert find_root(below / ".clew") == below
    assert find_root(f"file://{below}") == below
    monkeypatch.setenv("CLEW_WORKSPACE", "")
    assert find_root() == below


def test_none_is_told_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(NoWorkspaceError, match="or above") as caught:
        find_root()
    assert "clew init" in str(caught.value.mend)
    with pytest.raises(NoWorkspaceError) as caught:
        find_root(tmp_path / "none")
    assert caught.value.mend == f"clew init {tmp_path / 'none'}"


@pytest.mark.parametrize(
    ("catalog", "objects", "says"),
    [
        ("postgresql://u@h/d", None, "needs both"),
        (None, "s3://bucket/x", "needs both"),
        ("nonsense", "s3://bucket/x", "can't be read"),
        ("postgresql://u@h:port/d", "s3://bucket/x", "can't be read"),
        ("mysql://u@h/d", "s3://bucket/x", "can't live in mysql"),
        ("sqlite:///x.sqlite", "s3://bucket/x", "can't live in sqlite"),
        ("postgresql://u:HUSH@h/d", "s3://bucket/x", "holds a password"),
        ("postgresql://u@h/d?password=HUSH", "s3://bucket/x", "holds a password"),
        ("postgresql://u@h/d?sslpassword=HUSH", "s3://bucket/x", "holds a password"),
        ("postgresql://u@h/d", "s3://KEY:HUSH@bucket/x", "holds credentials"),
        ("postgresql://u@h/d", "s3://bucket/x?secret_access_key=HUSH", "secret_access_key"),
        ("postgresql://u@h/d", "gopher://x", "no store is known"),
        ("postgresql://u@h/d", "s3:///x", "no bucket"),
    ],
)
def test_bad_urls_are_refused_before_anything_is_written(
    tmp_path: Path, catalog: str | None, objects: str | None, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        init(tmp_path / "w", catalog=catalog, objects=objects)
    assert "HUSH" not in str(caught.value)
    assert caught.value.mend
    assert not (tmp_path / "w" / ".clew").exists()


def test_a_database_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ClewError) as caught:
        init(tmp_path / "w", catalog=f"postgresql://nobody@/none?host={tmp_path}", objects=str(tmp_path / "objects"))
    assert caught.value.exit_code == 5
    assert caught.value.mend
    assert not (tmp_path / "w" / ".clew").exists()


def test_a_team_has_its_catalog_and_objects_elsewhere(
    tmp_path: Path, postgres_database: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    monkeypatch.setenv("PGPASSWORD", "a-password-that-nobody-asks-for")
    objects = s3_server.url()
    assert init(tmp_path / "one", catalog=postgres_database, objects=objects)
    assert not init(tmp_path / "one", catalog=postgres_database, objects=objects)
    assert init(tmp_path / "two", catalog=postgres_database, objects=objects)  # another machine of the team
    for other in ({"catalog": postgres_database + "&application_name=x", "objects": objects},
                  {"catalog": postgres_database, "objects": s3_server.url()}):  # fmt: skip
        with pytest.raises(RefusedError, match="another"):
            init(tmp_path / "one", **other)
    with open_folder(tmp_path / "one") as one, open_folder(tmp_path / "two") as two:
        assert not one.is_local
        digest = one.objects.put(b"seen by both").digest
        assert two.objects.get(digest) == b"seen by both"
    hidden = [s3_server.access_key_id, s3_server.secret_access_key, "a-password-that-nobody-asks-for"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files for secret in hidden if secret.encode() in path.read_bytes()]


def test_odd_letters_in_the_urls_stay(tmp_path: Path, postgres_server: PostgresServer) -> None:
    name = postgres_server.create_database()
    url = postgres_server.database_url(name) + "&application_name=it%27s%20%22quoted%22"
    odd = tmp_path / 'obj"ects\\ü'
    try:
        assert init(tmp_path / "w", catalog=url, objects=str(odd))
        assert not init(tmp_path / "w", catalog=url, objects=str(odd))
        with open_folder(tmp_path / "w") as workspace:
            workspace.objects.put(b"x")
        assert odd.is_dir()
    finally:
        postgres_server.drop_database(name)


def test_settings_that_can_not_be_read(tmp_path: Path) -> None:
    init(tmp_path)
    for body in (b"catalog = ", b"\xff"):
        (tmp_path / ".clew" / "config.toml").write_bytes(body)
        with pytest.raises(UsageError, match=r"config\.toml can't be read"):
            open_folder(tmp_path)


def test_another_schema_is_refused_until_upgrade(tmp_path: Path) -> None:
    init(tmp_path)
    with Workspace(tmp_path) as workspace:
        engine = workspace.catalog.engine
        with engine.connect().execution_options(clew_write=True) as connection, connection.begin():
            connection.execute(sa.text("update alembic_version set version_num = '0000'"))
    with pytest.raises(SchemaError) as caught:
        open_folder(tmp_path)
    assert caught.value.mend == "clew upgrade"


def test_what_killed_processes_left_behind_goes_after_a_day(tmp_path: Path) -> None:
    init(tmp_path)
    with open_folder(tmp_path) as workspace:
        old, new = (workspace.temporary() / name for name in ("old", "new"))
        for path in (old, new):
            path.write_text("x")
        os.utime(old, (1, 1))
        assert list(workspace.temporary().iterdir()) == [new]
