"""Rows that a contract keeps out of a delivery, and what becomes of them."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from clew.data import Contract, add, find, quarantine
from clew.data._gc import collect
from clew.data.contract import Column, Fresh, Reference, Rule
from clew.data.policies import declare
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.workspace import Workspace

N = 1_000
GOOD = pl.DataFrame({"id": range(N), "size": [float(n % 7 + 1) for n in range(N)], "who": [f"p{n}" for n in range(N)]})
COLUMNS = {
    "id": Column(type="int64", nullable=False),
    "size": Column(type="float64", min=0.5),
    "who": Column(type="string"),
}
RULES = (Rule(name="small", expr="size < 100"), Rule(name="odd", expr="id <> 5", severity="warning"))
CONTRACT = Contract(dataset="t", columns=COLUMNS, key=("id",), rules=RULES, min_rows=10)


def bad() -> pl.DataFrame:
    """Row 4 is too small, row 8 and 9 have one id, row 10 is too large and its id is missing."""
    return GOOD.with_columns(
        size=pl.when(pl.col("id") == 3).then(0.0).when(pl.col("id") == 9).then(500.0).otherwise("size"),
        id=pl.when(pl.col("id") == 8).then(7).when(pl.col("id") == 9).then(None).otherwise("id"),
    )


BROKE = {
    4: ["size: min 0.5"],
    8: ["key id is unique"],
    9: ["key id is unique"],
    10: ["id: not null", "key id is never missing", "small"],
}


def kept(workspace: Workspace, name: str = "t") -> dict[int, list[str]]:
    frame = quarantine.scan(workspace, quarantine.find(workspace, name)).collect()
    return {row: sorted(rules) for row, rules in frame.select("clew_row", "clew_rules").iter_rows()}


@pytest.mark.parametrize("form", ["frame", "file"])
def test_a_refused_delivery_leaves_its_failing_rows_to_look_at(workspace: Workspace, tmp_path: Path, form: str) -> None:
    path = tmp_path / "t.parquet"
    bad().write_parquet(path)
    with pytest.raises(RefusedError) as caught:
        add(workspace, "t", path if form == "file" else bad(), contract=CONTRACT)
    assert "4 failing rows are in quarantine" in caught.value.message
    assert "clew contract quarantine show" in str(caught.value.mend)
    with pytest.raises(NotFoundError):
        find(workspace, "t")
    (one,) = quarantine.quarantines(workspace, "t")
    assert one.id in caught.value.message
    assert kept(workspace) == BROKE
    assert quarantine.scan(workspace, one).collect()["who"].to_list() == ["p3", "p7", "p8", "p9"]
    assert {rule["rule"]: rule["failing_rows"] for rule in one.rules()} == {
        "key id is unique": 2, "min 0.5": 1, "not null": 1, "key id is never missing": 1, "small": 1, "odd": 1,
    }  # fmt: skip
    assert one.results["rows"] == N
    assert one.rows == 4


def test_the_others_are_stored_when_that_is_asked_for(workspace: Workspace, tmp_path: Path) -> None:
    add(workspace, "t", GOOD, contract=CONTRACT)
    path = tmp_path / "t.parquet"
    bad().write_parquet(path)
    added = add(workspace, "t", path, quarantine=True)
    assert (added.set_apart, added.changed, added.snapshot.version) == (4, True, 2)
    stored = added.snapshot.collect()
    assert stored.equals(bad().filter(~pl.col("who").is_in(["p3", "p7", "p8", "p9"])))
    assert kept(workspace) == BROKE
    with pytest.raises(RefusedError):
        add(workspace, "t", path)  # the same file, unchanged: still it doesn't come in as it is
    again = add(workspace, "t", path, quarantine=True)
    assert (again.changed, again.set_apart, again.snapshot.version) == (False, 4, 2)
    assert len(quarantine.quarantines(workspace)) == 1
    assert not list(workspace.temporary().iterdir())


def test_what_no_row_is_guilty_of_is_refused_all_the_same(workspace: Workspace) -> None:
    old = GOOD.with_columns(at=pl.lit(dt.date(2020, 1, 1)))
    columns = COLUMNS | {"at": Column(type="date")}
    cases: tuple[dict[str, Any], ...] = (
        {"min_rows": N + 1},
        {"fresh": (Fresh(column="at", within="2d"),)},
        {"rules": (Rule(name="mean", expr="AVG(size) > 100"), *RULES)},
        {"references": (Reference(columns=("who",), of="nowhere@latest"),)},
        {"min_rows": N},  # what is left is too little
    )
    for more in cases:
        terms: dict[str, Any] = {"columns": columns, "rules": RULES} | more
        contract = Contract(dataset="t", **terms)
        delivery = bad().with_columns(at=pl.lit(dt.date(2020, 1, 1))) if more == {"min_rows": N} else old
        with pytest.raises(RefusedError):
            add(workspace, "t", delivery, contract=contract, quarantine=True)
    strict = Contract(dataset="t", columns=COLUMNS | {"size": Column(type="float64", min=1e9)})
    with pytest.raises(RefusedError, match="no row is left"):
        add(workspace, "t", GOOD, contract=strict, quarantine=True)
    with pytest.raises(NotFoundError):
        find(workspace, "t")


def test_a_policy_holds_for_what_is_kept_out(workspace: Workspace) -> None:
    people = bad().with_columns(email=pl.format("{}@example.com", "who"), card=pl.lit("4111111111111111"))
    columns = COLUMNS | {"email": Column(type="string")}
    contract = Contract(dataset="t", columns=columns, key=("id",), rules=RULES, extra_columns="ignore")
    before = {one.digest for one in workspace.objects.list()}
    with pytest.raises(RefusedError, match="personal data"):
        add(workspace, "t", people, contract=contract)
    assert {one.digest for one in workspace.objects.list()} == before, "what privacy blocks is kept nowhere"
    declare(workspace, "t", "card", "drop", "not needed")
    declare(workspace, "t", "email", "pseudonym", "to count people")
    with pytest.raises(RefusedError, match="in quarantine"):
        add(workspace, "t", people, contract=contract)
    frame = quarantine.scan(workspace, quarantine.find(workspace, "t")).collect()
    assert frame.height == 4
    assert "card" not in frame.columns
    assert frame["email"].str.contains("^[0-9a-f]{64}$").all()
    text = b"@example.com"
    assert all(text not in workspace.objects.get(one.digest) for one in workspace.objects.list())


def test_exported_and_let_go(workspace: Workspace, tmp_path: Path) -> None:
    add(workspace, "t", bad(), contract=CONTRACT, quarantine=True)
    one = quarantine.find(workspace, quarantine.quarantines(workspace)[0].id[-8:])
    assert quarantine.export(workspace, one, tmp_path / "f.csv") == 4
    table = pl.read_csv(tmp_path / "f.csv")
    assert table["clew_rules"][3].split("; ") == ["id: not null", "key id is never missing", "small"]
    quarantine.export(workspace, one, tmp_path / "f.parquet")
    assert pl.read_parquet(tmp_path / "f.parquet").height == 4
    with pytest.raises(RefusedError, match="is there already"):
        quarantine.export(workspace, one, tmp_path / "f.csv")
    with pytest.raises(UsageError, match="neither"):
        quarantine.export(workspace, one, tmp_path / "f.xlsx")
    collect(workspace, grace=dt.timedelta(0))
    assert quarantine.scan(workspace, one).collect().height == 4
    assert quarantine.forget(workspace, one)
    gone = quarantine.find(workspace, one.id)
    assert (gone.state, gone.rows, len(gone.rules())) == ("expired", 4, 6)
    collect(workspace, grace=dt.timedelta(0))
    assert one.digest not in {found.digest for found in workspace.objects.list()}
    with pytest.raises(NotFoundError, match="let go"):
        quarantine.scan(workspace, gone)
    with pytest.raises(NotFoundError, match="quarantine"):
        quarantine.find(workspace, "nothing")


def test_columns_of_the_same_names_stay(workspace: Workspace) -> None:
    frame = GOOD.head(20).with_columns(clew_row=pl.lit(1), clew_rules=pl.lit("x"))
    contract = Contract(dataset="t", columns={"id": Column(type="int64", max=18)}, extra_columns="ignore")
    add(workspace, "t", frame, contract=contract, quarantine=True)
    found = quarantine.scan(workspace, quarantine.find(workspace, "t")).collect()
    assert found.select("_clew_row", "clew_row", "clew_rules").row(0) == (20, 1, "x")
    assert found["_clew_rules"].to_list() == [["id: max 18"]]


def test_a_rule_about_a_dataset_whose_bytes_are_lost_is_broken_and_says_so(workspace: Workspace) -> None:
    others = add(workspace, "others", pl.DataFrame({"id": range(40)})).snapshot
    for fragment in others.groups()[0].rope.fragments:
        workspace.objects.delete(fragment.digest)
    contract = Contract(dataset="t", columns=COLUMNS, references=(Reference(columns=("id",), of="others@latest"),))
    with pytest.raises(RefusedError, match="id in others@latest: can't be evaluated"):
        add(workspace, "t", GOOD, contract=contract)
