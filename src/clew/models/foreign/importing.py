"""Import: a foreign model checked, packaged and registered; what it was made of, nobody here knows."""

import hashlib
import io
import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from clew.catalog import now
from clew.catalog.commands import ArtifactSpec, EndRun, InputSpec, RegisterModel, StartRun, check_name
from clew.data import find as find_snapshot
from clew.errors import ClewError, DataError, UsageError
from clew.models import flavors
from clew.models._register import packaged_signature
from clew.models.example import read_example
from clew.models.flavors import OnnxModel
from clew.models.foreign import mlflow
from clew.models.foreign.archive import files_of, opened
from clew.models.model import Model
from clew.models.package import pack
from clew.models.registry import ModelVersion, find
from clew.objects import ObjectStore
from clew.pipelines import values
from clew.workspace import Workspace

_FIXED = (1980, 1, 1, 0, 0, 0)


def import_model(
    workspace: Workspace,
    name: str,
    source: Path,
    *,
    data: str | None = None,
    example: Path | None = None,
    trust_pickle: bool = False,
    occurred_at: datetime | None = None,
) -> tuple[ModelVersion, dict[str, Any]]:
    """Register a foreign model, with what it says of itself; provenance `imported`.

    Args:
        workspace: where.
        name: the model's name.
        source: a folder of MLflow's, an archive of one, or an .onnx file.
        data: a snapshot that is said to have trained it.
        example: rows as requests will bring them (Parquet, CSV or JSON lines); else those that came with it, else a row
            made up from its signature.
        trust_pickle: load a pickle, which may run any code.
        occurred_at: when this is, in the world; the clock's time, if not given.

    Raises UsageError, NotFoundError, RefusedError, DataError: nothing is written then.
    """
    check_name(name)
    snapshot = None if data is None else find_snapshot(workspace, data)
    with opened(source) as place:
        found = _read(place, trust_pickle=trust_pickle)
        model, said = _model(found, example)
        body = pack(model)  # refuses what can't predict its example
        files = _zipped(place)
    when = occurred_at or now()
    about = {**found.about, "source": source.name, "example": said, "trusted_pickle": trust_pickle}
    content = f"m1:{hashlib.sha256(body).hexdigest()}"
    objects = workspace.objects
    came = _stored(objects, files)
    stored = values.store(objects, model)
    run_id = workspace.catalog.execute(
        StartRun(
            name=name, pipeline="import", entry=source.name, provenance="imported", code_id=None, environment_id=None,
            parameters=about, criteria=[],
            inputs={} if snapshot is None else {"data": (data or "", snapshot.id)}, occurred_at=when,
        )
    )  # fmt: skip
    inputs = [InputSpec(role="source", artifact=came)]
    if snapshot is not None:
        inputs.append(InputSpec(role="data", snapshot_id=snapshot.id))
    try:
        answer = workspace.catalog.execute(
            RegisterModel(
                model=name,
                run_id=run_id,
                artifact=stored.spec,
                identity=_identity(content, came.content_id, None if snapshot is None else snapshot.content_id),
                provenance="imported",
                signature=packaged_signature(model),
                metrics={},
                verdicts=[],
                inputs=inputs,
                occurred_at=when,
            )
        )
    except BaseException as error:
        text = error.message if isinstance(error, ClewError) else f"{type(error).__name__}: {error}"
        workspace.catalog.execute(EndRun(run_id=run_id, state="failed", error=text, metrics={}))
        raise
    workspace.catalog.execute(EndRun(run_id=run_id, state="done", metrics={}))
    return find(workspace, f"{name}@{answer['version']}"), {**about, "changed": answer["changed"]}


def _read(place: Path, *, trust_pickle: bool) -> mlflow.Foreign:
    if place.is_dir():
        onnx = [path for path in files_of(place).values() if path.suffix == ".onnx"]
        if not (place / "MLmodel").exists() and len(onnx) == 1:
            return _onnx(onnx[0])
        return mlflow.read(place, trust_pickle=trust_pickle)
    if place.suffix == ".onnx":
        return _onnx(place)
    raise UsageError(
        f"{place.name} is no model that can be imported",
        mend="give a folder of MLflow's format (the one with MLmodel in it), an archive of one, or an .onnx file",
    )


def _onnx(path: Path) -> mlflow.Foreign:
    model = OnnxModel(path.read_bytes())
    about = {"format": "onnx", "flavor": "onnx", "file": path.name}
    return mlflow.Foreign(model, model.columns(), None, "polars", about)


def _model(found: mlflow.Foreign, example: Path | None) -> tuple[Model, str]:
    """The model, and where its example is from."""
    if example is not None:
        rows, said = _rows(example), f"{example.name}"
    elif found.example is not None:
        rows, said = found.example, "came with the model"
    elif found.columns:
        rows, said = pl.DataFrame({key: [_made_up(dtype)] for key, dtype in found.columns.items()}), "made up"
    else:
        raise UsageError(
            "the model says neither what its inputs are nor brings an example of them",
            mend="give --example FILE with some rows, as Parquet, CSV or JSON lines",
        )
    # A matrix has no names of its own: an example's serve, so long as there are as many.
    if found.about["format"] == "onnx" and len(found.columns) == rows.width:
        found.columns = dict(zip(rows.columns, found.columns.values(), strict=True))
    if found.columns:
        missing = [key for key in found.columns if key not in rows.columns]
        if missing:
            raise UsageError(
                f"the example lacks columns that the model needs: {', '.join(missing)}", mend="give rows that have them"
            )
        rows = rows.select(pl.col(key).cast(dtype, strict=False) for key, dtype in found.columns.items())
    shown: Any = rows
    if found.container == "pandas" and not isinstance(found.estimator, OnnxModel):
        shown = rows.to_pandas()
    read_example(shown)
    return Model(flavors.wrap(found.estimator), example=shown), said


def _made_up(dtype: Any) -> Any:
    if dtype == pl.String:
        return ""
    if dtype == pl.Boolean:
        return False
    return datetime(2000, 1, 1) if dtype == pl.Datetime else 0  # noqa: DTZ001 - tables have times without a zone


def _rows(path: Path) -> pl.DataFrame:
    try:
        match path.suffix:
            case ".parquet":
                return pl.read_parquet(path)
            case ".csv":
                return pl.read_csv(path)
            case ".json" | ".jsonl" | ".ndjson":
                return pl.read_ndjson(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path.name} can't be read: {str(error).splitlines()[0]}", mend="check the file") from error
    raise UsageError(f"{path.name} is no example that can be read", mend="give a .parquet, .csv or .jsonl file")


def _zipped(place: Path) -> bytes:
    """The files as they came, in one zip; the same bytes for the same files."""
    files = files_of(place) if place.is_dir() else {place.name: place}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files.items():
            archive.writestr(zipfile.ZipInfo(name, _FIXED), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _stored(objects: ObjectStore, body: bytes) -> ArtifactSpec:
    info = objects.put(body)
    return ArtifactSpec(kind="archive", content_id=f"a1:{info.digest}", digest=info.digest, bytes=info.size)


def _identity(*parts: str | None) -> str:
    return f"i1:{hashlib.sha256(json.dumps(['imported', *parts]).encode()).hexdigest()}"
