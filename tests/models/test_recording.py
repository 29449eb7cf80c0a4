"""Scripts and notebooks that declare what they use and make."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.projects import Project, start

import clew
from clew.catalog.tables import builds
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.models import find, restore
from clew.pipelines import history, mark_interrupted
from clew.thread.doctor import examine

SALES = pl.DataFrame(
    {"area": [50.0, 60.0, 70.0, 80.0, 90.0, 100.0], "price": [100.0, 121.0, 139.0, 160.0, 181.0, 200.0]}
)
SCRIPT = """
import clew
from sklearn.linear_model import LinearRegression
from prepare import matrix

def main():
    with clew.record("house-price", parameters={"share": 0.5}, accept=[clew.at_most("mae", LIMIT)]) as run:
        rows = run.use("sales@latest").collect()
        train, test = rows.head(3), rows.tail(3)
        fitted = LinearRegression().fit(matrix(train), train["price"].to_numpy())
        run.log_parameters(kind="linear")
        model = clew.Model(fitted, example=train.select("area"), before=matrix)
        print(run.register(model, train=train, test=test, target="price").reference)

main()
"""
PREPARE = "def matrix(rows):\n    return rows.select('area').to_numpy()\n"


@pytest.fixture
def sales(project: Project) -> Project:
    clew.open_workspace(project.folder).add("sales", SALES)
    return project


def script(project: Project, text: str = SCRIPT, limit: float = 100.0, **env: str) -> subprocess.CompletedProcess[str]:
    place = project.code / "train.py"
    place.write_text(text.replace("LIMIT", str(limit)))
    (project.code / "prepare.py").write_text(PREPARE)
    return python(project, project.folder, str(place), **env)


def python(
    project: Project, folder: Path, *arguments: str, text: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """What Python did with these arguments in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "CLEW_WORKSPACE": str(project.folder), "PYTHONDONTWRITEBYTECODE": "1", **env},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def the_run(project: Project) -> dict[str, Any]:
    return history.show(project.workspace, "latest")


def files_of(project: Project) -> dict[str, str]:
    row = project.workspace.catalog.first(
        sa.select(builds.codes.c.files)
        .join(builds.runs, builds.runs.c.code_id == builds.codes.c.id)
        .order_by(builds.runs.c.recorded_at.desc())
        .limit(1)
    )
    assert row is not None
    found: dict[str, str] = row.files
    return found


def test_a_script_gets_a_thread(sales: Project) -> None:
    done = script(sales)
    assert (done.returncode, done.stdout) == (0, "house-price@1\n"), done.stderr
    run = the_run(sales)
    assert (run["status"], run["provenance"], run["name"]) == ("done", "declared", "house-price")
    assert run["parameters"] == {"share": 0.5, "kind": "linear"}
    assert files_of(sales).keys() == {"train.py", "prepare.py"}
    version = find(sales.workspace, "house-price@latest")
    assert (version.provenance, version.state) == ("declared", "accepted")
    assert version.metrics["mae"] == pytest.approx(1.0, abs=3)
    assert {one["role"] for one in version.inputs()} == {"sales", "train", "test"}
    assert version.load().predict(SALES.select("area")).shape == (6,)
    assert version.artifact("profile") is not None
    assert [one for one in examine(sales.workspace) if not one["ok"]] == []
    again = script(sales)
    assert again.stdout == "house-price@1\n"  # nothing differs
    refused = script(sales, limit=0.001)
    assert refused.stdout == "house-price@2\n"
    assert find(sales.workspace, "house-price@2").state == "refused"


def test_a_declared_version_is_restored_and_its_script_runs_there(sales: Project, tmp_path: Path) -> None:
    script(sales)
    dest = tmp_path / "restored"
    told = restore.restore(find(sales.workspace, "house-price@1"), dest)
    readme = (dest / "README.md").read_text()
    assert "python code/train.py" in readme
    assert "A script said what it used" in readme
    assert "clew run " not in readme
    for command in told["commands"]:
        code = f"from clew.cli import main; main({command!r})"
        assert python(sales, dest, "-c", code, CLEW_WORKSPACE=str(dest)).returncode == 0
    again = python(sales, dest, "code/train.py", CLEW_WORKSPACE=str(dest))
    assert again.stdout == "house-price@1\n", again.stderr
    made = find(clew.open_workspace(dest), "house-price@1")
    assert made.content_id == find(sales.workspace, "house-price@1").content_id


CELLS = """
import sys, warnings
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in [
    "import clew",
    "import polars as pl\\nlimit = 3",
    "with clew.record('notebook') as run:\\n    run.log_metrics(rows=run.use('sales@latest').rows)\\n    import late",
    "print('after')",
]:
    shell.run_cell(cell, store_history=True).raise_error()
"""


