"""The page that describes the data model names all of it, and nothing that isn't there."""

import re
from pathlib import Path

import sqlalchemy as sa
from tests.catalog import story

from clew.catalog import SCHEMA, Catalog, Command
from clew.catalog.command import all_commands
from clew.catalog.tables import metadata, object_columns

PAGE = (Path(__file__).parents[2] / "docs" / "data-model.md").read_text()
CODE = set(re.findall(r"`([^`\n]+)`", PAGE))
COMMANDS = {cls.__name__ for cls in all_commands()}


def rows_of(section: str) -> list[list[str]]:
    """The cells of the tables in a section, without their headings."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_table_has_its_row() -> None:
    named = {name for row in rows_of("The tables") for name in re.findall(r"`(\w+)`", row[0])}
    assert named == set(metadata.tables)


def test_every_command_has_its_row_and_names_tables_that_exist() -> None:
    rows = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in rows_of("Actors and commands")[1:]}
    assert set(rows) == COMMANDS
    for command, tables in rows.items():
        assert tables, command
        assert set(tables) <= set(metadata.tables), command


def test_each_command_changes_the_tables_that_the_page_says(tmp_path: Path) -> None:
    said = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows_of("Actors and commands")[1:]}
    changed: dict[str, set[str]] = {name: set() for name in COMMANDS}
    current: list[str] = []

    def see(command: Command) -> Command:
        current.append(type(command).__name__)
        return command

    with Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}") as catalog:
        catalog.upgrade()

        @sa.event.listens_for(catalog.engine, "before_cursor_execute")
        def _statement(connection: sa.Connection, cursor: object, statement: str, *rest: object) -> None:
            found = re.match(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)", statement)
            if found:
                changed[current[-1]].add(found[1])

        story.tell(catalog, see)
    assert {name: tables - {"actors", "commands"} for name, tables in changed.items()} == said


def test_no_command_is_named_that_does_not_exist() -> None:
    verbs = "Create|Describe|Record|Set|Start|Finish|Forget|End|Register|Move|Relocate|Replace|Take|Renew"
    verbs += "|Apply|Place|Release|Import|Retire|Withdraw|Plan|Abandon|Begin|Erase"
    assert {name for name in CODE if re.fullmatch(f"(?:{verbs})[A-Z][A-Za-z]+", name)} == COMMANDS


def test_columns_that_name_objects_are_listed() -> None:
    text = PAGE.split("\n## Garbage\n")[1]
    for table, column in object_columns():
        assert f"`{table}.{column}`" in text or (table == "journal_segments" and f"`{table}`" in text)


def test_the_page_is_of_this_schema() -> None:
    assert f"migration `{SCHEMA}`" in PAGE


def test_the_page_can_be_read_in_eleven_minutes() -> None:
    words = re.findall(r"[A-Za-z][\w'-]*", PAGE)
    assert len(words) < 2970  # at 270 a minute
