"""The way of a database from empty to this version's schema, and what is said where it stands elsewhere."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from clew.catalog import SCHEMA, Catalog, migrations
from clew.catalog.commands import CreateDataset
from clew.catalog.engine import connect
from clew.catalog.tables import data, metadata
from clew.errors import CatalogError, ClewError, SchemaError


def test_from_empty_to_the_newest_and_then_nothing_is_left_to_do(empty_url: str) -> None:
    with Catalog(empty_url) as catalog:
        assert catalog.schema() is None
        assert catalog.upgrade() == ["0001", "0002", "0003", "0004", "0005", SCHEMA]
        assert catalog.schema() == SCHEMA == migrations.scripts().get_current_head()
        catalog.require_schema()
        catalog.execute(CreateDataset(name="kept"))
        assert catalog.upgrade() == []
        assert [row.name for row in catalog.rows(sa.select(data.datasets))] == ["kept"]


def everything(engine: sa.Engine) -> dict[str, Any]:
    """All that the database itself says of its tables."""
    inspector = sa.inspect(engine)

    def described(items: list[Any]) -> list[str]:
        return sorted(plain(item) for item in items)

    def plain(value: Any) -> str:
        if isinstance(value, dict):
            return str(sorted((name, plain(item)) for name, item in value.items()))
        return str(value)

    return {
        table: {
            "columns": described(inspector.get_columns(table)),
            "indexes": described(inspector.get_indexes(table)),
            "foreign keys": described(inspector.get_foreign_keys(table)),
            "unique": described(inspector.get_unique_constraints(table)),
            "checks": described(inspector.get_check_constraints(table)),
            "key": described([inspector.get_pk_constraint(table)]),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_migrations_make_what_the_tables_say(fresh: Catalog) -> None:
    with fresh.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_migrations_make_the_very_same_database_as_the_tables(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Also in checks, partial indexes and names, which Alembic doesn't compare."""
    made = []
    for how in ("migrated", "created"):
        if backend == "sqlite":
            url = f"sqlite:///{tmp_path / how}.sqlite"
        else:
            server = request.getfixturevalue("postgres_server")
            url = server.database_url(server.create_database())
        engine = connect(url)
        with engine.connect().execution_options(clew_write=True) as connection:
            if how == "created":
                metadata.create_all(connection)
                connection.commit()
        if how == "migrated":
            migrations.migrate(engine)
        made.append(everything(engine))
        engine.dispose()
        if backend == "postgresql":
            server.drop_database(engine.url.database)
    assert made[0].keys() == {table.name for table in metadata.sorted_tables}
    for table in made[0]:
        assert made[0][table] == made[1][table], table
    tables = metadata.sorted_tables
    constraints = [table.constraints for table in tables] + [c.constraints for table in tables for c in table.columns]
    checks = [check for table in made[0].values() for check in table["checks"]]
    assert len(checks) == sum(isinstance(c, sa.CheckConstraint) for held in constraints for c in held)


def stand_at(catalog: Catalog, revision: str) -> None:
    with catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
        connection.execute(sa.text("update alembic_version set version_num = :r"), {"r": revision})


@pytest.mark.parametrize(
    ("revision", "says", "mend"),
    [("0000", "works with", "clew upgrade"), ("9999", "newer", "pip install --upgrade clew")],
)
def test_another_schema_is_refused_with_the_mend(fresh: Catalog, revision: str, says: str, mend: str) -> None:
    stand_at(fresh, revision)
    with pytest.raises(SchemaError, match=says) as caught:
        fresh.require_schema()
    assert caught.value.mend == mend
    with pytest.raises(SchemaError, match="know") as caught:
        fresh.upgrade()
    assert caught.value.mend == "pip install --upgrade clew"
    assert fresh.schema() == revision


def test_an_empty_database_is_refused_with_the_mend(empty_url: str) -> None:
    with Catalog(empty_url) as catalog:
        with pytest.raises(SchemaError, match="empty") as caught:
            catalog.require_schema()
        assert caught.value.mend == "clew init"
        for touch in (lambda: catalog.execute(CreateDataset(name="a")), lambda: catalog.rows(sa.select(data.datasets))):
            with pytest.raises(SchemaError) as caught:
                touch()
            assert caught.value.mend


NEXT = f"{int(SCHEMA) + 1:04}"


def next_version(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """As if the next version of clew had one more migration."""
    versions = folder / "versions"
    shutil.copytree(Path(migrations.__file__).parent / "versions", versions)
    text = "import sqlalchemy as sa\nfrom alembic import op\n"
    text += f'revision = "{NEXT}"\ndown_revision = "{SCHEMA}"\n'
    (versions / "next.py").write_text(f"{text}def upgrade():\n    {body}\n")
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    monkeypatch.setattr(migrations, "scripts", lambda: ScriptDirectory.from_config(config))


NEW_TABLE = 'op.create_table("more", sa.Column("id", sa.Integer))'


def test_the_next_migration_runs_alone_and_keeps_the_rows(
    fresh: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.execute(CreateDataset(name="kept"))
    next_version(tmp_path / "next", monkeypatch, NEW_TABLE)
    assert fresh.upgrade() == [NEXT]
    assert fresh.schema() == NEXT
    assert sa.inspect(fresh.engine).has_table("more")
    assert [row.name for row in fresh.rows(sa.select(data.datasets))] == ["kept"]


@pytest.mark.parametrize("before", [True, False], ids=["upgraded", "empty"])
def test_a_migration_that_fails_leaves_the_database_as_it_was(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    with Catalog(empty_url) as catalog:
        if before:
            catalog.upgrade()
        stood = everything(catalog.engine)
        next_version(tmp_path / "next", monkeypatch, f'{NEW_TABLE}; op.execute("select * from nothing")')
        with pytest.raises(ClewError) as caught:
            catalog.upgrade()
        assert isinstance(caught.value, CatalogError)
        assert everything(catalog.engine) == stood
        assert catalog.schema() == (SCHEMA if before else None)
