"""What runs in each peer's environment: the rules on one table, its cost to stdout as JSON.

    python -I speed_program.py clew|pandera|dataframely|great-expectations FOLDER RULES.json plain|check

`plain` reads the columns and nothing else, as that peer reads a table.
"""

import datetime as dt
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Rules = list[list[Any]]


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def bounds(rule: list[Any]) -> tuple[Any, Any]:
    """What a range is between, in the type of its column."""
    _, name, low, high = rule
    if name == "at":
        return moment(low), moment(high)
    return (moment(low).date(), moment(high).date()) if name == "day" else (low, high)


def clew(folder: Path, rules: Rules) -> Callable[[], int]:  # noqa: C901 - a branch a kind of rule
    """The rules broken, by clew's own check of a lazy frame."""
    import polars as pl

    from clew.data import contract as made
    from clew.data._logical import type_name
    from clew.data._world import Nowhere

    frame = pl.scan_parquet(folder / "*.parquet")
    columns: dict[str, dict[str, Any]] = {
        name: {"type": type_name(dtype)} for name, dtype in frame.collect_schema().items()
    }
    terms: dict[str, Any] = {"unique": [], "monotone": [], "references": [], "fresh": [], "rules": []}
    for rule in rules:
        kind, name = rule[0], rule[1]
        if kind == "not null":
            columns[name]["nullable"] = False
        elif kind == "between":
            columns[name]["min"], columns[name]["max"] = bounds(rule)
        elif kind == "in":
            columns[name]["allowed"] = tuple(rule[2])
        elif kind == "pattern":
            columns[name]["pattern"] = rule[2]
        elif kind == "unique":
            terms["unique"].append(tuple(name))
        elif kind == "among":
            terms["references"].append(made.Reference(columns=(name,), of=rule[2]))
        elif kind == "increasing":
            terms["monotone"].append(name)
        elif kind == "rows":
            terms["min_rows"], terms["max_rows"] = rule[1], rule[2]
        elif kind == "newest":
            days = (dt.datetime.now() - moment(rule[2])).days  # noqa: DTZ005
            terms["fresh"].append(made.Fresh(column=name, within=f"{days}d"))
        else:
            sql = {
                "not above": "{1} <= {2}", "length": "LENGTH({1}) BETWEEN {2} AND {3}",
                "mean": "AVG({1}) BETWEEN {2} AND {3}",
            }[kind].format(*rule)  # fmt: skip
            terms["rules"].append(made.Rule(name=sql, expr=sql))
    contract = made.Contract(
        dataset="bench",
        columns={name: made.Column(**said) for name, said in columns.items()},
        **{name: tuple(said) if isinstance(said, list) else said for name, said in terms.items()},
    )

    class World(Nowhere):
        def columns(self, reference: str, names: Sequence[str]) -> tuple[str, pl.LazyFrame]:
            return reference, pl.scan_parquet(folder.parent / reference).select(names)

    return lambda: len(made.check(contract, frame, World()).failures)


