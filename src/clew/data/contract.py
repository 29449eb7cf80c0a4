"""Contracts: what a dataset must satisfy, as a TOML file that a person can read and change.

    dataset = "house-sales"
    key = ["sale_id"]
    monotone = ["sold_on"]

    [columns.price_usd]
    type = "int64"
    nullable = false
    min = 200

    [[rules]]
    name = "built before it was sold"
    expr = "year_built <= EXTRACT(YEAR FROM sold_on) + 1"
    severity = "warning"

`infer` writes a first one from data, `check` holds a table against it, `findings` tells what a person should know
of a table though it breaks no rule.
"""

import datetime as dt
from typing import Any, Final, Literal, TypeVar

import msgspec
import polars as pl

from clew.data import _contract_text
from clew.data._examined import FrameRows
from clew.data._finding import Finding
from clew.data._findings import findings
from clew.data._infer import infer_terms
from clew.data._logical import dtype_of
from clew.data._results import CheckResult, Example, RuleResult
from clew.data._rules import Held
from clew.data._table_terms import (
    Code,
    Drift,
    Fresh,
    Privacy,
    Reference,
    Slice,
    check_counts,
    check_drift,
    check_fresh,
    check_privacy,
    check_references,
    check_slices,
)
from clew.data._terms import (
    Column,
    Rule,
    Severity,
    TermsError,
    check_column,
    check_names,
    check_rule,
    duplicates,
)
from clew.data._world import Nowhere, World

__all__ = [
    "CheckResult",
    "Column",
    "Contract",
    "Drift",
    "Example",
    "Finding",
    "Fresh",
    "Privacy",
    "Reference",
    "Rule",
    "RuleResult",
    "Severity",
    "Slice",
    "check",
    "findings",
    "infer",
    "read_schema",
]

