"""Databases that are gone, damaged or not what the URL says; each error tells what was tried, and the mend."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.catalog import things
from tests.catalog.things import count

from clew.catalog import Catalog, Command, Transaction
from clew.catalog.commands import CreateDataset
from clew.catalog.tables import data
from clew.errors import CatalogError, NotFoundError, UsageError


def garbage(folder: Path) -> str:
    (folder / "catalog.sqlite").write_bytes(b"this is not a database at all, " * 300)
    return f"sqlite:///{folder / 'catalog.sqlite'}"


def folder_in_its_place(folder: Path) -> str:
    (folder / "catalog.sqlite").mkdir()
    return f"sqlite:///{folder / 'catalog.sqlite'}"


def nobody_listens(folder: Path) -> str:
    return f"postgresql://nobody@/nothing?host={folder}"


@pytest.mark.parametrize("make", [garbage, folder_in_its_place, nobody_listens])
def test_a_database_that_can_not_be_opened(make: Callable[[Path], str], tmp_path: Path) -> None:
    with Catalog(make(tmp_path)) as catalog:
        for touch in (
            catalog.require_schema,
            catalog.upgrade,
            lambda: catalog.rows(sa.select(data.datasets)),
            lambda: catalog.execute(CreateDataset(name="a")),
        ):
            with pytest.raises(CatalogError) as caught:
                touch()
            assert caught.value.mend
            assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "url", ["", "catalog.sqlite", "mysql://localhost/clew", "sqlite:////dev/null/a/catalog.sqlite"]
)
def test_a_url_that_names_no_catalog(url: str) -> None:
    with pytest.raises(CatalogError) as caught:
        Catalog(url)
    assert caught.value.mend


def test_a_damaged_page_is_no_empty_answer(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with Catalog(f"sqlite:///{path}") as catalog:
        catalog.upgrade()
        for n in range(50):
            catalog.execute(CreateDataset(name=f"sales-{n}"))
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = b"\xa5" * (len(content) - 4096 * 2)
    path.write_bytes(content)
    with Catalog(f"sqlite:///{path}") as catalog, pytest.raises(CatalogError) as caught:
        catalog.rows(sa.select(data.datasets))
    assert "malformed" in caught.value.message
    assert "backup" in (caught.value.mend or "")


def test_a_read_can_not_write(catalog: Catalog) -> None:
    name = things.name("sales")
    values = {"id": things.NOWHERE, "name": name, "key_columns": [], "recorded_at": things.WHEN}
    with pytest.raises(CatalogError, match="read"), catalog.read() as view:
        view.execute(data.datasets.insert().values(**values))
    assert count(catalog, data.datasets, name=name) == 0
    catalog.execute(CreateDataset(name=name))  # the same connection may write again


def test_a_row_that_is_not_there(catalog: Catalog) -> None:
    for key in (things.NOWHERE, "", "3", "x" * 36, things.NOWHERE.replace("-", "")):
        with pytest.raises(NotFoundError, match="datasets"):
            catalog.get(data.datasets, key)


class LosesItsConnection(Command, frozen=True, kw_only=True):
    name: str

    def apply(self, tx: Transaction) -> None:
        tx.insert(data.datasets, name=self.name, key_columns=[])
        tx.connection.execute(sa.text("select pg_terminate_backend(pg_backend_pid())"))


def test_a_connection_that_breaks_says_that_the_outcome_is_open(postgres_database: str) -> None:
    with Catalog(postgres_database) as catalog:
        catalog.upgrade()
        with pytest.raises(CatalogError, match="broke") as caught:
            catalog.execute(LosesItsConnection(name="lost"))
        assert "look whether" in (caught.value.mend or "")
        assert count(catalog, data.datasets, name="lost") == 0
        catalog.execute(CreateDataset(name="next"))


class Writes(Command, frozen=True, kw_only=True):
    values: dict[str, object]

    def apply(self, tx: Transaction) -> None:
        tx.insert(data.datasets, **self.values)


@pytest.mark.parametrize("values", [{"key_columns": []}, {"name": None, "key_columns": []}, {"id": None, "name": "a"}])
def test_a_row_that_its_table_does_not_allow(catalog: Catalog, values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="contradict") as caught:
        catalog.execute(Writes(values=values))
    assert caught.value.mend
