"""The peers: what is installed for each, and how its program is started, kept to a folder and off the network."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

from scripts.bench_parts.data_peers.environments import installed

PEERS: Final[dict[str, tuple[str, ...]]] = {
    "dvc": ("dvc==3.67.1",),
    "joblib": ("joblib==1.6.0", "numpy<3", "polars==2.1.0"),
    "kedro": ("kedro==1.7.0",),
    "metaflow": ("metaflow==2.19.39",),
    "redun": ("redun==0.44.1",),
    "sf-hamilton": ("sf-hamilton==1.90.0",),
}
PROGRAMS: Final = Path(__file__).with_name("programs")
_LONGEST: Final = 900


def binaries(peer: str) -> Path:
    """The folder of a peer's programs."""
    return installed(peer, PEERS[peer])


def program(peer: str, *words: str) -> dict[str, Any]:
    """What the program of a peer that is a library prints. Raises RuntimeError with what it said when it fails."""
    file = PROGRAMS / f"{peer.removeprefix('sf-')}_program.py"
    command = [str(binaries(peer) / "python"), "-I", str(file), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST)
    if done.returncode:
        raise RuntimeError(f"{peer} {' '.join(words)} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def metaflow_settings(folder: Path) -> dict[str, str]:
    """The environment that keeps Metaflow to a folder."""
    return {
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": os.fspath(folder),
        "METAFLOW_HOME": os.fspath(folder),
        "METAFLOW_USER": "bench",
        "METAFLOW_DEFAULT_METADATA": "local",
        "METAFLOW_DEFAULT_DATASTORE": "local",
    }


def metaflow(flow: str, *words: str) -> list[str]:
    """A command of Metaflow, to be run in the flow's folder."""
    return [str(binaries("metaflow") / "python"), flow, "--no-pylint", "--quiet", *words]
