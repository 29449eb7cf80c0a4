"""A whole workspace in open formats, and back: `export_workspace` and `import_workspace`.

    manifest.json                       format, schema, counts, and the SHA-256 of every other file
    catalog/TABLE.jsonl                 the catalog's rows, as JSON lines; moments in microseconds since 1970
    objects/DIGEST                      every object that the catalog names, by its SHA-256
    snapshots/NAME/VERSION.parquet      each table as it was, readable by anything; of files a folder
    models/NAME/VERSION.zip             each model's package, in its own formats
    journal/WRITER/SEGMENT/             predictions.parquet, outcomes.parquet, seal.json

The import needs `catalog`, `objects` and `journal`; the others are for people and other tools.
"""

from clew.thread.exchange.entering import import_workspace
from clew.thread.exchange.leaving import export_workspace

__all__ = ["export_workspace", "import_workspace"]