def test_a_notebook_records_its_cells(sales: Project) -> None:
    (sales.code / "late.py").write_text("VALUE = 1\n")
    places = {"IPYTHONDIR": str(sales.folder / "ipython"), "PYTHONPATH": str(sales.code)}
    done = python(sales, sales.code, "-c", CELLS, **places)
    assert done.returncode == 0, done.stderr + done.stdout
    assert the_run(sales)["metrics"] == {"rows": 6}
    assert files_of(sales).keys() == {"notebook.py", "late.py"}
    row = sales.workspace.catalog.rows(sa.select(builds.codes.c.digest))[-1]
    body = sales.workspace.objects.get(row.digest)
    text = zipfile.ZipFile(io.BytesIO(body)).read("notebook.py").decode()
    assert text.startswith(
        "# In [1]\nimport clew\n\n# In [2]\nimport polars as pl\nlimit = 3\n\n# In [3]\nwith clew.rec"
    )
    assert "after" not in text


def test_what_is_typed_where_nobody_keeps_it_is_said(sales: Project) -> None:
    text = "import clew\nwith clew.record('typed') as run:\n    run.use('sales@1')\n"
    done = python(sales, sales.folder, "-", text=text)
    assert done.returncode == 0
    assert "can't be recorded" in done.stderr
    assert (the_run(sales)["status"], the_run(sales)["name"]) == ("done", "typed")


def test_what_a_script_imports_late_is_recorded_as_well(sales: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "faraway.py").write_text("VALUE = 1\n")
    text = "import clew\nwith clew.record('late') as run:\n    import faraway\n"
    assert script(sales, text, PYTHONPATH=str(other)).returncode == 0
    assert files_of(sales).keys() == {"train.py", "prepare.py", "_elsewhere/faraway.py"}


ENDS = {
    "raise ValueError('no rows')": ("failed", 1),
    "raise SystemExit(3)": ("failed", 3),
    "raise SystemExit(0)": ("done", 0),
    "raise KeyboardInterrupt": ("cancelled", -signal.SIGINT),
}


@pytest.mark.parametrize("how", ENDS)
def test_how_the_block_ends(sales: Project, how: str) -> None:
    done = script(sales, f"import clew\nwith clew.record('end') as run:\n    run.log_metrics(mae=1)\n    {how}\n")
    state, code = ENDS[how]
    assert done.returncode == code
    assert (the_run(sales)["status"], the_run(sales)["metrics"]) == (state, {"mae": 1})


LONG = """
import clew, time
with clew.record("long") as run:
    run.use("sales@1")
    print("on", flush=True)
    time.sleep(60)
"""


def test_a_script_that_is_killed_is_interrupted(sales: Project) -> None:
    child = start(LONG, sales.code, CLEW_WORKSPACE=str(sales.folder))
    while not (sales.code / "stdout").exists() or "on" not in child.stdout:
        time.sleep(0.02)
    assert mark_interrupted(sales.workspace) == []
    child.kill()
    child.wait()
    assert len(mark_interrupted(sales.workspace)) == 1
    assert (the_run(sales)["status"], the_run(sales)["name"]) == ("interrupted", "long")


def test_what_is_wrong_is_refused(sales: Project) -> None:
    model = clew.Model(Doubling(), example=SALES.select("area"))
    with clew.record("wrong", workspace=sales.workspace, parameters={"a": 1}) as run:
        with pytest.raises(UsageError, match="says what it used"):
            run.register(model)
        with pytest.raises(NotFoundError):
            run.use("nothing@1")
        first = run.use("sales@1")
        assert run.use("sales@latest").id == first.id
        clew.open_workspace(sales.folder).add("sales", SALES.head(4))
        with pytest.raises(RefusedError, match="another role"):
            run.use("sales@latest")
        assert run.use("sales@latest", role="newer").rows == 4
        with pytest.raises(RefusedError, match="'a' is 1 already"):
            run.log_parameters(a=2)
        with pytest.raises(UsageError, match="can't be recorded"):
            run.log_parameters(b=object())
        with pytest.raises(UsageError, match="no number"):
            run.log_metrics(mae="low")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="belong together"):
            run.register(model, train=SALES)
        with pytest.raises(UsageError, match=r"is no clew\.Model"):
            run.register(Doubling())  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="no column 'cost'"):
            run.register(model, train=SALES, test=SALES, target="cost")
        with pytest.raises(UsageError, match="test has 2 rows"):
            run.register(model, train=SALES, test=SALES.head(2), target="price")
        run.log_metrics(mae=float("nan"))
    shown = the_run(sales)
    assert json.loads(json.dumps(shown["parameters"])) == {"a": 1}
    assert shown["metrics"]["mae"] is None
    roles = sales.workspace.catalog.rows(sa.select(builds.run_inputs.c.role).order_by("role"))
    assert [row.role for row in roles] == ["newer", "sales"]
    with pytest.raises(UsageError, match="can't be described any more"):
        run.log_parameters(late=1)
    with pytest.raises(UsageError), clew.record("no name!", workspace=sales.workspace):
        pass


class Doubling:
    def predict(self, rows: pl.DataFrame) -> Any:
        return rows["area"].to_numpy() * 2
