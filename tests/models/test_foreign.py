"""Models from elsewhere. The folders in `mlflow/` were saved by MLflow 3.17.2 (`scripts/mlflow_fixtures.py`), with what
MLflow itself predicts from them; MLflow is not installed here."""

import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from tests.models.kinds import onnx_line
from tests.projects import Project

from clew import models
from clew.catalog.tables import builds
from clew.data import add
from clew.errors import ClewError, DataError, NotFoundError, RefusedError, UsageError
from clew.models.foreign import archive, import_model
from clew.models.foreign.mlflow import _columns

HERE = Path(__file__).parent / "mlflow"
EXPECTED = json.loads((HERE / "expected.json").read_text())
ROWS = pl.DataFrame(EXPECTED["rows"])
SAFE = [name for name in EXPECTED["said"] if name not in ("sklearn_pickle", "pyfunc")]


def nothing_was_written(project: Project) -> bool:
    return not models.all_versions(project.workspace) and not project.workspace.catalog.rows(sa.select(builds.runs))


@pytest.mark.parametrize("name", [*SAFE, "sklearn_pickle"])
def test_what_mlflow_saved_predicts_what_mlflow_predicts(name: str, project: Project) -> None:
    trust = name == "sklearn_pickle"
    version, about = import_model(project.workspace, "price", HERE / name, trust_pickle=trust)
    assert (version.provenance, version.state, version.reference) == ("imported", "accepted", "price@1")
    assert about["example"] == "came with the model"
    model = version.load()
    rows = ROWS.rename(dict(zip(ROWS.columns, ["x0", "x1", "x2"], strict=True))) if name == "onnx" else ROWS
    assert model.predict(rows).tolist() == EXPECTED["said"][name]
    assert [field.kind for field in model.signature.inputs] == (
        ["float"] * 3 if name == "onnx" else ["float", "float", "int"]
    )
    again, said = import_model(project.workspace, "price", HERE / name, trust_pickle=trust)
    assert (again.reference, said["changed"]) == ("price@1", False)
    assert [one["role"] for one in version.inputs()] == ["source"]
    # the files as they came are kept
    digest = version.inputs()[0]["digest"]
    with zipfile.ZipFile(io.BytesIO(project.workspace.objects.get(digest))) as kept:
        assert kept.read("MLmodel") == (HERE / name / "MLmodel").read_bytes()
        assert sorted(kept.namelist()) == sorted(path.name for path in (HERE / name).iterdir())


def test_the_snapshot_that_trained_it_is_an_input(project: Project, tmp_path: Path) -> None:
    ROWS.write_parquet(tmp_path / "rows.parquet")
    add(project.workspace, "sales", tmp_path / "rows.parquet")
    version, _ = import_model(project.workspace, "price", HERE / "xgboost_estimator", data="sales@latest")
    assert [(one["role"], one["snapshot"]) for one in version.inputs()] == [("source", None), ("data", "sales@1")]
    with pytest.raises(NotFoundError):
        import_model(project.workspace, "other", HERE / "xgboost_estimator", data="nothing@1")


def test_a_pickle_is_refused_unless_it_is_trusted(project: Project) -> None:
    with pytest.raises(RefusedError, match="runs whatever code") as caught:
        import_model(project.workspace, "price", HERE / "sklearn_pickle")
    assert "--trust-pickle" in str(caught.value)
    assert nothing_was_written(project)


def copied(name: str, folder: Path) -> Path:
    return shutil.copytree(HERE / name, folder / name)


def test_a_pickle_with_another_ending_is_not_executed(project: Project, tmp_path: Path) -> None:
    folder = copied("sklearn_skops", tmp_path)
    shutil.copy(HERE / "sklearn_pickle" / "model.pkl", folder / "model.skops")
    with pytest.raises(ClewError):
        import_model(project.workspace, "price", folder)
    assert nothing_was_written(project)


