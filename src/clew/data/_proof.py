"""Reading a table back from its fragments, to see what it says."""

import polars as pl

from clew.data._gather import Table
from clew.data.identity import IdentityBuilder, TableIdentity, id_of_columns


def read_back(table: Table, schema: pl.Schema) -> TableIdentity:
    """What the rows of a table say, in their order: by columns where its fragments are held, else by blocks.

    Raises DataError, or an error of polars, for fragments that hold something else than the schema says.
    """
    if table.is_held and table.height:
        return id_of_columns(schema, (table.column(name) for name in schema))
    builder = IdentityBuilder(schema)
    names = list(schema)
    for block in table.blocks():
        builder.update(block.select(names))
    return builder.finish()