ExtraColumns = Literal["error", "warning", "ignore"]
_T = TypeVar("_T")
_TOML_TYPES: Final = (dt.date, dt.datetime, dt.time)


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a dataset must satisfy; the fields are those of the TOML file.

    `min_of_previous` and `max_of_previous` bound the rows by multiples of the previous version's. `key` columns
    identify a row: together unique, none missing. `unique` are groups of columns that are together unique where none
    of them is missing. `monotone` columns never go down from row to row. `extra_columns` says what a column means
    that the contract doesn't name. `made_from` names a foreign schema that it says the same as.
    """

    dataset: str
    made_from: str = ""
    min_rows: int | None = None
    max_rows: int | None = None
    min_of_previous: float | None = None
    max_of_previous: float | None = None
    key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    monotone: tuple[str, ...] = ()
    extra_columns: ExtraColumns = "warning"
    columns: dict[str, Column]
    references: tuple[Reference, ...] = ()
    fresh: tuple[Fresh, ...] = ()
    drift: tuple[Drift, ...] = ()
    slices: tuple[Slice, ...] = ()
    privacy: tuple[Privacy, ...] = ()
    rules: tuple[Rule, ...] = ()
    code: tuple[Code, ...] = ()

    @classmethod
    def from_toml(cls, text: str) -> "Contract":
        """Read a contract.

        Raises DataError for what isn't TOML and UsageError for unknown or contradicting terms, both with the line.
        """
        raw = _contract_text.read(text)
        try:
            contract = _from_raw(raw)
            contract.validate()
        except TermsError as error:
            raise error.usage(_contract_text.line_of(text, error.path)) from error
        return contract

    def to_toml(self) -> str:
        """The contract as TOML; `from_toml` gives the same contract back."""
        self.refuse_problems()
        said = msgspec.structs.asdict(self)
        plain = msgspec.structs.asdict(Contract(dataset="", columns={}))
        return _contract_text.write(
            {name: said[name] for name in _TOP if name == "dataset" or said[name] != plain[name]},
            {"columns": {name: _said(column) for name, column in self.columns.items()}},
            {name: [_said(one) for one in said[name]] for name in _TABLES},
        )

    def read_schema(self) -> dict[str, pl.DataType]:
        """The polars type of each column, for reading text sources."""
        return {name: dtype_of(column.type) for name, column in self.columns.items()}

    def validate(self) -> None:
        """Raise TermsError for terms that contradict each other."""
        if not self.dataset.strip():
            raise TermsError(("dataset",), "the dataset has no name", "name it")
        check_counts(self.min_rows, self.max_rows, self.min_of_previous, self.max_of_previous)
        for name, column in self.columns.items():
            check_column(name, column)
        check_names(self.columns, ("key",), self.key)
        check_names(self.columns, ("monotone",), self.monotone)
        for group in self.unique:
            if not group:
                raise TermsError(("unique",), "a group of no columns", 'write [["street", "number"]]')
            check_names(self.columns, ("unique",), group)
        check_references(self.columns, self.references)
        check_fresh(self.columns, self.fresh)
        check_drift(self.columns, self.drift)
        check_slices(self.slices)
        check_privacy(self.columns, self.privacy)
        for index, rule in enumerate(self.rules):
            check_rule(index, rule)
        for index in duplicates(self.rules):
            raise TermsError(
                ("rules", str(index + 1), "name"), f"{self.rules[index].name!r} is taken", "give it another name"
            )

    def refuse_problems(self) -> None:
        """Raise UsageError for terms that contradict each other."""
        try:
            self.validate()
        except TermsError as error:
            raise error.usage() from error


def infer(frame: pl.DataFrame | pl.LazyFrame, dataset: str) -> Contract:
    """A first contract from data, with margins for what later data may bring; a person should read it.

    Types, what is never missing, keys and order are taken as they are; bounds only catch what is wrong by an order
    of magnitude, an impossible sign or a wrong unit. Under 30 rows only types are said. A lazy frame is collected.
    Raises DataError for a type that can't be represented.
    """
    terms = infer_terms(frame)
    return Contract(
        dataset=dataset,
        min_rows=terms.min_rows,
        key=terms.key,
        monotone=terms.monotone,
        columns=terms.columns,
        rules=terms.rules,
        slices=terms.slices,
    )


def check(contract: Contract, frame: pl.LazyFrame | pl.DataFrame, world: World | None = None) -> CheckResult:
    """Hold a table against a contract, in one scan for all rules; a lazy frame is streamed, in bounded memory.

    A rule that can't be evaluated counts as broken, and says why; so does one that needs a workspace where none is
    given as the `world`. Raises UsageError for a contract that contradicts itself.
    """
    contract.refuse_problems()  # contracts may be built in Python, unseen by from_toml
    with Held(contract, FrameRows(frame), world or Nowhere()) as held:
        return held.result


def read_schema(contract: Contract) -> dict[str, pl.DataType]:
    """The polars type of each column of a contract, for reading text sources."""
    return contract.read_schema()


_TABLES: Final[dict[str, type[msgspec.Struct]]] = {
    "references": Reference,
    "fresh": Fresh,
    "drift": Drift,
    "slices": Slice,
    "privacy": Privacy,
    "rules": Rule,
    "code": Code,
}
_FIELDS: Final = Contract.__struct_fields__
_TOP: Final = [name for name in _FIELDS if name != "columns" and name not in _TABLES]


def _from_raw(raw: dict[str, Any]) -> Contract:
    """Convert table by table, so that an error knows its place."""
    rest = dict(raw)
    columns = rest.pop("columns", {})
    if not isinstance(columns, dict):
        raise TermsError(("columns",), "columns are tables", "write [columns.NAME] for each")
    lists: dict[str, Any] = {}
    for name, kind in _TABLES.items():
        items = rest.pop(name, [])
        if not isinstance(items, list):
            raise TermsError((name,), f"{name} are a list of tables", f"write [[{name}]] for each")
        lists[name] = tuple(_convert(value, kind, (name, str(i))) for i, value in enumerate(items, start=1))
    return msgspec.structs.replace(
        _convert({**rest, "columns": {}}, Contract, ()),
        columns={name: _convert(value, Column, ("columns", name)) for name, value in columns.items()},
        **lists,
    )


def _convert(value: Any, kind: type[_T], at: tuple[str, ...]) -> _T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$")
        field = where.strip("`").lstrip(".").split("[")[0]
        if not field and "`" in problem:
            field = problem.split("`")[1]  # an unknown or missing field is named in the text only
        known = ", ".join(kind.__struct_fields__)  # type: ignore[attr-defined]
        path = (*at, field) if field else at
        raise TermsError(path, problem[:1].lower() + problem[1:], f"the fields are: {known}") from error


def _said(terms: msgspec.Struct) -> dict[str, Any]:
    """What isn't a default, in the order of the fields; a type is always said."""
    built: dict[str, Any] = msgspec.to_builtins(terms, builtin_types=_TOML_TYPES)
    return built
