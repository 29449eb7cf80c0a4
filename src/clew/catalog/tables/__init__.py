"""The catalog's tables, by what they are about; `docs/data-model.md` walks through them."""

from clew.catalog.tables import builds, data, governance, models, serving
from clew.catalog.tables._metadata import metadata

__all__ = ["builds", "data", "governance", "metadata", "models", "object_columns", "serving"]


def object_columns() -> list[tuple[str, str]]:
    """All (table, column) that name objects: together they say what is not garbage."""
    return [(t.name, c.name) for t in metadata.sorted_tables for c in t.columns if c.info.get("object")]