def pandera(folder: Path, rules: Rules) -> Callable[[], int]:  # noqa: C901, PLR0912 - a branch a kind of rule
    """The checks broken, all of them asked (`lazy=True`)."""
    import pandera.polars as pa
    import polars as pl

    frame = pl.scan_parquet(folder / "*.parquet")
    ids = pl.read_parquet(folder.parent / "ids.parquet")["n2"]
    needed = {rule[1] for rule in rules if rule[0] == "not null"}
    checks: dict[str, list[Any]] = {name: [] for name in frame.collect_schema()}
    whole: list[Any] = []
    unique: list[list[str]] = []

    def table(make: Callable[[], Any], name: str) -> None:
        whole.append(pa.Check(lambda data: data.lazyframe.select(make()), name=name))

    for rule in rules:
        kind, name = rule[0], rule[1]
        if kind == "between":
            checks[name].append(pa.Check.in_range(*bounds(rule)))
        elif kind == "in":
            checks[name].append(pa.Check.isin(rule[2]))
        elif kind == "pattern":
            checks[name].append(pa.Check.str_matches(rule[2]))
        elif kind == "length":
            checks[name].append(pa.Check.str_length(rule[2], rule[3]))
        elif kind == "unique":
            unique.append(name)
        elif kind == "among":
            checks[name].append(pa.Check(lambda d: d.lazyframe.select(pl.col(d.key).is_in(ids.implode()))))
        elif kind == "not above":
            table(lambda rule=rule: pl.col(rule[1]) <= pl.col(rule[2]), "not above")
        elif kind == "increasing":
            table(lambda name=name: (pl.col(name) >= pl.col(name).shift(1)).fill_null(True), kind)  # noqa: FBT003
        elif kind == "rows":
            table(lambda rule=rule: pl.len().is_between(rule[1], rule[2]), kind)
        elif kind == "newest":
            table(lambda rule=rule: pl.col(rule[1]).max() >= moment(rule[2]), kind)
        elif kind == "mean":
            table(lambda rule=rule: pl.col(rule[1]).mean().is_between(rule[2], rule[3]), kind)
    for group in unique[1:]:
        table(lambda group=group: pl.struct(group).is_unique(), "unique")
    schema = pa.DataFrameSchema(
        {
            name: pa.Column(dtype, checks[name], nullable=name not in needed, unique=[name] in unique)
            for name, dtype in frame.collect_schema().items()
        },
        checks=whole,
    )

    def run() -> int:
        try:
            schema.validate(frame.collect(), lazy=True)
        except pa.errors.SchemaErrors as error:
            return len({(one.get("column"), one.get("check")) for one in error.failure_cases.to_dicts()})
        return 0

    return run


def dataframely(folder: Path, rules: Rules) -> Callable[[], int]:
    """The rules broken, by `filter`, which asks all of them."""
    import dataframely as dy
    import polars as pl

    frame = pl.scan_parquet(folder / "*.parquet")
    ids = pl.read_parquet(folder.parent / "ids.parquet")["n2"]
    said: dict[str, dict[str, Any]] = {name: {"nullable": True} for name in frame.collect_schema()}
    body: dict[str, Any] = {}
    for number, rule in enumerate(rules):
        kind, name = rule[0], rule[1]
        if kind == "not null":
            said[name]["nullable"] = False
        elif kind == "between":
            said[name]["min"], said[name]["max"] = bounds(rule)
        elif kind == "in" and name == "s1":
            said[name]["is_in"] = rule[2]
        elif kind == "pattern":
            said[name]["regex"] = rule[2]
        elif kind == "unique" and len(name) == 1:
            said[name[0]]["unique"] = True
        else:
            expr = {
                "in": lambda rule: pl.col(rule[1]).is_in(rule[2]),
                "unique": lambda rule: pl.struct(rule[1]).is_unique(),
                "among": lambda rule: pl.col(rule[1]).is_in(ids.implode()),
                "not above": lambda rule: pl.col(rule[1]) <= pl.col(rule[2]),
                "increasing": lambda rule: pl.col(rule[1]) >= pl.col(rule[1]).shift(1),
                "rows": lambda rule: pl.len().is_between(rule[1], rule[2]),
                "newest": lambda rule: pl.col(rule[1]).max() >= moment(rule[2]),
                "length": lambda rule: pl.col(rule[1]).str.len_chars().is_between(rule[2], rule[3]),
                "mean": lambda rule: pl.col(rule[1]).mean().is_between(rule[2], rule[3]),
            }[kind](rule)
            body[f"rule_{number}"] = dy.rule()(lambda cls, expr=expr: expr)  # noqa: ARG005
    kinds: dict[Any, Any] = {
        pl.Int64: dy.Int64, pl.Int16: dy.Int16, pl.Int8: dy.Int8, pl.Float64: dy.Float64, pl.Float32: dy.Float32,
        pl.Boolean: dy.Bool, pl.Date: dy.Date, pl.String: dy.String,
    }  # fmt: skip
    for name, dtype in frame.collect_schema().items():
        body[name] = dy.Datetime(**said[name]) if isinstance(dtype, pl.Datetime) else kinds[dtype](**said[name])
    schema = type("Bench", (dy.Schema,), body)

    def run() -> int:
        _, failure = schema.filter(frame.collect())
        return len(failure.counts())

    return run


