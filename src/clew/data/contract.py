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
from clew.data._findings import Finding, findings
from clew.data._infer import infer_terms
from clew.data._logical import dtype_of
from clew.data._rules import CheckResult, Example, RuleResult, check_terms
from clew.data._terms import (
    Column,
    Rule,
    Severity,
    TermsError,
    check_column,
    check_rule,
    check_table,
    duplicates,
)

__all__ = [
    "CheckResult",
    "Column",
    "Contract",
    "Example",
    "Finding",
    "Rule",
    "RuleResult",
    "Severity",
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

    `key` columns identify a row: together unique, none missing. `monotone` columns never go down from row to row.
    `extra_columns` says what a column means that the contract doesn't name.
    """

    dataset: str
    min_rows: int | None = None
    key: tuple[str, ...] = ()
    monotone: tuple[str, ...] = ()
    extra_columns: ExtraColumns = "warning"
    columns: dict[str, Column]
    rules: tuple[Rule, ...] = ()

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
        self._raise_problems()
        top = msgspec.structs.asdict(self)
        del top["columns"], top["rules"]
        defaults = {"min_rows": None, "key": (), "monotone": (), "extra_columns": "warning"}
        return _contract_text.write(
            {name: value for name, value in top.items() if name not in defaults or value != defaults[name]},
            {"columns": {name: _said(column) for name, column in self.columns.items()}},
            {"rules": [_said(rule) for rule in self.rules]},
        )

    def read_schema(self) -> dict[str, pl.DataType]:
        """The polars type of each column, for reading text sources."""
        return {name: dtype_of(column.type) for name, column in self.columns.items()}

    def validate(self) -> None:
        """Raise TermsError for terms that contradict each other."""
        if not self.dataset.strip():
            raise TermsError(("dataset",), "the dataset has no name", "name it")
        if self.min_rows is not None and self.min_rows < 0:
            raise TermsError(("min_rows",), f"{self.min_rows} is no number of rows", "write 0 or more")
        for name, column in self.columns.items():
            check_column(name, column)
        check_table(self.columns, self.key, self.monotone)
        for index, rule in enumerate(self.rules):
            check_rule(index, rule)
        for index in duplicates(self.rules):
            raise TermsError(
                ("rules", str(index + 1), "name"), f"{self.rules[index].name!r} is taken", "give it another name"
            )

    def _raise_problems(self) -> None:
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
    )


def check(contract: Contract, frame: pl.LazyFrame | pl.DataFrame) -> CheckResult:
    """Hold a table against a contract, in one scan for all rules.

    A rule that can't be evaluated counts as broken, and says why. Raises UsageError for a contract that contradicts
    itself.
    """
    contract._raise_problems()  # noqa: SLF001  contracts may be built in Python, unseen by from_toml
    return check_terms(
        frame.lazy(),
        dataset=contract.dataset,
        columns=contract.columns,
        rules=contract.rules,
        min_rows=contract.min_rows,
        key=contract.key,
        monotone=contract.monotone,
        extra_columns=contract.extra_columns,
    )


def read_schema(contract: Contract) -> dict[str, pl.DataType]:
    """The polars type of each column of a contract, for reading text sources."""
    return contract.read_schema()


def _from_raw(raw: dict[str, Any]) -> Contract:
    """Convert table by table, so that an error knows its place."""
    rest = dict(raw)
    columns, rules = rest.pop("columns", {}), rest.pop("rules", [])
    if not isinstance(columns, dict):
        raise TermsError(("columns",), "columns are tables", "write [columns.NAME] for each")
    if not isinstance(rules, list):
        raise TermsError(("rules",), "rules are a list of tables", "write [[rules]] for each")
    return msgspec.structs.replace(
        _convert({**rest, "columns": {}}, Contract, ()),
        columns={name: _convert(value, Column, ("columns", name)) for name, value in columns.items()},
        rules=tuple(_convert(value, Rule, ("rules", str(i))) for i, value in enumerate(rules, start=1)),
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
