"""Environments made again from a recorded lock: a virtual environment of their own, or over the one of this process."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import clew
from clew.errors import OutsideError

Lock = Mapping[str, str]
"""Version by distribution."""


def read_lock(text: str) -> dict[str, str]:
    """A lock in pip's format, a line for each distribution, as versions by name."""
    pairs = (line.partition("==") for line in text.splitlines() if "==" in line)
    return {name: version for name, _, version in pairs}


def make(lock: Lock, folder: Path, *, wheels: Path | None = None) -> str:
    """A new virtual environment with all of a lock, and clew itself from where it runs now; gives its Python.

    Args:
        lock: what is to be installed; clew's own line is left aside.
        folder: where to make it.
        wheels: a folder of wheels that has everything: then no index is asked.

    Raises OutsideError when it can't be made.
    """
    python = _venv(folder)
    _install(python, folder, [f"{name}=={version}" for name, version in lock.items() if name != "clew"], wheels)
    source = Path(clew.__file__).resolve().parents[2]
    if (source / "pyproject.toml").exists():
        _show(folder, [str(source / "src")])
    else:
        _install(python, folder, [f"clew=={clew.__version__}"], wheels)
    return python


def make_over(different: Lock, folder: Path, *, wheels: Path | None = None) -> str:
    """A virtual environment that has some distributions of its own, and all others from this process's; its Python.

    Raises OutsideError when it can't be made.
    """
    python = _venv(folder)
    _install(python, folder, [f"{name}=={version}" for name, version in different.items()], wheels)
    # Behind its own, so that these go first. "dist-packages" is what Debian calls them.
    _show(
        folder, [one for one in sys.path if Path(one).name in ("site-packages", "dist-packages") and Path(one).is_dir()]
    )
    source = Path(clew.__file__).resolve().parents[1]
    _show(folder, [str(source)])
    return python


def _venv(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OutsideError(
            f"a virtual environment can't be made: {done.stderr[-500:]}",
            mend="install Python's venv module, and see that there is space in the folder for temporary files",
        )
    return str(folder / "bin" / "python")


def _show(folder: Path, places: Sequence[str]) -> None:
    """Let the environment see other places too, behind its own."""
    site = next((folder / "lib").glob("python*")) / "site-packages"
    known = (site / "others.pth").read_text() if (site / "others.pth").exists() else ""
    (site / "others.pth").write_text(known + "".join(f"{place}\n" for place in places))


def _install(python: str, folder: Path, wanted: Sequence[str], wheels: Path | None) -> None:
    if not wanted:
        return
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(wanted) + "\n")
    offline = ["--no-index", "--find-links", str(wheels)] if wheels else []
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv:
        # Where temporary files lie on another disk than uv's cache, links can't be made: that is no warning's worth.
        command = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", *offline, "-r", str(listed)]
    else:
        command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", *offline]
        command += ["-r", str(listed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OutsideError(
            f"the recorded environment can't be made: {done.stderr[-2000:]}",
            mend="see that the index is reached and still has these versions; or keep wheels with the workspace: "
            "clew model wheels REF",
        )
