"""Faults planted in the real house project, each bisected; versions restored and rebuilt, with causes planted too.

Each case begins from a copy of one workspace in which the good version stands, changes something, builds the second
version by the command line, and asks which change it was. What is expected is written with each case: the changes
that are guilty, or that there is no loss. `exactly` means those and no others.
"""

import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

import clew
from clew import models
from clew.models import environments
from clew.models.bisection.bisect import bisect

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "house_prices"
TREES = 40
SQUARE_FEET = 10.7639
BINNED_IMPORTS = """from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer
"""
BINNED = """    bins = KBinsDiscretizer(10, encode="onehot-dense", subsample=None)
    estimator = make_pipeline(SimpleImputer(strategy="constant", fill_value=0.0), bins, Ridge())
"""
WHEEL = "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
Keep = Callable[[dict[str, Any]], None]


@dataclass
class Case:
    """A planted fault."""

    name: str
    plant: Callable[["House"], None]
    expected: tuple[str, ...] = ()
    """A part of what each guilty change says; none where there is no loss."""
    dose: str = ""
    judged: Callable[[pl.DataFrame], tuple[str, pl.DataFrame]] | None = None


@dataclass
class House:
    """A copy of the house project with a workspace, in which version 1 stands."""

    folder: Path
    python: str = sys.executable
    settings: dict[str, Any] = field(default_factory=lambda: {"trees": TREES})

    @property
    def sales(self) -> pl.DataFrame:
        """What version 1 was trained on."""
        return pl.read_parquet(self.folder / "sales.parquet")

    def add(self, rows: pl.DataFrame) -> None:
        """Record a new version of the sales."""
        with clew.open_workspace(self.folder) as workspace:
            workspace.add("house-sales", rows, key=["sale_id"])

    def edit(self, file: str, before: str, after: str) -> None:
        """Change the code. Raises ValueError when it isn't as it was thought to be."""
        path = self.folder / "code" / file
        text = path.read_text()
        if before not in text:
            raise ValueError(f"{file} has no {before!r}")
        path.write_text(text.replace(before, after))

    def run(self) -> None:
        """Build a version. A refused one stands too."""
        settings = [f"--set={name}={value}" for name, value in self.settings.items()]
        command = [self.python, "-m", "clew.cli", "run", "code/pipeline.py", "--executor", "inline", *settings]
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        env = clean | {"CLEW_WORKSPACE": str(self.folder)}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 6):
            raise RuntimeError(done.stderr[-2000:])


def begin(folder: Path) -> House:
    """The workspace from which all cases begin: the sales to 1997, and version 1."""
    house = House(folder)
    shutil.copytree(EXAMPLE, folder / "code", ignore=shutil.ignore_patterns("*.gz", "*.md", "__pycache__"))
    rows = pl.read_csv(EXAMPLE / "house_sales.csv.gz", try_parse_dates=True, infer_schema_length=None)
    rows.write_parquet(folder / "all.parquet")
    rows.filter(pl.col("sold_on").dt.year() <= 1997).write_parquet(folder / "sales.parquet")
    clew.open_workspace(folder, create=True).close()
    house.add(house.sales)
    house.run()
    return house


# ---- the faults


def feet(house: House) -> None:
    house.add(house.sales.with_columns((pl.col("living_area_m2") * SQUARE_FEET).round(1)))
    house.run()


def copies(times: int, seed: int) -> Callable[[House], None]:
    """A month of the training years, so many times more."""

    def plant(house: House) -> None:
        chosen = random.Random(seed)
        year, month = chosen.randint(1993, 1996), chosen.randint(1, 12)
        rows = house.sales.filter((pl.col("sold_on").dt.year() == year) & (pl.col("sold_on").dt.month() == month))
        again = [rows.with_columns(pl.col("sale_id") + f"-{number}") for number in range(times)]
        house.add(pl.concat([house.sales, *again]))
        house.run()

    return plant