def test_a_skops_file_with_foreign_types_is_refused(project: Project, tmp_path: Path) -> None:
    folder = copied("sklearn_skops", tmp_path)
    with zipfile.ZipFile(folder / "model.skops") as kept:
        parts = {name: kept.read(name) for name in kept.namelist()}
    schema = json.loads(parts["schema.json"])
    schema["content"]["__module__"], schema["content"]["__class__"] = "os", "system"
    schema["__module__"], schema["__class__"] = "subprocess", "Popen"
    parts["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(folder / "model.skops", "w") as out:
        for name, body in parts.items():
            out.writestr(name, body)
    with pytest.raises(RefusedError, match=r"types that are not scikit-learn's: .*subprocess\.Popen"):
        import_model(project.workspace, "price", folder)
    assert nothing_was_written(project)


def edited(old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / "MLmodel").read_text()
        assert old in text
        (folder / "MLmodel").write_text(text.replace(old, new))

    return edit


def cut(folder: Path) -> None:
    path = folder / "model.ubj"
    path.write_bytes(path.read_bytes()[:40])


def linked(folder: Path) -> None:
    (folder / "more").symlink_to("/etc/hostname")


BAD: list[tuple[Callable[[Path], Any], type[ClewError], str]] = [
    (lambda folder: (folder / "MLmodel").unlink(), UsageError, "no file MLmodel"),
    (lambda folder: (folder / "MLmodel").write_text("{"), DataError, "MLmodel can't be read"),
    (lambda folder: (folder / "MLmodel").write_text("flavors: 3"), DataError, "MLmodel can't be read"),
    (lambda folder: (folder / "MLmodel").write_bytes(b"\xff\xfe"), DataError, "MLmodel can't be read"),
    (lambda folder: (folder / "model.ubj").unlink(), NotFoundError, "lacks 'model.ubj'"),
    (cut, DataError, "damaged"),
    (linked, RefusedError, "outside of its folder"),
    (edited("data: model.ubj", "data: ../../../etc/hostname"), RefusedError, "outside of its folder"),
    (edited("data: model.ubj", "data: /etc/hostname"), RefusedError, "outside of its folder"),
    (edited('"type": "long"', '"type": "binary"'), UsageError, "which a request can't carry"),
    (edited('"name": "rooms"', '"name": "floors"'), UsageError, "lacks columns that the model needs: floors"),
    (lambda folder: (folder / "input_example.json").write_text("[}"), DataError, "input example can't be read"),
]


@pytest.mark.parametrize("at", range(len(BAD)))
def test_bad_folders(at: int, project: Project, tmp_path: Path) -> None:
    spoil, error, match = BAD[at]
    folder = copied("xgboost_booster", tmp_path)
    spoil(folder)
    with pytest.raises(error, match=match) as caught:
        import_model(project.workspace, "price", folder)
    assert caught.value.mend
    assert nothing_was_written(project)


def test_what_is_no_model_at_all(project: Project, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "no.onnx").write_bytes(b"no model")
    cases: list[tuple[Path, type[ClewError], str]] = [
        (tmp_path / "nowhere", NotFoundError, "nothing at"),
        (tmp_path / "notes.txt", UsageError, "no model that can be imported"),
        (tmp_path / "no.onnx", DataError, "onnxruntime can't run"),
        (HERE / "pyfunc", UsageError, "holds the flavors python_function"),
    ]
    for source, error, match in cases:
        with pytest.raises(error, match=match):
            import_model(project.workspace, "price", source)
    with pytest.raises(UsageError):
        import_model(project.workspace, "Not a name!", HERE / "onnx")
    assert nothing_was_written(project)


def test_an_onnx_file_with_and_without_an_example(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "line.onnx"
    path.write_bytes(onnx_line().SerializeToString())
    version, about = import_model(project.workspace, "line", path)
    assert about["example"] == "made up"
    assert version.signature_of().names == ["x0", "x1", "x2"]
    parquet = io.BytesIO()
    ROWS.write_parquet(parquet)
    bodies = {
        "rows.csv": ROWS.write_csv().encode(),
        "rows.jsonl": ROWS.write_ndjson().encode(),
        "rows.parquet": parquet.getvalue(),
    }
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
        version, about = import_model(project.workspace, "named", path, example=tmp_path / name)
        assert about["example"] == name
        assert version.signature_of().names == ["area", "age", "rooms"]
    matrix = ROWS.to_numpy().astype("float32")
    np.testing.assert_allclose(version.load().predict(ROWS), matrix @ [1, -2, 0.5] + 1, rtol=1e-5)
    (tmp_path / "rows.txt").write_text("x")
    with pytest.raises(UsageError, match="no example that can be read"):
        import_model(project.workspace, "named", path, example=tmp_path / "rows.txt")
    ROWS.select("area").write_csv(tmp_path / "one.csv")
    with pytest.raises(UsageError, match="lacks columns"):
        import_model(project.workspace, "named", path, example=tmp_path / "one.csv")


def test_archives_are_unpacked_and_go_away_again(project: Project, tmp_path: Path, monkeypatch: Any) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    for form in ("zip", "gztar"):
        packed = shutil.make_archive(str(tmp_path / "model"), form, HERE, "xgboost_booster")
        version, _ = import_model(project.workspace, "price", Path(packed))
        assert version.reference == "price@1"  # the same files, however they came
    assert list(scratch.iterdir()) == []


def zip_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, body in members.items():
            out.writestr(name, body)
    return path


def tar_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as out:
        for one in members:
            out.addfile(one, io.BytesIO(b"x" * one.size))
    return path


def member(name: str, *, size: int = 1, link: str | None = None) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size = 0 if link else size
    if link:
        found.type, found.linkname = tarfile.SYMTYPE, link
    return found


def test_hostile_archives_leave_nothing(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    many = {f"f{at}": b"" for at in range(archive.MOST_FILES + 1)}
    cases: list[tuple[Path, type[ClewError], str]] = [
        (zip_of(tmp_path / "up.zip", **{"../evil": b"x"}), RefusedError, "leads out"),
        (zip_of(tmp_path / "root.zip", **{"/tmp/evil": b"x"}), RefusedError, "leads out"),
        (zip_of(tmp_path / "back.zip", **{"a\\..\\..\\evil": b"x"}), RefusedError, "leads out"),
        (zip_of(tmp_path / "bomb.zip", big=bytes(80 << 20)), RefusedError, "unpacks to more than"),
        (zip_of(tmp_path / "many.zip", **many), RefusedError, "more than 10,000 files"),
        (tar_of(tmp_path / "up.tar.gz", member("../evil")), RefusedError, "leads out"),
        (tar_of(tmp_path / "root.tar.gz", member("/tmp/evil")), RefusedError, "leads out"),
        (tar_of(tmp_path / "link.tar.gz", member("a", link="/etc/passwd")), RefusedError, "no plain file"),
        (tar_of(tmp_path / "bomb.tar.gz", member("big", size=80 << 20)), RefusedError, "unpacks to more than"),
    ]
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4 cut")
    (tmp_path / "cut.tar.gz").write_bytes(b"\x1f\x8b cut")
    cases += [(tmp_path / name, DataError, "no whole archive") for name in ("cut.zip", "cut.tar.gz")]
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as out:
        out.writestr(info, "/etc/passwd")
    cases.append((tmp_path / "link.zip", RefusedError, "holds links"))
    for source, error, match in cases:
        with pytest.raises(error, match=match):
            import_model(project.workspace, "price", source)
        assert list(scratch.iterdir()) == [], source.name
        assert not os.path.lexists(tmp_path / "evil")
    assert nothing_was_written(project)


def test_signatures_of_mlflow() -> None:
    def signed(inputs: list[Any]) -> dict[str, Any]:
        return {"signature": {"inputs": json.dumps(inputs)}}

    tensor = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}
    assert _columns(signed([tensor])) == {"x0": pl.Float64, "x1": pl.Float64}
    assert _columns(signed([{"type": "string", "name": "a"}, {"type": "boolean", "name": "b"}])) == {
        "a": pl.String,
        "b": pl.Boolean,
    }
    assert _columns({}) == {}
    with pytest.raises(UsageError, match="tensor of uint8"):
        _columns(signed([{"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 28, 28]}}]))
