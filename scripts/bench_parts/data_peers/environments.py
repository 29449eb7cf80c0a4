"""The peers, each installed in an environment of the benchmark's own, and started so that none uses the network."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from .rows import progress

PEERS: Final = {
    "dvc": ("dvc==3.67.1",),
    "deltalake": ("deltalake==1.6.6", "pyarrow==26.0.1"),
    "pylance": ("pylance==14.0.2", "pyarrow==26.0.1"),
}
_PROGRAM: Final = Path(__file__).with_name("peer_program.py")


def cache_folder() -> Path:
    """Where the environments are kept: CLEW_BENCH_ENVS, or a folder of the user's cache."""
    named = os.environ.get("CLEW_BENCH_ENVS")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clew-bench"


def environment(peer: str) -> Path:
    """The folder of a peer's programs, installed when it isn't yet. Raises SystemExit when that fails."""
    return installed(peer, PEERS[peer])


@cache
def installed(peer: str, wanted: tuple[str, ...]) -> Path:
    """The folder of the programs of what is wanted, in an environment of its own; as `environment` otherwise."""
    folder = cache_folder() / f"{peer}-python{sys.version_info.major}.{sys.version_info.minor}"
    stamp = folder / "installed.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != list(wanted):
        progress(f"installing {' '.join(wanted)} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            _install(folder, wanted)
        except (OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise SystemExit(f"{peer} could not be installed ({error}); the benchmark needs it once") from error
        stamp.write_text(json.dumps(list(wanted)))
    return folder / "bin"


def _install(folder: Path, wanted: tuple[str, ...]) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    python = str(folder / "bin" / "python")
    if uv is not None:
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        # Compiled once, here: a first start that compiles would be counted against the peer.
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted]
    else:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [python, "-m", "pip", "install", "--quiet", *wanted]
    subprocess.run(install, check=True)


def versions(peers: Mapping[str, tuple[str, ...]] = PEERS) -> dict[str, str]:
    """The version of each peer that is installed."""
    found = {}
    for peer, wanted in peers.items():
        code = f"import importlib.metadata as m; print(m.version({peer!r}))"
        found[peer] = subprocess.run(
            [installed(peer, wanted) / "python", "-I", "-c", code], check=True, capture_output=True, text=True
        ).stdout.strip()
    return found


def table_peer(peer: str, what: str, source: Path, target: Path) -> dict[str, Any]:
    """One act of deltalake or pylance in a process of its own: `overwrite`, `read`. Times are without its start."""
    command = [str(environment(peer) / "python"), "-I", str(_PROGRAM), peer, what, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{peer} {what} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@dataclass(frozen=True)
class Dvc:
    """A DVC repository without git, its state and settings in a folder beside it."""

    folder: Path

    @property
    def settings(self) -> dict[str, str]:
        """The environment that keeps DVC to this folder and off the network."""
        beside = self.folder.parent / (self.folder.name + "-state")
        return {
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(beside / "site"),
            "DVC_GLOBAL_CONFIG_DIR": str(beside / "global"),
            "DVC_SYSTEM_CONFIG_DIR": str(beside / "system"),
        }

    def command(self, *words: str) -> list[str]:
        """A command of DVC, to run in the repository with its settings."""
        return [str(environment("dvc") / "dvc"), *words]

    def run(self, *words: str) -> None:
        """Run a command that isn't measured. Raises RuntimeError with what DVC said."""
        done = subprocess.run(
            self.command(*words), cwd=self.folder, env=os.environ | self.settings, capture_output=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"dvc {' '.join(words)} failed: {done.stderr.decode()[-2000:]}")

    @classmethod
    def create(cls, folder: Path) -> "Dvc":
        """A new repository: no git, no analytics, no look for updates."""
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder)
        for name in ("site", "global", "system"):
            (folder.parent / (folder.name + "-state") / name).mkdir(parents=True, exist_ok=True)
        made.run("init", "--no-scm", "--quiet")
        made.run("config", "core.analytics", "false")
        made.run("config", "core.check_update", "false")
        return made