def shifted(share: float, seed: int) -> Callable[[House], None]:
    """Prices that are so much lower in a square of 4 km around a house that was sold."""

    def plant(house: House) -> None:
        rows = house.sales
        middle = rows.row(random.Random(seed).randrange(rows.height), named=True)
        east, north = (pl.col(name) - middle[name] for name in ("east_m", "north_m"))
        near = (east.abs() < 2000) & (north.abs() < 2000)
        lower = pl.when(near).then((pl.col("price_usd") * (1 - share)).round().cast(pl.Int64)).otherwise("price_usd")
        house.add(rows.with_columns(lower.alias("price_usd")))
        house.run()

    return plant


def bad_parameter(house: House) -> None:
    house.settings |= {"learning_rate": 0.005, "lowest_price": 9_000}
    house.run()


def refactored(house: House) -> None:
    house.edit("houses.py", 'pl.col("year_built") < pl.col("sold_on").dt.year()',
               'pl.col("sold_on").dt.year() > pl.col("year_built")')  # fmt: skip
    house.edit("pipeline.py", "estimator.fit(", "rows = rows.head(2000)\n    estimator.fit(")
    house.run()


def together(house: House) -> None:
    """A guard is taken out, and the parameter is set that it guarded against: neither hurts alone."""
    house.edit("pipeline.py", "min(leaf, 200)", "leaf")
    house.settings["leaf"] = 6000
    house.run()


def guarded(house: House) -> None:
    """What version 1 of `together` has: made before the fault is planted."""
    house.edit("pipeline.py", "seed: int) -> clew.Model", "seed: int, leaf: int) -> clew.Model")
    house.edit("pipeline.py", "min_samples_leaf=20", "min_samples_leaf=min(leaf, 200)")
    house.edit("pipeline.py", "trees, seed)\n", "trees, seed, leaf)\n")
    house.edit("pipeline.py", "    seed: int = 0,\n", "    seed: int = 0,\n    leaf: int = 20,\n")
    house.run()


def words_only(house: House) -> None:
    house.edit("pipeline.py", '"""Gradient-boosted trees', '"""Boosted trees')
    house.run()


def stale(house: House) -> None:
    """The load of 1997 read the export of 1993 and stamped it anew."""
    rows = house.sales
    again = rows.filter(pl.col("sold_on").dt.year() == 1993).with_columns(
        pl.col("sold_on").dt.offset_by("4y"), pl.col("sale_id") + "R"
    )
    house.add(pl.concat([rows.filter(pl.col("sold_on").dt.year() != 1997), again]).sort("sold_on", "sale_id"))
    house.run()


def true_rows(every: pl.DataFrame) -> tuple[str, pl.DataFrame]:
    """What was sold afterwards, at the price it had."""
    after = every.filter((pl.col("sold_on").dt.year() == 1998) & (pl.col("year_built") < 1998))
    return "sales of 1998", after.filter(pl.col("price_usd") >= 10_000)


def no_summer(house: House) -> None:
    house.add(house.sales.filter(~pl.col("sold_on").dt.month().is_in([6, 7, 8])))
    house.run()


def swapped(house: House) -> None:
    house.add(house.sales.with_columns(living_area_m2=pl.col("garage_m2"), garage_m2=pl.col("living_area_m2")))
    house.run()


def leaked(house: House) -> None:
    """A column of the new dump was filled in from the price."""
    house.add(house.sales.with_columns(garage_m2=(pl.col("price_usd") / 1000).round(1)))
    house.run()


def code_and_data(house: House) -> None:
    house.edit("pipeline.py", "estimator.fit(", "rows = rows.head(2000)\n    estimator.fit(")
    feet(house)


def harmless(seed: int) -> Callable[[House], None]:
    """A few prices corrected by 1%, some rows more and less, another seed of nothing, an edit of the wording."""

    def plant(house: House) -> None:
        rows = house.sales
        at = pl.int_range(pl.len())
        rows = rows.with_columns(
            pl.when((at * 7919 + seed) % 200 == 0)
            .then((pl.col("price_usd") * 1.01).round().cast(pl.Int64))
            .otherwise("price_usd")
            .alias("price_usd")
        ).filter((at * 104_729 + seed) % 300 != 0)
        house.add(rows)
        house.edit("houses.py", "return np.exp(log_price)", "dollars = np.exp(log_price)\n    return dollars")
        house.settings["lowest_price"] = 10_000 + seed
        house.run()

    return plant


