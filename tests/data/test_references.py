from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.catalog.commands import MoveAlias
from clew.data import Snapshot, add, find
from clew.errors import NotFoundError, UsageError
from clew.references import Reference, parse
from clew.workspace import Workspace, init, open_folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("references")
    init(root)
    with open_folder(root) as opened:
        a, b = (pl.DataFrame({"x": [value]}) for value in (1, 2))
        for day, frame in ((1, a), (10, b), (20, a)):
            found = add(opened, "t", frame, occurred_at=datetime(2026, 3, day, 12, tzinfo=UTC)).snapshot
            if day == 10:
                move(opened, found, "good")
                move(opened, found, "abcdef")  # which could be an id
        add(opened, "many", pl.DataFrame({"x": [7]}))
        add(opened, "other", pl.DataFrame({"x": [9]}))
        yield opened


def move(workspace: Workspace, found: Snapshot, alias: str) -> None:
    owner: Any = workspace.catalog.first(_dataset_id(found.dataset))
    workspace.catalog.execute(
        MoveAlias(owner_kind="dataset", owner_id=str(owner.id), alias=alias, to_id=found.id, reason="a test")
    )


def _dataset_id(name: str) -> Any:
    import sqlalchemy as sa

    from clew.catalog.tables import data

    return sa.select(data.datasets.c.id).where(data.datasets.c.name == name)


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("t", 3),
        ("t@latest", 3),
        ("t@1", 1),
        ("t@02", 2),
        ("t@good", 2),
        ("t@abcdef", 2),
        ("t@2026-03-01", 1),
        ("t@2026-03-09", 1),
        ("t@2026-03-10", 2),
        ("t@2026-12-31", 3),
    ],
)
def test_every_form_finds_its_version(filled: Workspace, reference: str, version: int) -> None:
    assert find(filled, reference).version == version


def test_an_id_finds_the_newest_version_of_that_content(filled: Workspace) -> None:
    first, second = find(filled, "t@1"), find(filled, "t@2")
    digest = first.content_id.partition(":")[2]
    for selector in (digest, digest[:6], digest[:12], first.content_id, first.content_id[:20]):
        if selector.isdigit():
            continue
        assert find(filled, f"t@{selector}").version == 3, selector
    assert find(filled, f"t@{second.content_id}").version == 2
    with pytest.raises(NotFoundError):
        find(filled, f"t@{digest[:5]}")
    with pytest.raises(NotFoundError):
        find(filled, f"t@z9:{digest[:12]}")
    with pytest.raises(NotFoundError):
        find(filled, f"other@{digest}")


def test_an_id_that_fits_several_is_refused_with_those_it_fits(filled: Workspace) -> None:
    """Two ids with the same six characters would take millions of versions: two are made to."""
    from clew.catalog.commands import RecordSnapshot

    owner: Any = filled.catalog.first(_dataset_id("other"))
    manifest = filled.objects.put(b"listing").digest
    for end in ("0", "1"):
        filled.catalog.execute(
            RecordSnapshot(
                dataset_id=str(owner.id), content_id="f1:feed" + "a" * 59 + end, kind="files", rows=None, schema=None,
                manifest=manifest, new_bytes=0, occurred_at=datetime(2026, 4, 1, tzinfo=UTC),
            )
        )  # fmt: skip
    with pytest.raises(UsageError, match=r"fits several versions: 3 \(f1:feed.*2 \(f1:feed") as caught:
        find(filled, "other@feedaaa")
    assert "more characters" in str(caught.value.mend)
    assert find(filled, "other@feed" + "a" * 59 + "0").version == 2


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("nope", "no dataset is called 'nope'; there are: many, other, t"),
        ("nope@3", "there are: many, other, t"),
        ("t@4", "t has versions 1 to 3, the first of 2026-03-01; aliases: abcdef, good"),
        ("t@0", "versions 1 to 3"),
        ("t@99999999999999999999", "versions 1 to 3"),
        ("t@2026-02-28", "the first of 2026-03-01"),
        ("t@2026-02-30", "versions 1 to 3"),
        ("t@nope", "aliases: abcdef, good"),
        ("t@LATEST", "there is no t@LATEST"),
        ("t@20260310", "versions 1 to 3"),  # a version, or an id, never a day
        ("t@2026-W11-2", "versions 1 to 3"),
        ("t@²", "versions 1 to 3"),
        ("t@٣", "versions 1 to 3"),
        ("t@-1", "versions 1 to 3"),
        ("t@1.0", "versions 1 to 3"),
        ("t@%", "versions 1 to 3"),
        ("t@______", "versions 1 to 3"),
        ("T@1", "there are"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(filled: Workspace, reference: str, says: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        find(filled, reference)
    assert says in caught.value.message
    assert caught.value.mend == "clew data list"


def test_nothing_is_there_yet(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="there is no dataset yet"):
        find(workspace, "t@1")
    from clew.data.policies import declare

    declare(workspace, "t", "a", "allow", "later")
    with pytest.raises(NotFoundError, match="t has no version yet"):
        find(workspace, "t@latest")


@pytest.mark.parametrize("text", ["", "@3", "t@", "t@@3", "a@b@c", "@", "\udcff", "t@a\0b"])
def test_bad_forms(filled: Workspace, text: str) -> None:
    with pytest.raises(UsageError, match="is no reference") as caught:
        find(filled, text)
    assert "name@3" in str(caught.value.mend)


@given(st.text(max_size=20))
def test_any_text_is_a_reference_or_a_refusal(text: str) -> None:
    try:
        found = parse(text)
    except UsageError:
        return
    assert found == Reference(found.name, found.selector)
    assert str(found) == (text if "@" in text else f"{text}@latest")


@given(st.text(min_size=1, max_size=12))
def test_any_selector_is_found_or_refused_with_a_mend(filled: Workspace, selector: str) -> None:
    try:
        version = find(filled, f"t@{selector}").version
    except (NotFoundError, UsageError) as error:
        version = 0
        mend = error.mend
    assert version in (1, 2, 3) or mend


def test_many_names_are_cut_short(workspace: Workspace) -> None:
    for number in range(12):
        add(workspace, f"d{number:02}", pl.DataFrame({"x": [number]}))
    with pytest.raises(NotFoundError, match=r"d00, .*d09, …"):
        find(workspace, "nope")


def test_a_name_that_comes_from_a_path_is_no_surprise(workspace: Workspace, tmp_path: Path) -> None:
    for name in ("../x", "a/b", "a b", "-a", "ü", "a@b", "x" * 101):
        with pytest.raises(UsageError):
            add(workspace, name, pl.DataFrame({"x": [1]}))
    assert not list(tmp_path.rglob("x*"))
