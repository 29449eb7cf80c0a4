"""Migrations of the catalog, run by Alembic; `clew init` and `clew upgrade` alone call them."""

from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from clew.catalog.tables import partial
from clew.errors import SchemaError

__all__ = ["migrate", "partial", "scripts"]  # partial indexes belong to the schema that is migrated to

_LOCK = 0x636C6577  # "clew": one migration at a time on PostgreSQL


def scripts() -> ScriptDirectory:
    """All migrations that this version of clew has."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def migrate(engine: sa.Engine) -> list[str]:
    """Run what is missing, in one transaction; give the revisions that were run.

    Raises SchemaError when the database stands at a revision that this version of clew doesn't know.
    """
    directory = scripts()
    with engine.connect().execution_options(clew_write=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({_LOCK})")
        context = MigrationContext.configure(connection, opts={"transactional_ddl": False})
        current = context.get_current_revision()
        pending = [s for s in directory.walk_revisions("base", "heads") if s.revision]
        pending.reverse()
        names = [s.revision for s in pending]
        if current is not None and current not in names:
            raise SchemaError(
                f"the catalog has schema {current}, which this clew doesn't know", mend="pip install --upgrade clew"
            )
        todo = pending[names.index(current) + 1 if current else 0 :]
        context._ensure_version_table()  # noqa: SLF001 - Alembic's own commands run an env.py that we don't need
        for script in todo:
            with Operations.context(context):
                script.module.upgrade()
            statement = (
                f"update alembic_version set version_num = '{script.revision}'"  # noqa: S608 - our own revision
                if connection.exec_driver_sql("select count(*) from alembic_version").scalar()
                else f"insert into alembic_version values ('{script.revision}')"  # noqa: S608
            )
            connection.exec_driver_sql(statement)
    return [s.revision for s in todo]
