"""Input examples of any kind: read as a table, and what has to be done so that an estimator sees its own kind again."""

from typing import Any, Literal

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from clew.errors import UsageError

Container = Literal["polars", "pandas", "numpy", "arrow"]


class Shape(msgspec.Struct, frozen=True, omit_defaults=True):
    """The kind of table that an estimator was shown.

    Attributes:
        container: what it was.
        types: its columns' types by name, where requests don't say them: of numpy one, under "".
        categories: the categories of a pandas column, by name.
    """

    container: Container = "polars"
    types: dict[str, str] = {}
    categories: dict[str, list[str]] = {}

    def give(self, rows: pl.DataFrame) -> Any:
        """Rows as this kind of table, n rows."""
        match self.container:
            case "polars":
                return rows
            case "numpy":
                return rows.to_numpy().astype(self.types[""], copy=False)
            case "arrow":
                table = rows.to_arrow()
                schema = pa.schema([(name, _arrow_type(kind)) for name, kind in self.types.items()])
                return table.cast(schema)
            case "pandas":
                return self._pandas(rows)

    def _pandas(self, rows: pl.DataFrame) -> Any:
        import pandas as pd

        frame = rows.to_pandas()
        for name, kind in self.types.items():
            if name in self.categories:
                frame[name] = pd.Categorical(frame[name], categories=self.categories[name], ordered=kind == "ordered")
            elif str(frame[name].dtype) != kind:
                frame[name] = frame[name].astype(kind)
        return frame


def read_example(example: Any) -> tuple[pl.DataFrame, Shape]:
    """A table of an example, with at least one row, and its shape.

    Takes polars, pandas, Arrow tables and record batches, and numpy arrays of n × inputs, whose columns are called x0,
    x1, …. Raises UsageError for others, and for what would lose something on the way.
    """
    if isinstance(example, pl.LazyFrame):
        example = example.collect()
    if isinstance(example, pl.DataFrame):
        found, shape = example, Shape()
    elif isinstance(example, pa.RecordBatch | pa.Table):
        table = pa.Table.from_batches([example]) if isinstance(example, pa.RecordBatch) else example
        found = pl.DataFrame(pl.from_arrow(table))
        shape = Shape("arrow", {field.name: str(field.type) for field in table.schema})
    elif isinstance(example, np.ndarray):
        found, shape = _from_numpy(example)
    elif type(example).__module__.split(".")[0] == "pandas" and type(example).__name__ == "DataFrame":
        found, shape = _from_pandas(example)
    else:
        raise UsageError(
            f"a {type(example).__name__} is no example of rows",
            mend="give some rows of the training data: a table of polars, pandas or Arrow, or an array n × inputs",
        )
    if not found.height or not found.width:
        raise UsageError("the example must be a table with rows", mend="give some rows of the training data")
    return found, shape


def _from_numpy(array: np.ndarray) -> tuple[pl.DataFrame, Shape]:
    if array.ndim != 2:
        raise UsageError(
            f"an example of shape {array.shape} is no table",
            mend="give an array n × inputs; a function `before` can shape each row as the estimator wants it",
        )
    if array.dtype.kind not in "iufb":
        raise UsageError(
            f"an example array of {array.dtype} has no types for its columns", mend="give a table of polars or pandas"
        )
    names = [f"x{at}" for at in range(array.shape[1])]
    found = pl.DataFrame({name: array[:, at] for at, name in enumerate(names)})
    return found, Shape("numpy", {"": array.dtype.str})


def _from_pandas(frame: Any) -> tuple[pl.DataFrame, Shape]:
    if not all(isinstance(name, str) for name in frame.columns):
        raise UsageError(
            "the example's columns have names that are no text, and requests name their fields",
            mend="table.columns = [str(name) for name in table.columns], before training",
        )
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise UsageError(
            f"the example has two columns of the name {', '.join(twice)}", mend="give each column a name of its own"
        )
    if frame.index.nlevels > 1 or frame.index.name is not None:
        raise UsageError(
            f"the index {list(frame.index.names)} of a pandas table would be lost",
            mend="give table.reset_index(), so that it is a column, or reset_index(drop=True)",
        )
    types, categories = {}, {}
    for name in frame.columns:
        dtype = frame[name].dtype
        types[name] = str(dtype)
        if types[name] == "category":
            categories[name] = [str(one) for one in dtype.categories]
            types[name] = "ordered" if dtype.ordered else "category"
            if not all(isinstance(one, str) for one in dtype.categories):
                raise UsageError(
                    f"the categories of {name!r} are no text, and requests carry them as text",
                    mend=f"table[{name!r}] = table[{name!r}].cat.rename_categories(str), before training",
                )
    try:
        found = pl.from_pandas(frame.head(1000))
    except (pl.exceptions.PolarsError, pa.ArrowException, TypeError, ValueError) as error:
        raise UsageError(
            f"the example can't be read as a table: {str(error).splitlines()[0]}", mend="give columns of one type each"
        ) from error
    return found, Shape("pandas", types, categories)


def _arrow_type(name: str) -> pa.DataType:
    if name.startswith("dictionary"):
        return pa.dictionary(pa.int32(), pa.string())
    try:
        return pa.type_for_alias(name)
    except ValueError:
        return {"date32[day]": pa.date32()}.get(name, pa.string())