def great_expectations(folder: Path, rules: Rules) -> Callable[[], int]:
    """The expectations broken, over a pandas frame, which is what it reads files into."""
    import great_expectations as gx
    import pandas as pd

    e = gx.expectations
    ids = pd.read_parquet(folder.parent / "ids.parquet")["n2"].tolist()
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("a")
    batch = asset.add_batch_definition_whole_dataframe("b")
    suite = context.suites.add(gx.ExpectationSuite("s"))
    made: dict[str, Callable[[list[Any]], Any]] = {
        "not null": lambda r: e.ExpectColumnValuesToNotBeNull(column=r[1]),
        "between": lambda r: e.ExpectColumnValuesToBeBetween(
            column=r[1], min_value=bounds(r)[0], max_value=bounds(r)[1]
        ),
        "in": lambda r: e.ExpectColumnValuesToBeInSet(column=r[1], value_set=r[2]),
        "pattern": lambda r: e.ExpectColumnValuesToMatchRegex(column=r[1], regex=r[2]),
        "among": lambda r: e.ExpectColumnValuesToBeInSet(column=r[1], value_set=ids),
        "not above": lambda r: e.ExpectColumnPairValuesAToBeGreaterThanB(column_A=r[2], column_B=r[1], or_equal=True),
        "increasing": lambda r: e.ExpectColumnValuesToBeIncreasing(column=r[1]),
        "rows": lambda r: e.ExpectTableRowCountToBeBetween(min_value=r[1], max_value=r[2]),
        "newest": lambda r: e.ExpectColumnMaxToBeBetween(column=r[1], min_value=moment(r[2])),
        "length": lambda r: e.ExpectColumnValueLengthsToBeBetween(column=r[1], min_value=r[2], max_value=r[3]),
        "mean": lambda r: e.ExpectColumnMeanToBeBetween(column=r[1], min_value=r[2], max_value=r[3]),
    }
    for rule in rules:
        if rule[0] == "unique" and len(rule[1]) == 1:
            suite.add_expectation(e.ExpectColumnValuesToBeUnique(column=rule[1][0]))
        elif rule[0] == "unique":
            suite.add_expectation(e.ExpectCompoundColumnsToBeUnique(column_list=rule[1]))
        else:
            suite.add_expectation(made[rule[0]](rule))

    def run() -> int:
        frame = pd.read_parquet(folder)
        result = batch.get_batch({"dataframe": frame}).validate(suite, result_format="BASIC")
        errors = [one for one in result.results if one.exception_info.get("raised_exception")]
        assert not errors, errors[0].exception_info
        return sum(not one.success for one in result.results)

    return run


def plain(peer: str, folder: Path) -> Callable[[], int]:
    """One plain scan of all columns, which the rules use."""
    if peer == "great-expectations":
        import pandas as pd

        return lambda: len(pd.read_parquet(folder))
    import polars as pl

    if peer == "clew":
        return lambda: sum(
            part.height for part in pl.scan_parquet(folder / "*.parquet").collect_batches(engine="streaming")
        )
    return lambda: pl.scan_parquet(folder / "*.parquet").collect().height


def main() -> None:
    peer, folder, rules, what = sys.argv[1:]
    peers = {
        "clew": clew, "pandera": pandera, "dataframely": dataframely, "great-expectations": great_expectations,
    }  # fmt: skip
    said = json.loads(Path(rules).read_text())
    act = plain(peer, Path(folder)) if what == "plain" else peers[peer](Path(folder), said)
    act()  # what is loaded once, and the files in the system's memory
    costs = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        found = act()
        costs.append((time.perf_counter() - wall, time.process_time() - cpu))
    costs.sort(key=lambda one: one[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"wall": costs[1][0], "cpu": costs[1][1], "found": found, "peak": peak}), flush=True)


if __name__ == "__main__":
    main()