def cases(repeats: int) -> list[Case]:
    """All of them; those that are drawn at random so many times, each with another draw."""
    seeds = range(1, repeats + 1)
    said = "harmless: 0.5% of prices by 1%, 0.3% of rows gone, wording, a limit"
    many = [(times, seed) for times in (1, 10, 60) for seed in seeds]
    lower = [(share, seed) for share in (0.1, 0.3, 0.6) for seed in seeds]
    return [
        Case("living area in square feet", feet, ("living_area_m2",)),
        Case("learning rate 0.005 beside a harmless parameter", bad_parameter, ("learning_rate",)),
        Case("a harmful edit beside a harmless refactoring", refactored, ("pipeline.train",)),
        Case("two that only hurt together", together, ("leaf", "pipeline.train")),
        Case("nothing but words", words_only),
        Case("1993 in place of 1997, on sales of 1998", stale, ("rows",), judged=true_rows),
        Case("no summer months, on sales of 1998", no_summer, ("are gone",), judged=true_rows),
        Case("living area and garage swapped", swapped, ("living_area_m2", "garage_m2")),
        Case("a column filled in from the price", leaked, ("garage_m2",)),
        Case("square feet and a harmful edit at once", code_and_data, ("living_area_m2", "pipeline.train")),
        *(Case(said, harmless(seed)) for seed in seeds),
        *(Case("a month copied", copies(times, seed), ("came to sales",), f"{times} times more")
          for times, seed in many),
        *(Case("prices lower in a square of 4 km", shifted(share, seed), ("price_usd",), f"by {share:.0%}")
          for share, seed in lower),
    ]  # fmt: skip


# ---- libraries: in environments over this one


def library_cases(base: Path, folder: Path) -> list[dict[str, Any]]:
    """A made-up library, and a real pair of scikit-learn."""
    rows = []
    wheels = folder / "wheels"
    wheels.mkdir()
    for version, factor in (("1.0", 1.0), ("2.0", 0.9)):
        _wheel(wheels, version, f"def scaled(values):\n    return values * {factor}\n")
    house = House(_copied(base, folder / "made-up"))
    house.edit("pipeline.py", "import houses\n", "import acme_scale\nimport houses\n")
    house.edit("pipeline.py", "np.log(rows[TARGET].to_numpy())", "np.log(acme_scale.scaled(rows[TARGET].to_numpy()))")
    for version in ("1.0", "2.0"):
        house.python = environments.make_over({"acme-scale": version}, folder / f"acme-{version}", wheels=wheels)
        house.run()
    rows.append(_judged(Case("a made-up library, 1.0 → 2.0", feet, ("acme-scale",)), house, (2, 3), wheels))
    old = os.environ.get("CLEW_BENCH_OLD_SKLEARN", "1.7.2")
    real = House(_copied(base, folder / "sklearn"))
    try:
        real.python = environments.make_over({"scikit-learn": old}, folder / "old")
        # KBinsDiscretizer takes other quantiles for its edges since 1.9; on these rows that shows nothing.
        real.edit("pipeline.py", "from sklearn.ensemble", BINNED_IMPORTS + "from sklearn.ensemble")
        real.edit("pipeline.py", "    estimator.fit(", BINNED + "    estimator.fit(")
        real.run()
        real.python = sys.executable
        real.run()
        rows.append(_judged(Case(f"scikit-learn {old} → {_installed()}", feet), real, (2, 3), None))
    except (clew.errors.ClewError, RuntimeError) as error:
        rows.append({"case": f"scikit-learn {old} → {_installed()}", "found": "not run", "says": str(error)[-300:]})
    return rows


def _installed() -> str:
    import importlib.metadata

    return importlib.metadata.version("scikit-learn")


