"""A session: an open workspace with everything that one does in it, for scripts and notebooks."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from clew import data, models, pipelines, thread
from clew.data import Contract, Snapshot
from clew.models import Model, ModelVersion
from clew.pipelines import RunResult, history
from clew.workspace import Workspace, find_root, init


class Session(Workspace):
    """An open workspace. Get one from `clew.open_workspace`; use it as a context manager, or close it."""

    def add(
        self,
        name: str,
        source: Any = None,
        *,
        files_in: str | os.PathLike[str] | None = None,
        kind: Literal["table", "files"] | None = None,
        key: Sequence[str] = (),
        subject: str | None = None,
        contract: Contract | None = None,
        accept_schema: bool = False,
        occurred_at: datetime | None = None,
        message: str | None = None,
        quarantine: bool = False,
    ) -> Snapshot:
        """Record a table, a folder of files or both as the newest version of a dataset; equal content changes nothing.

        The arguments are those of `clew.data.add`.
        Raises RefusedError (privacy policy, contract, vanished columns), DataError, NotFoundError.
        """
        added = data.add(
            self,
            name,
            source,
            files_in=files_in,
            kind=kind,
            key=key,
            subject=subject,
            contract=contract,
            accept_schema=accept_schema,
            occurred_at=occurred_at,
            message=message,
            quarantine=quarantine,
        )
        return added.snapshot

    def snapshot(self, reference: str) -> Snapshot:
        """The snapshot that a reference names: "house-sales@3", "house-sales@latest". Raises NotFoundError."""
        return data.find(self, reference)

    def run(self, file: str | os.PathLike[str], **parameters: Any) -> RunResult:
        """Run the pipeline in a file, `FILE.py` or `FILE.py:NAME`. Raises StepError when a step raises."""
        pipeline, path = pipelines.load(os.fspath(file))
        return pipelines.run(self, pipeline, path, parameters)

    def output(self, run: str | RunResult, step: str, name: str = "result", *, hint: Any = None) -> Any:
        """What a step of a run gave: a table, an array, a plain value, a model.

        `run` is what `run` gave back, an id, or "latest"; `name` is "0", "1", … of a step with several outputs; with
        `hint` it comes as that type (pl.LazyFrame, a dataclass). Raises NotFoundError, IntegrityError.
        """
        return history.output(self, run.run if isinstance(run, RunResult) else run, step, name, hint=hint)

    def model(self, reference: str) -> Model:
        """A registered model, loaded and ready to predict. Raises NotFoundError."""
        return self.model_version(reference).load()

    def model_version(self, reference: str) -> ModelVersion:
        """A registered version, with what is recorded of it. Raises NotFoundError."""
        return models.find(self, reference)

    def why(self, prediction_id: str) -> dict[str, Any]:
        """The thread of one prediction, back to the files its training rows came from. Raises NotFoundError."""
        return thread.why(self, prediction_id)

    def __enter__(self) -> "Session":
        return self


def open_workspace(url: str | os.PathLike[str] | None = None, *, create: bool = False) -> Session:
    """Open a workspace: the folder named, `CLEW_WORKSPACE`, or the nearest `.clew/` upwards.

    Args:
        url: its folder.
        create: make one there if there is none.

    Raises NoWorkspaceError, SchemaError (run `clew upgrade`).
    """
    if create:
        init(Path(str(url or ".").removeprefix("file://")))
    session = Session(find_root(url or ("." if create else None)))
    session.catalog.require_schema()
    return session
