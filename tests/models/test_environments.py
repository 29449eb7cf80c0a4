"""Wheels packed from what is installed, and environments made from them, without any index."""

import base64
import hashlib
import importlib.metadata
import subprocess
import zipfile
from pathlib import Path

import pytest

from clew.errors import OutsideError, RefusedError
from clew.models import environments, wheels

INFO = "acme_tool-1.2.dist-info"
FILES = {
    "acme_tool/__init__.py": "VALUE = 12\n",
    "acme_tool/data/table.csv": "a,b\n1,2\n",
    "acme_tool/bin/helper": "#!/bin/sh\necho helped\n",
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: Acme.Tool\nVersion: 1.2\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n",
    f"{INFO}/entry_points.txt": "[console_scripts]\nacme = acme_tool:main\n",
    "acme_tool-1.2.data/scripts/acme-old": "#!python\nprint('old')\n",
    "acme_tool-1.2.data/data/share/acme/notes.txt": "notes\n",
}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder with one wheel: a package with data, a program, a script of its own and one by an entry point."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "acme_tool-1.2-py2.py3-none-any.whl", "w") as archive:
        record = []
        for path, text in FILES.items():
            one = zipfile.ZipInfo(path)
            one.external_attr = (0o100755 if path.endswith("helper") else 0o100644) << 16
            archive.writestr(one, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(text)}\n")
        archive.writestr(f"{INFO}/RECORD", "".join(record) + f"{INFO}/RECORD,,\n")
    return folder


def _installed(python: str) -> importlib.metadata.Distribution:
    site = next((Path(python).parent.parent / "lib").glob("python*")) / "site-packages"
    return next(iter(importlib.metadata.distributions(name="acme-tool", path=[str(site)])))


def _files(python: str) -> dict[str, bytes]:
    """The files of the distribution, but for what each installer writes by itself."""
    files = _installed(python).files or []
    return {
        str(file): Path(str(file.locate())).read_bytes()
        for file in files
        if file.name not in ("RECORD", "INSTALLER", "REQUESTED", "uv_cache.json", "acme", "acme-old")
        and not str(file).endswith(".pyc")
    }


def test_what_is_packed_and_installed_again_is_the_same(index: Path, tmp_path: Path) -> None:
    first = environments.make_over({"acme-tool": "1.2"}, tmp_path / "first", wheels=index)
    name, body = wheels.pack(_installed(first))
    assert name == "Acme_Tool-1.2-py2.py3-none-any.whl"
    assert wheels.pack(_installed(first)) == (name, body)
    own = tmp_path / "own"
    own.mkdir()
    (own / name).write_bytes(body)
    second = environments.make_over({"acme-tool": "1.2"}, tmp_path / "second", wheels=own)
    assert _files(first) == _files(second)
    assert any(path.endswith("share/acme/notes.txt") for path in _files(second))
    # A script names the environment that it is in, and what could be run still can be.
    place = Path(second).parent
    assert str(place) in (place / "acme-old").read_text().splitlines()[0]
    assert (place / "acme").is_file()
    helper = next((place.parent / "lib").glob("python*")) / "site-packages" / "acme_tool" / "bin" / "helper"
    assert subprocess.run([helper], capture_output=True, text=True, check=True).stdout == "helped\n"


def test_an_environment_over_this_one_sees_its_own_first_and_all_others(index: Path, tmp_path: Path) -> None:
    python = environments.make_over({"acme-tool": "1.2"}, tmp_path / "over", wheels=index)
    code = "import acme_tool, clew, polars; print(acme_tool.VALUE, clew.__file__, polars.__version__)"
    value, place, version = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    import clew

    assert (value, place, version) == ("12", clew.__file__, importlib.metadata.version("polars"))


def test_an_environment_of_its_own_has_the_lock_and_nothing_else(index: Path, tmp_path: Path) -> None:
    lock = environments.read_lock("# a lock\nacme-tool==1.2\nclew==9.9\n")
    assert lock == {"acme-tool": "1.2", "clew": "9.9"}
    python = environments.make(lock, tmp_path / "alone", wheels=index)
    code = "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('acme_tool', 'clew', 'polars')])"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True, False]\n"


def test_what_no_folder_has_is_said_with_the_mend(index: Path, tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match="clew model wheels"):
        environments.make_over({"acme-tool": "3.0"}, tmp_path / "over", wheels=index)


def test_a_distribution_without_a_list_of_its_files_is_refused(tmp_path: Path) -> None:
    bare = tmp_path / "bare-1.0.dist-info"
    bare.mkdir()
    (bare / "METADATA").write_text("Metadata-Version: 2.1\nName: bare\nVersion: 1.0\n")
    [found] = importlib.metadata.distributions(name="bare", path=[str(tmp_path)])
    with pytest.raises(RefusedError, match="no list of its files"):
        wheels.pack(found)
    egg = tmp_path / "eggs" / "old-1.0.egg-info"
    egg.mkdir(parents=True)
    (egg / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: old\nVersion: 1.0\n")
    (egg / "SOURCES.txt").write_text("old.py\n")
    (tmp_path / "eggs" / "old.py").write_text("")
    [found] = importlib.metadata.distributions(name="old", path=[str(tmp_path / "eggs")])
    with pytest.raises(RefusedError, match=r"no \.dist-info"):
        wheels.pack(found)


def test_of_a_distribution_that_stands_in_two_places_the_first_is_recorded(index: Path, tmp_path: Path) -> None:
    """Else the key of a step, and the lock, would name a version that nothing imports."""
    wheel = index / "packaging-0.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "packaging-0.1.dist-info"
        archive.writestr("packaging/__init__.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: packaging\nVersion: 0.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(
            f"{info}/RECORD", f"packaging/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    python = environments.make_over({"packaging": "0.1"}, tmp_path / "over", wheels=index)
    code = (
        "from clew.pipelines import environment as e; print([x for x in e.current().lock.split() if 'packaging' in x])"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "['packaging==0.1']\n"
