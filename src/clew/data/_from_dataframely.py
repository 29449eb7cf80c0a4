"""A schema of dataframely as a contract. As there, a rule whose value is unknown is kept."""

import importlib.metadata
from typing import Any

import polars as pl

from clew.data._foreign import Place
from clew.data._logical import type_name
from clew.data._table_terms import Code
from clew.data._terms import Column, Rule
from clew.data.contract import Contract
from clew.errors import UsageError


def accepted(value: Any, place: Place, dataset: str, schema: pl.Schema | None) -> Contract:
    """Each column's type, nullability, bounds and pattern as terms; all other conditions as expressions."""
    columns: dict[str, Column] = {}
    rules: list[Rule] = []
    code: list[Code] = []
    primary = tuple(value.primary_key())

    def keep(name: str, expr: pl.Expr, check: str, column: str | None) -> None:
        try:
            rules.append(Rule.of(name, expr))
        except UsageError:
            code.append(place.code("dataframely", name, check, column))

    for name, column in value.columns().items():
        dtype = column.dtype
        if schema is not None and name in schema and column.validate_dtype(schema[name]):
            dtype = schema[name]
        terms, said = _terms(column, dtype)
        columns[name] = Column(type=type_name(dtype, name), **terms)
        for rule, expr in column.validation_rules(pl.col(name)).items():
            if rule not in said:
                keep(f"{name}: {rule}", expr, f"{name}|{rule}", name)
    for rule, made in value._schema_validation_rules().items():  # noqa: SLF001  they have no public list of them
        if not (rule == "primary_key" and primary):
            keep(rule, made.expr, rule, None)
    return Contract(
        dataset=dataset,
        made_from=f"dataframely {importlib.metadata.version('dataframely')}, {place.name} in {place.file}",
        key=primary,
        extra_columns="ignore",  # dataframely drops them
        columns=columns,
        rules=tuple(rules),
        code=tuple(code),
    )


def _terms(column: Any, dtype: Any) -> tuple[dict[str, Any], set[str]]:
    """The terms of a column, and the rules of theirs that these say."""
    terms: dict[str, Any] = {}
    said: set[str] = set()
    if not column.nullable and not dtype.is_float():  # NaN is missing to a contract, and a value to them
        terms["nullable"] = False
        said.add("nullability")
    for bound in ("min", "max"):
        if getattr(column, bound, None) is not None:
            terms[bound] = getattr(column, bound)
            said.add(bound)
    if getattr(column, "regex", None) is not None:
        terms["pattern"] = column.regex
        said.add("regex")
    if getattr(column, "unique", False) and not dtype.is_float() and not column.nullable:
        terms["unique"] = True
        said.add("unique")
    return terms, said
