"""The environment of a run: what is installed, Python, platform, and the settings that matter."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
from dataclasses import dataclass
from typing import Any

from clew.catalog.commands import RecordEnvironment
from clew.workspace import Workspace

_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED", "POLARS_MAX_THREADS")


@dataclass(frozen=True)
class Environment:
    """What code ran on. The lock is in pip's format: a line for each distribution, by name."""

    lock: str
    python: str
    platform: str
    settings: dict[str, Any]

    @property
    def content_id(self) -> str:
        """The id of what a result may depend on: the lock, Python's version, the platform."""
        parts: list[Any] = [self.lock, self.python, self.platform]
        if "unpublished" in self.settings:
            parts.append(self.settings["unpublished"])
        text = json.dumps(parts)
        return f"e1:{hashlib.sha256(text.encode()).hexdigest()}"


@functools.cache
def current() -> Environment:
    """The environment of this process."""
    lines = set()
    unpublished = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if not name:
            continue
        plain = re.sub(r"[-_.]+", "-", name).lower()
        if plain in ("pip", "uv", "setuptools"):
            continue  # tools that install; nothing that runs depends on them
        lines.add(f"{plain}=={distribution.version}")
        if distribution.read_text("direct_url.json") is not None:
            # Installed from a folder or a commit: its version says little, the hashes of its files say all.
            unpublished[plain] = hashlib.sha256((distribution.read_text("RECORD") or "").encode()).hexdigest()
    unpublished.pop("clew", None)
    settings: dict[str, Any] = {"cpus": os.cpu_count()}
    settings |= {name: os.environ[name] for name in _SETTINGS if name in os.environ}
    if unpublished:
        settings["unpublished"] = dict(sorted(unpublished.items()))
    return Environment(
        lock="\n".join(sorted(lines)) + "\n",
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}".lower(),
        settings=settings,
    )


def record(workspace: Workspace, environment: Environment) -> str:
    """Keep the environment in the workspace; give its id in the catalog."""
    info = workspace.objects.put(environment.lock.encode())
    environment_id: str = workspace.catalog.execute(
        RecordEnvironment(
            content_id=environment.content_id,
            digest=info.digest,
            python=environment.python,
            platform=environment.platform,
            settings=environment.settings,
        )
    )
    return environment_id
