"""The environment of a run: what is installed, Python, platform, and the settings that matter."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from clew.catalog.commands import RecordEnvironment
from clew.workspace import Workspace

_SETTINGS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS", "VECLIB_MAXIMUM_THREADS", "PYTHONHASHSEED", "PYTHONOPTIMIZE", "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC", "XLA_FLAGS",
)  # fmt: skip
"""Variables that say how many threads there are, and what is left to chance."""


@dataclass(frozen=True)
class Environment:
    """What code ran on. The lock is in pip's format: a line for each distribution, by name.

    The settings hold beside it the hash of each distribution's list of files, which has their hashes ("files"), and
    where those came from that no index has ("origins"); the number of cores, and variables that change results.
    """

    lock: str
    python: str
    platform: str
    settings: dict[str, Any]

    @functools.cached_property
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
    origins = {}
    files = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if not name:
            continue
        plain = _plain(name)
        if plain in ("pip", "uv", "setuptools"):
            continue  # tools that install; nothing that runs depends on them
        if plain in files:
            continue  # of two in different places the first is imported, as in an environment over another
        lines.add(f"{plain}=={distribution.version}")
        files[plain] = hashlib.sha256((distribution.read_text("RECORD") or "").encode()).hexdigest()
        direct = distribution.read_text("direct_url.json")
        if direct is not None:
            # Installed from a folder or a commit: its version says little, the hashes of its files say all.
            unpublished[plain] = files[plain]
            origins[plain] = origin(direct)
    unpublished.pop("clew", None)
    settings: dict[str, Any] = {"cpus": os.cpu_count(), "files": dict(sorted(files.items()))}
    if origins:
        settings["origins"] = dict(sorted(origins.items()))
    settings |= {name: os.environ[name] for name in _SETTINGS if name in os.environ}
    if unpublished:
        settings["unpublished"] = dict(sorted(unpublished.items()))
    return Environment(
        lock="\n".join(sorted(lines)) + "\n",
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}".lower(),
        settings=settings,
    )


def origin(direct_url: str) -> dict[str, Any]:
    """Where a distribution was installed from, as its `direct_url.json` (PEP 610) says, without credentials."""
    try:
        said = json.loads(direct_url)
        parts = urlsplit(str(said["url"]))
    except (ValueError, KeyError, TypeError):
        return {}
    found: dict[str, Any] = {
        "url": urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")),
        "commit": said.get("vcs_info", {}).get("commit_id"),
        "hashes": said.get("archive_info", {}).get("hashes"),
        "editable": said.get("dir_info", {}).get("editable"),
    }
    return {key: value for key, value in found.items() if value}


def platform_of_results() -> str:
    """Python's minor version and the kind of machine: what results may differ by between machines alike."""
    return f"python {'.'.join(platform.python_version_tuple()[:2])}, {current().platform}"


_ALWAYS = ("clew", "polars", "pyarrow", "numpy")  # which hand everything over
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)""")
_MAKERS = re.compile(r"(tests?|testing|dev|devel|development|docs?|documentation|lint|typing|mypy|ci|release)\b")


def versions(modules: frozenset[str]) -> dict[str, str] | None:
    """The versions of the distributions that modules belong to, and of all that these require.

    None when a module belongs to none that is known: then it can't be told.
    """
    return _versions_for(modules, current().content_id)


@functools.lru_cache(maxsize=1000)
def _versions_for(modules: frozenset[str], _environment_id: str) -> dict[str, str] | None:
    found = {_plain(name): _version(name) for name in _ALWAYS}
    waiting = ["polars", "pyarrow", "numpy"]
    for module in modules - sys.stdlib_module_names - {"clew"}:
        owners = _owners(module)
        if not owners:
            return None
        waiting += owners
    met = set()
    while waiting:
        name = _plain(waiting.pop())
        if name in met:
            continue
        met.add(name)
        found[name] = _version(name)
        waiting += _required(name)
    return {name: version for name, version in sorted(found.items()) if version is not None}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(name: str) -> str | None:
    """The version that is installed; of what was installed from a folder, the hash of its files with it."""
    return _locked(current()).get(name)


@functools.lru_cache(maxsize=4)
def _versions_in(lock: str) -> dict[str, str]:
    return dict(line.split("==", 1) for line in lock.splitlines())


def _locked(environment: Environment) -> dict[str, str]:
    found = _versions_in(environment.lock)
    own = environment.settings.get("unpublished", {})
    return found | {name: f"{found.get(name)} {digest[:12]}" for name, digest in own.items()} if own else found


@functools.cache
def _required(name: str) -> tuple[str, ...]:
    """What a distribution requires, extras too: it may use what is there. What only its makers need doesn't count."""
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    extras = [match[1] if (match := _EXTRA.search(line)) else "" for line in lines]
    return tuple(
        _plain(match.group())
        for line, extra in zip(lines, extras, strict=True)
        if not _MAKERS.match(extra) and (match := _NAME.match(line))
    )


@functools.cache
def _owners(module: str) -> tuple[str, ...]:
    """The distributions that a top-level module belongs to."""
    if _version(_plain(module)) is not None:
        return (module,)
    return tuple(_by_module().get(module, ()))


@functools.cache
def _by_module() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


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
