"""Score a large snapshot with a model version on Ray, and keep the scores as a dataset of their own.

    python score_on_ray.py house-sales@latest house-price@latest house-price-scores

The rows go to Ray's object store block by block, each of Ray's processes loads the model once, and the scores come back
as they are made: no machine holds all of them.
"""

import sys
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import ray

import clew


class Score:
    """One process's copy of the model."""

    def __init__(self, workspace: str, model: str) -> None:
        with clew.open_workspace(workspace) as session:
            self.model = session.model(model)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The scores of a block, with the rows' ids where there are any."""
        frame = pl.DataFrame(rows)
        scored = frame.select("sale_id") if "sale_id" in frame.columns else frame.select([])
        return scored.with_columns(prediction=pl.Series(self.model.predict(frame))).to_arrow()


def scores(workspace: clew.Session, data: str, model: str, processes: int = 2) -> Iterator[pa.RecordBatch]:
    """The scores of every row, in the order of the snapshot."""
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    scored = (
        workspace.snapshot(data)
        .to_ray()
        .map_batches(
            Score,
            fn_constructor_args=[str(workspace.root), model],
            batch_format="pyarrow",
            batch_size=50_000,
            compute=ray.data.ActorPoolStrategy(size=processes),
        )
    )
    for batch in scored.iter_batches(batch_format="pyarrow", batch_size=None):
        yield from batch.to_batches()


def main(data: str, model: str, name: str) -> None:
    with clew.open_workspace() as workspace, clew.record(f"score-{name}") as run:
        run.use(data)
        version = workspace.model_version(model).reference
        run.log_parameters(model=version)
        made = workspace.add(name, scores(workspace, data, version), message=f"{data} scored by {version}")
        run.log_metrics(rows=made.rows)
        print(f"{made.reference}: {made.rows:,} rows, scored by {version}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