def _wheel(folder: Path, version: str, code: str) -> None:
    info = f"acme_scale-{version}.dist-info"
    with zipfile.ZipFile(folder / f"acme_scale-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("acme_scale.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: acme-scale\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", WHEEL)
        archive.writestr(f"{info}/RECORD", f"acme_scale.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


# ---- measuring


def _copied(base: Path, to: Path) -> Path:
    shutil.copytree(base, to, symlinks=True)
    return to


def leaves(level: dict[str, Any]) -> list[str]:
    """What each smallest set comes to, taken apart as far as it was."""
    found = []
    for one in level["smallest"]:
        inside = level["inside"].get(one["says"])
        found += leaves(inside) if inside is not None and inside["is_loss"] else one.get("changes", [one["says"]])
    return found


def _judged(case: Case, house: House, versions: tuple[int, int], wheels: Path | None) -> dict[str, Any]:
    with clew.open_workspace(house.folder) as workspace:
        good, bad = (models.find(workspace, f"house-price@{number}") for number in versions)
        on = None if case.judged is None else case.judged(pl.read_parquet(house.folder / "all.parquet"))
        began = time.perf_counter()
        facts = bisect(good, bad, on=on, wheels=wheels, budget=60).facts()
        seconds = time.perf_counter() - began
    said = [] if facts["verdict"] not in ("found", "budget spent") else leaves(facts["found"])
    hit = [any(part in one for one in said) for part in case.expected]
    others = [one for one in said if not any(part in one for part in case.expected)]
    if not case.expected:
        result = "false accusation" if said else "right: no loss"
    elif not said:
        result = f"missed: {facts['verdict']}"
    else:
        result = ("exactly" if all(hit) and not others else "too much" if all(hit) else
                  "in part" if any(hit) else "wrong")  # fmt: skip
    level = facts["found"]
    fresh = sum(bool(one.get("fresh")) for one in facts["builds"])
    return {
        "case": case.name, "dose": case.dose, "found": result, "loss": level and level["loss"], "said": said,
        "builds": len(facts["builds"]), "fresh": fresh, "seconds": round(seconds, 1), "says": facts["says"],
    }  # fmt: skip


def bisections(base: Path, folder: Path, only: str = "", repeats: int = 1) -> Iterator[dict[str, Any]]:
    """Each case's row."""
    for number, case in enumerate(cases(repeats)):
        if only and only not in case.name:
            continue
        with _place(folder / f"case-{number}") as place:
            house = House(_copied(base, place / "house"))
            first = 1
            if case.plant is together:
                guarded(house)
                first = 2
            case.plant(house)
            with clew.open_workspace(house.folder) as workspace:
                newest = max(one.version for one in models.all_versions(workspace, "house-price"))
            if newest == first:
                row = {
                    "case": case.name, "dose": case.dose, "found": "right: no loss", "loss": None, "said": [],
                    "builds": 0, "fresh": 0, "seconds": 0.0, "says": "the same content: no new version",
                }  # fmt: skip
            else:
                row = _judged(case, house, (first, newest), None)
            yield row
            cost = f"{row['builds']} builds, {row['seconds']:.0f} s"
            print(f"{case.name} {case.dose}: {row['found']} ({cost})  {row['said']}", file=sys.stderr, flush=True)


@contextmanager
def _place(folder: Path) -> Any:
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


# ---- restore and rebuild


PLAIN = "return rows.select(*houses.INPUTS, TARGET)"
NOISE = """noise = np.random.default_rng().normal(size=rows.height).round()
    return rows.select(*houses.INPUTS, TARGET).with_columns(lot_m2=pl.col('lot_m2') + noise)"""


def rebuilds(base: Path, folder: Path) -> list[dict[str, Any]]:
    """Verdicts on planted cases, and how long each way takes."""
    rows = []

    def timed(name: str, call: Callable[[], Any], expected: str = "") -> None:
        began = time.perf_counter()
        try:
            found = call()
            said = {"verdict": found.get("verdict", "done"), "causes": found.get("causes", [])}
        except clew.errors.ClewError as error:
            said = {"verdict": type(error).__name__, "causes": [str(error)[:300]]}
        row = {"case": name, "expected": expected, **said, "seconds": round(time.perf_counter() - began, 1)}
        rows.append(row)
        print(row, file=sys.stderr, flush=True)

    from clew.models.rebuild import rebuild
    from clew.models.restore import restore
    from clew.models.wheels import keep

    def of(house: House, number: int, call: Callable[[Any], Any]) -> Any:
        with clew.open_workspace(house.folder) as workspace:
            return call(models.find(workspace, f"house-price@{number}"))

    house = House(_copied(base, folder / "plain"))
    timed("restore", lambda: of(house, 1, lambda one: restore(one, folder / "restored")))
    timed("rebuild", lambda: of(house, 1, rebuild), "identical")
    timed("wheels", lambda: of(house, 1, keep))
    timed("rebuild --offline", lambda: of(house, 1, lambda one: rebuild(one, offline=True)), "identical")
    timed("rebuild --fresh", lambda: of(house, 1, lambda one: rebuild(one, fresh=True)), "identical")
    noisy = House(_copied(base, folder / "noisy"))
    noisy.edit("pipeline.py", PLAIN, NOISE)
    noisy.run()
    timed("a step with unseeded randomness", lambda: of(noisy, 2, rebuild), "different, step features, randomness")
    timed(
        "the same, --tolerance 0.1", lambda: of(noisy, 2, lambda one: rebuild(one, tolerance=0.1)), "within-tolerance"
    )
    outside = House(_copied(base, folder / "outside"))
    level = folder / "level.txt"
    level.write_text("1.0")
    outside.edit("pipeline.py", PLAIN, f"level = float(open({str(level)!r}).read())\n    "
                 + PLAIN + ".with_columns(lot_m2=pl.col('lot_m2') * level)")  # fmt: skip
    outside.run()
    level.write_text("2.0")
    timed("a file that a step reads, changed since", lambda: of(outside, 2, rebuild), "different, a source outside")
    level.unlink()
    timed("the same file, gone", lambda: of(outside, 2, rebuild), "an error that names it")
    wheels = folder / "wheels"
    over = House(_copied(base, folder / "over"))
    over.edit("pipeline.py", "import houses\n", "import acme_scale\nimport houses\n")
    over.edit("pipeline.py", "np.log(rows[TARGET].to_numpy())", "np.log(acme_scale.scaled(rows[TARGET].to_numpy()))")
    over.python = environments.make_over({"acme-scale": "1.0"}, folder / "acme", wheels=wheels)
    over.run()
    timed("a library that no index has", lambda: of(over, 2, rebuild), "an error that says so")
    return rows


def run(folder: Path, only: str = "", repeats: int = 1, keep: Keep = lambda _found: None) -> dict[str, Any]:
    """All of it, as JSON; `keep` is given what there is so far, after each case."""
    # Builds stand side by side already: more threads than cores wait for each other.
    os.environ |= {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    (folder / "base").mkdir()
    base = begin(folder / "base").folder
    found: dict[str, Any] = {"trees": TREES, "repeats": repeats, "bisect": []}
    for row in bisections(base, folder, only, repeats):
        found["bisect"].append(row)
        keep(found)
    if not only:
        (folder / "libraries").mkdir()
        found["bisect"] += library_cases(base, folder / "libraries")
        keep(found)
        (folder / "rebuild").mkdir()
        shutil.copytree(folder / "libraries" / "wheels", folder / "rebuild" / "wheels")
        found["rebuild"] = rebuilds(base, folder / "rebuild")
        keep(found)
    return found


def printed(found: dict[str, Any]) -> str:
    """As tables in Markdown."""
    lines = ["| planted | dose | answer | loss in mae | builds | fresh | s |", "|---|---|---|---:|---:|---:|---:|"]
    for row in found["bisect"]:
        loss = row.get("loss")
        lines.append(
            f"| {row['case']} | {row.get('dose', '')} | {row['found']} | {f'{loss[0]:+,.0f}' if loss else '–'} | "
            f"{row.get('builds', '–')} | {row.get('fresh', '–')} | {row.get('seconds', '–')} |"
        )
    if "rebuild" in found:
        lines += ["", "| rebuilt | expected | verdict | causes | s |", "|---|---|---|---|---:|"]
        lines += [
            f"| {row['case']} | {row['expected']} | {row['verdict']} | "
            f"{'; '.join(row['causes']).replace(chr(10), ' ')[:200]} | {row['seconds']} |"
            for row in found["rebuild"]
        ]
    return "\n".join(lines)
