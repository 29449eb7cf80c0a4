"""Bisection of projects that are laid out otherwise: renamed files and functions, odd columns, texts, bad habits."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.models.houses import HELPERS, PIPELINE, sales
from tests.projects import Project, made

from clew import models
from clew.models.bisection.bisect import bisect
from clew.models.bisection.report import describe
from clew.models.rebuild import rebuild
from clew.pipelines import sources

SALES = sales(600)
WORSE = PIPELINE.replace('rows["price"].to_numpy()\n    kept', 'rows["price"].to_numpy() * 0.8\n    kept')


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[Project]:
    """A project whose data are there, and whose code is not yet."""
    for project in made(tmp_path / "project"):
        project.write(HELPERS, "houses.py")
        project.workspace.add("sales", SALES, key=["id"])
        yield project


def _bisected(project: Project, **options: Any) -> dict[str, Any]:
    good, bad = (models.find(project.workspace, f"price@{version}") for version in (1, 2))
    facts: dict[str, Any] = json.loads(json.dumps(bisect(good, bad, **options).facts()))
    diffs = {line for unit in _diffs(facts) for line in unit.splitlines()}
    assert all(len(line) <= 120 for line in describe(facts).splitlines() if line.strip() not in diffs)
    return facts


def _diffs(facts: Any) -> Iterator[str]:
    for name, value in (
        facts.items() if isinstance(facts, dict) else enumerate(facts if isinstance(facts, list) else [])
    ):
        if name == "diff":
            yield "\n".join(line.strip() for line in value.splitlines())
        else:
            yield from _diffs(value)


def _smallest(facts: dict[str, Any]) -> list[str]:
    assert facts["verdict"] == "found", facts["says"]
    return [one["says"] for one in facts["found"]["smallest"]]


def test_a_renamed_file_with_a_renamed_pipeline(houses: Project) -> None:
    houses.write(PIPELINE)
    houses.run()
    (houses.code / "pipeline.py").unlink()
    houses.write(WORSE.replace("def price(", "def price_again("), "training.py")
    sources.forget(houses.code)
    houses.run("training.py", ridge=2e-6)
    facts = _bisected(houses)
    [said] = _smallest(facts)
    assert said.startswith("code of train: ")
    assert [one["adding"] for one in facts["found"]["effects"] if "wiring" in one["says"]] == [[0, 0, 0]]


def test_a_loss_by_the_wiring_of_a_renamed_pipeline(houses: Project) -> None:
    houses.write(PIPELINE)
    houses.run()
    wired = PIPELINE.replace("def price(", "def price_again(").replace(
        "train(train_rows, ridge", "train(train_rows, 1e4"
    )
    houses.write(wired)
    houses.run()
    assert [said.split(":")[0] for said in _smallest(_bisected(houses))] == ["the wiring of the pipeline"]


def test_a_name_that_is_imported_from_another_place(houses: Project) -> None:
    houses.write("def scale(x):\n    return x\n", "one.py")
    houses.write("def scale(x):\n    return 0.8 * x\n", "other.py")
    scaled = PIPELINE.replace('rows["price"].to_numpy()\n    kept', 'scale(rows["price"].to_numpy())\n    kept')
    houses.write(scaled.replace("import houses", "import houses\nfrom one import scale"))
    houses.run()
    houses.write(scaled.replace("import houses", "import houses\nfrom other import scale"))
    houses.run()
    [said] = _smallest(_bisected(houses))
    assert "scale in pipeline.py" in said


def test_a_step_that_is_new_and_one_that_took_another_name(houses: Project) -> None:
    houses.write(PIPELINE)
    houses.run()
    new = "@clew.step\ndef cheap(rows: pl.DataFrame) -> pl.DataFrame:\n    return rows.sort('price').head(40)\n\n"
    renamed = WORSE.replace("* 0.8", "").replace("def train(", "def fit(").replace("= train(", "= fit(")
    houses.write(
        renamed.replace("@clew.pipeline", f"{new}@clew.pipeline").replace(
            "    model = fit(train_rows", "    train_rows = cheap(train_rows)\n    model = fit(train_rows"
        )
    )
    houses.run()
    [said] = _smallest(_bisected(houses))
    assert said.startswith("the wiring of the pipeline")


def test_parameters_that_only_one_version_has(houses: Project) -> None:
    houses.write(PIPELINE)
    houses.run()
    more = WORSE.replace("* 0.8", "* factor").replace(
        "ridge: float, seed: int)", "ridge: float, seed: int, factor: float)"
    )
    more = more.replace("train(train_rows, ridge, seed)", "train(train_rows, ridge, seed, factor)")
    houses.write(more.replace("seed: int = 0\n", "seed: int = 0, factor: float = 0.8\n"))
    houses.run()
    said = _smallest(_bisected(houses))
    assert any("pipeline.train" in one for one in said)


def test_code_that_looks_for_its_files_by_itself(houses: Project) -> None:
    """Nothing names the file that came: the step imports whatever is there."""
    found = PIPELINE.replace("import houses\n", "import houses\nimport importlib\nfrom pathlib import Path\n").replace(
        'rows["price"].to_numpy()\n    kept',
        'rows["price"].to_numpy()\n'
        '    for path in sorted(Path(__file__).parent.glob("plug_*.py")):\n'
        "        y = importlib.import_module(path.stem).changed(y)\n    kept",
    )
    houses.write(found)
    houses.write("def changed(y):\n    return y\n", "plug_a.py")
    houses.run()
    houses.write("def changed(y):\n    return 0.8 * y\n", "plug_b.py")
    houses.run()
    [said] = _smallest(_bisected(houses))
    assert "plug_b.py" in said


def test_a_package_with_relative_imports_guards_decorators_and_state(houses: Project) -> None:
    houses.write("from .inner import level\n", "kit/__init__.py")
    inner = """
    from __future__ import annotations
    import functools
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        from nowhere import Nothing
    LEVELS = {}
    LEVELS["price"] = 1.0
    def loud(function):
        @functools.wraps(function)
        def wrapped(*values):
            print("called")
            return function(*values)
        return wrapped
    @loud
    def level(y: Nothing):
        return y * LEVELS["price"]
    """
    (houses.code / "kit" / "inner.py").write_text(_plain(inner))
    (houses.code / "kit" / "__init__.py").write_text("from .inner import level\n")
    houses.write(
        PIPELINE.replace("import houses\n", "import houses\nimport kit\n").replace(
            'rows["price"].to_numpy()\n    kept', 'kit.level(rows["price"].to_numpy())\n    kept'
        )
    )
    houses.run()
    (houses.code / "kit" / "inner.py").write_text(
        _plain(inner).replace('LEVELS["price"] = 1.0', 'LEVELS["price"] = 0.8').replace('"called"', '"called again"')
    )
    sources.forget(houses.code)
    houses.run()
    facts = _bisected(houses)
    [said] = _smallest(facts)
    inside = next(iter(facts["found"]["inside"].values()), None)
    assert "kit/inner.py" in (said if inside is None else inside["smallest"][0]["says"])


def _plain(text: str) -> str:
    return "\n".join(line[4:] for line in text.splitlines()) + "\n"


def test_texts_are_predicted(houses: Project) -> None:
    dear = pl.when(pl.col("price") > 200_000).then(pl.lit("dear")).otherwise(pl.lit("fair"))
    houses.workspace.add("texts", SALES.with_columns(price=dear))
    texts = PIPELINE.replace(
        "return matrix @ self.weights", "return np.where(matrix @ self.weights > 0.5, 'dear', 'fair')"
    )
    texts = texts.replace('rows["price"].to_numpy()\n    kept', '(rows["price"] == "dear").to_numpy() * 1.0\n    kept')
    texts = texts.replace(
        'abs(model.predict(rows) - rows["price"].to_numpy())', '(model.predict(rows) != rows["price"].to_numpy())'
    )
    texts = texts.replace("sales@latest", "texts@latest")
    houses.write(HELPERS.replace('pl.col("price") > 0', 'pl.col("price").is_not_null()'), "houses.py")
    houses.write(texts)
    houses.run()
    houses.run(ridge=1e6)
    facts = _bisected(houses)
    assert facts["metric"] == "error_rate"
    assert _smallest(facts) == ["ridge 1e-06 → 1000000.0"]


def test_columns_of_every_kind_and_a_key_with_a_gap(houses: Project) -> None:
    """Lists, structs, decimals, categories that differ and nulls: what isn't the model's is no obstacle."""
    odd = SALES.with_columns(
        pl.when(pl.col("id") == 3).then(None).otherwise("id").alias("id"),
        rooms_list=pl.concat_list("rooms", "rooms"),
        both=pl.struct("rooms", "area"),
        paid=pl.col("price").cast(pl.Decimal(12, 2)),
        nothing=pl.lit(None),
        kind=pl.col("district").cast(pl.Enum(["east", "north", "south", "west"])),
    )
    houses.workspace.add("odd", odd, key=["id"])
    houses.write(PIPELINE.replace("sales@latest", "odd@latest"))
    houses.run()
    gone = odd.filter(pl.col("id").is_null() | (pl.col("id") % 9 != 1)).with_columns(
        area=pl.col("area") * 10.7639,
        rooms_list=pl.concat_list("rooms", "area"),
        paid=pl.col("paid") + Decimal("0.5"),
        kind=pl.col("district").cast(pl.Enum(["west", "south", "north", "east", "centre"])),
    )
    houses.workspace.add("odd", gone, key=["id"], accept_schema=True)
    houses.run()
    facts = _bisected(houses)
    [inside] = facts["found"]["inside"].values()
    assert [one["column"] for one in inside["smallest"]] == ["area"]
    assert not any("error" in one for one in facts["builds"])


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_steps_that_take_pandas_or_arrow(houses: Project, kind: str) -> None:
    hint, back = {
        "pandas": ("pd.DataFrame", "pl.from_pandas(sales)"),
        "arrow": ("pa.Table", "pl.from_arrow(sales)"),
    }[kind]
    imports = "import houses\nimport pandas as pd\nimport pyarrow as pa\n"
    houses.write(
        PIPELINE.replace("import houses\n", imports)
        .replace("def clean(sales: pl.DataFrame)", f"def clean(sales: {hint})")
        .replace("houses.usable(sales)", f"houses.usable({back})")
        .replace(
            '"price")\n\n@clew.step\ndef split',
            '"price").with_columns(pl.col("sold_on").cast(pl.Date))\n\n@clew.step\ndef split',
        )
    )
    houses.run()
    houses.workspace.add("sales", SALES.head(400).with_columns(pl.col("area") * 10.7639), key=["id"])
    houses.run()
    facts = _bisected(houses)
    [inside] = facts["found"]["inside"].values()
    assert [one["column"] for one in inside["smallest"]] == ["area"]


def test_several_datasets_one_of_them_named_in_the_code(houses: Project) -> None:
    levels = pl.DataFrame({"district": ["east", "north", "south", "west"], "level": [1.0, 1.0, 1.0, 1.0]})
    houses.workspace.add("levels", levels)
    two = PIPELINE.replace(
        "def clean(sales: pl.DataFrame)", "def clean(sales: pl.DataFrame, levels: pl.DataFrame)"
    ).replace(
        'houses.usable(sales).select(*houses.INPUTS, "price")',
        'houses.usable(sales).join(levels, on="district", maintain_order="left").with_columns('
        'pl.col("price") * pl.col("level")).select(*houses.INPUTS, "price")',
    )  # fmt: skip
    houses.write(two.replace("clean(sales)", 'clean(sales, clew.dataset("levels@latest"))'))
    houses.run()
    houses.workspace.add("levels", levels.with_columns(level=pl.Series([1.0, 0.7, 1.0, 1.0])))
    houses.workspace.add("sales", SALES.head(580), key=["id"])
    houses.run()
    facts = _bisected(houses)
    assert _smallest(facts)[0].startswith(
        "levels@latest: levels@1 → levels@2: level of levels@latest differs in 1 of 4"
    )
    assert len(facts["found"]["effects"]) == 2


def test_a_version_of_a_dataset_that_the_code_names_is_rebuilt(houses: Project) -> None:
    """In a restored workspace it has another number."""
    houses.workspace.add("sales", SALES.head(500), key=["id"])
    houses.workspace.add("sales", SALES.head(400), key=["id"])
    named = PIPELINE.replace('    sales: pl.DataFrame = clew.dataset("sales@latest"), ', "    ")
    houses.write(named.replace("clean(sales)", 'clean(clew.dataset("sales@2"))'))
    houses.run()
    found = rebuild(models.find(houses.workspace, "price@1"))
    assert found["verdict"] == "identical", found


def test_two_models_of_one_run(houses: Project) -> None:
    twice = PIPELINE + PIPELINE[PIPELINE.rindex("    clew.register(") :].replace('"price", model', '"other", model')
    houses.write(twice)
    houses.run()
    houses.write(WORSE + twice[len(PIPELINE) :])
    assert houses.run().models == ["price@2", "other@2"]
    assert _smallest(_bisected(houses))[0].startswith("code of train")


def test_steps_with_bad_habits_break_no_build(houses: Project) -> None:
    """One prints to stdout and reads stdin, as requests come over the one and answers go over the other."""
    habits = """    print('{"error": "no"}', flush=True)
    import sys
    assert sys.stdin.read() == ""
    x, y = houses"""
    command = [sys.executable, "-m", "clew.cli", "run", "pipeline.py", "--executor", "inline"]
    for text in (PIPELINE, WORSE):
        houses.write(text.replace("    x, y = houses", habits))
        env = os.environ | {"CLEW_WORKSPACE": str(houses.folder)}
        run = subprocess.run(
            command, cwd=houses.code, env=env, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1, check=False
        )
        assert run.returncode == 0, run.stderr
    assert _smallest(_bisected(houses)) == ["code of train: pipeline.train in pipeline.py"]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("import os; os._exit(3)", "ended with 3"),
        ("import sys; sys.exit(4)", "exit"),
        pytest.param("import time; time.sleep(600)", "wasn't done after 25 s", marks=pytest.mark.slow),
    ],
)
def test_a_mixture_that_kills_its_process_or_hangs(houses: Project, harm: str, says: str) -> None:
    """Each of two changes alone does harm to its process, and both together make a model that is worse."""
    houses.write("STRONG = False\n", "settings.py")
    guard = f"    if settings.STRONG != STRONG:\n        {harm}\n"
    text = PIPELINE.replace("import houses\n", "import houses\nimport settings\nSTRONG = False\n")
    text = text.replace("    x, y = houses", f"{guard}    x, y = houses")
    text = text.replace("ridge * np.eye", "(1e5 if STRONG else ridge) * np.eye")
    houses.write(text)
    houses.run()
    houses.write("STRONG = True\n", "settings.py")
    houses.write(text.replace("STRONG = False", "STRONG = True"))
    sources.forget(houses.code)
    houses.run()
    facts = _bisected(houses, build_seconds=25 if "sleep" in harm else None)
    assert facts["verdict"] == "found"
    assert any(says in one.get("error", "") for one in facts["builds"]), facts["builds"]


def test_ctrl_c_and_sigkill_leave_no_process(houses: Project) -> None:
    """What a build's steps have started is ended too."""
    pause = """
def pause():
    pass

@clew.step
def train"""
    marks = houses.folder / "marks"
    slow = f"""    import os, subprocess
    if "QUICK" not in os.environ:
        open({str(marks)!r}, "a").write("x")
        subprocess.run(["sleep", "71.25"])
"""
    text = PIPELINE.replace("\n@clew.step\ndef train", pause).replace(
        "    x, y = houses", "    pause()\n    x, y = houses"
    )
    houses.write(text)
    houses.run()
    houses.write(text.replace("    pass\n", slow))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUICK", "1")
        houses.run()
    handled = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    for number in (signal.SIGINT, signal.SIGKILL):
        marks.unlink(missing_ok=True)
        child = houses.start("model", "bisect", "price@1", "price@2", before=handled)
        _until(marks.exists)
        child.kill(number)
        assert child.wait() == (130 if number == signal.SIGINT else -9)
        _until(lambda: not _sleeping())


def _sleeping() -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"71.25" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _until(holds: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_predictions_that_are_no_numbers_are_said(houses: Project) -> None:
    houses.write(PIPELINE)
    houses.run()
    gaps = PIPELINE.replace("@ self.weights", "@ self.weights * np.where(matrix[:, 1] > 6, np.nan, 1.0)")
    houses.write(gaps.replace("abs(model.predict(rows)", "abs(np.nan_to_num(model.predict(rows))"))
    houses.run()
    facts = _bisected(houses)
    assert facts["verdict"] == "not built"
    assert "is no number for" in facts["says"]


def test_rows_with_inputs_that_trained_but_another_truth_are_judged(houses: Project) -> None:
    houses.write(PIPELINE)
    houses.run()
    houses.run(ridge=1e5)
    true = SALES.with_columns(price=pl.col("price") * 1.05, sold_on=pl.col("sold_on").cast(pl.Date))
    assert _bisected(houses, on=("true rows", true))["left_out"] == 0
    assert date(1995, 1, 1) <= true["sold_on"].min()  # type: ignore[operator]
