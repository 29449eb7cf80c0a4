"""The README's own example, run as it stands there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl

README = Path(__file__).parent.parent / "README.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_example_works_as_it_stands(tmp_path: Path) -> None:
    script, pipeline = _blocks("python")
    rooms = [1 + at % 6 for at in range(400)]
    area = [20.0 * room + at % 17 for at, room in enumerate(rooms)]
    price = [1000.0 * one + 500 * room for one, room in zip(area, rooms, strict=True)]
    pl.DataFrame({"id": range(400), "rooms": rooms, "area": area, "price": price}).write_csv(tmp_path / "sales.csv")
    (tmp_path / "pipeline.py").write_text(pipeline)
    (tmp_path / "script.py").write_text(script)
    environment = {name: value for name, value in os.environ.items() if name != "CLEW_WORKSPACE"}
    for command in (["-m", "clew.cli", "init"], ["script.py"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "price@1" in done.stdout
    assert "sales@1" in done.stdout


def test_the_request_of_the_example_fits_the_model() -> None:
    shell = "\n".join(_blocks("sh"))
    found = re.search(r"-d '(\{.*?\})'", shell)
    assert found is not None
    record = json.loads(found[1])["dataframe_records"][0]
    assert {"rooms", "area"} <= record.keys()
