"""Wheels kept with the workspace, so that an environment can be made again when no index has its parts any more.

A wheel is packed from what is installed: the very files that ran, by the installation's own list of them (PEP 376,
PEP 427). Scripts that installers make from entry points are left to the installer.
"""

import base64
import configparser
import csv
import hashlib
import importlib.metadata
import io
import json
import os
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, Final

import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import ArtifactSpec, EndRun, FinishStep, StartRun
from clew.catalog.tables import builds
from clew.errors import NotFoundError, RefusedError
from clew.models import environments
from clew.models.registry import ModelVersion
from clew.pipelines import environment
from clew.workspace import Workspace

_FIXED: Final = (1980, 1, 1, 0, 0, 0)
_MADE_ANEW: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
_PYTHON: Final = re.compile(rb"\A#![^\n]*python[^\n]*\n")
"""The first line of a script, which names the environment that it was installed in."""
_Entry = tuple[str, bytes, bool]
"""A file of a wheel: its path, its bytes, whether it may be run."""


def keep(version: ModelVersion) -> dict[str, Any]:
    """Keep a wheel of each distribution of a version's environment; those that are kept already stay.

    Raises RefusedError when this process has other versions than the recorded ones: it can't pack those.
    """
    workspace = version.workspace
    run = workspace.catalog.get(builds.runs, version.run_id)
    if run.environment_id is None:
        raise RefusedError(f"{version.reference} is {version.provenance}: its environment was never captured")
    recorded = workspace.catalog.get(builds.environments, str(run.environment_id))
    lock = environments.read_lock(workspace.objects.get(recorded.digest).decode())
    lock.pop("clew", None)
    here = environments.read_lock(environment.current().lock)
    different = [f"{name}=={wanted}" for name, wanted in lock.items() if here.get(name) != wanted]
    if different:
        raise RefusedError(
            f"{len(different)} distributions of {version.reference} aren't installed here as they were: "
            f"{', '.join(different[:5])}",
            mend="run this where it was trained, or in an environment with the lock of clew model restore",
        )
    known = _kept(workspace, recorded.content_id)
    made: dict[str, ArtifactSpec] = {}
    skipped = []
    for name in lock:
        if name in known:
            continue
        distribution = importlib.metadata.distribution(name)
        if _is_editable(distribution):
            skipped.append(name)  # its code is captured with each run
            continue
        file, body = pack(distribution)
        info = workspace.objects.put(body)
        made[file] = ArtifactSpec(
            kind="wheel", content_id=f"w1:{info.digest}", digest=info.digest, bytes=info.size, rows=None
        )
    if made:
        _record(workspace, recorded, made)
    return {
        "model": version.reference,
        "environment": recorded.content_id,
        "kept": len(known) + len(made),
        "new": len(made),
        "bytes": sum(spec.bytes for spec in made.values()),
        "skipped": skipped,
    }


def lay_out(workspace: Workspace, recorded: sa.Row[Any], folder: Path) -> Path:
    """The wheels of an environment in a folder.

    Raises NotFoundError when some aren't kept, IntegrityError when one is damaged.
    """
    lock = environments.read_lock(workspace.objects.get(recorded.digest).decode())
    kept = _kept(workspace, recorded.content_id)
    missing = sorted(lock.keys() - kept.keys() - {"clew"})
    if missing:
        raise NotFoundError(
            f"no wheels are kept for {len(missing)} of {len(lock)} distributions: {', '.join(missing[:5])}",
            mend="clew model wheels REF, where it was trained; or rebuild without --offline",
        )
    folder.mkdir()
    for file, digest in kept.values():
        workspace.objects.verify(digest)
        (folder / file).write_bytes(workspace.objects.get(digest))
    return folder


def pack(distribution: importlib.metadata.Distribution) -> tuple[str, bytes]:
    """An installed distribution as a wheel: its file name, and its bytes. The same each time.

    Raises RefusedError for one that has no list of its files.
    """
    name = str(distribution.metadata["Name"])
    if distribution.files is None:
        raise RefusedError(f"{name} has no list of its files", mend=f"pip install --force-reinstall {name}")
    folder = f"{name.replace('-', '_').replace('.', '_')}-{distribution.version}"
    own = {str(file): file for file in distribution.files}
    info = next((path.partition("/")[0] for path in own if path.partition("/")[0].endswith(".dist-info")), None)
    if info is None:
        raise RefusedError(
            f"{name} was installed in a way that keeps no .dist-info, so it can't be packed",
            mend=f"pip install --force-reinstall {name}",
        )
    generated = _scripts(distribution)
    entries: list[_Entry] = []
    for path, file in sorted(own.items()):
        place = Path(str(file.locate()))
        parts = PurePosixPath(path).parts
        if path.endswith(".pyc") or (parts[0] == info and parts[-1] in _MADE_ANEW) or not place.is_file():
            continue
        if ".." not in parts:
            entries.append((path, place.read_bytes(), os.access(place, os.X_OK)))
            continue
        inner = [part for part in parts if part != ".."]
        if inner[0] in ("bin", "Scripts"):
            if inner[-1] not in generated:
                body = _PYTHON.sub(rb"#!python\n", place.read_bytes(), count=1)
                entries.append((f"{info.removesuffix('.dist-info')}.data/scripts/{inner[-1]}", body, True))
        else:
            body, may_run = place.read_bytes(), os.access(place, os.X_OK)
            entries.append((f"{info.removesuffix('.dist-info')}.data/data/{'/'.join(inner)}", body, may_run))
    return f"{folder}-{_tag(distribution)}.whl", _zipped(entries, info)


def _zipped(entries: list[_Entry], info: str) -> bytes:
    record = io.StringIO()
    writer = csv.writer(record, lineterminator="\n")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:

        def write(path: str, body: bytes, *, may_run: bool) -> None:
            one = zipfile.ZipInfo(path, _FIXED)
            one.external_attr = (0o100755 if may_run else 0o100644) << 16
            archive.writestr(one, body, zipfile.ZIP_DEFLATED, compresslevel=1)

        for path, body, may_run in entries:
            write(path, body, may_run=may_run)
            digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
            writer.writerow((path, f"sha256={digest}", len(body)))
        writer.writerow((f"{info}/RECORD", "", ""))
        write(f"{info}/RECORD", record.getvalue().encode(), may_run=False)
    return buffer.getvalue()


def _scripts(distribution: importlib.metadata.Distribution) -> set[str]:
    """The names of scripts that an installer makes by itself."""
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(distribution.read_text("entry_points.txt") or "")
    return {name for group in ("console_scripts", "gui_scripts") if group in parser for name in parser[group]}


def _tag(distribution: importlib.metadata.Distribution) -> str:
    """What the wheel runs on, as its file name says it: tags of one kind joined by dots."""
    lines = (distribution.read_text("WHEEL") or "Tag: py3-none-any").splitlines()
    tags = [line.partition(":")[2].strip().split("-") for line in lines if line.startswith("Tag:")]
    return "-".join(".".join(dict.fromkeys(tag[part] for tag in tags)) for part in range(3))


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    said = distribution.read_text("direct_url.json")
    return said is not None and bool(json.loads(said).get("dir_info", {}).get("editable"))


def _normal(name: str) -> str:
    """A distribution's name as locks write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _run_name(content_id: str) -> str:
    return f"wheels {content_id}"


def _kept(workspace: Workspace, content_id: str) -> dict[str, tuple[str, str]]:
    """The wheels that are kept for an environment: by distribution, file name and digest."""
    r, s, x, a = builds.runs.c, builds.steps.c, builds.step_artifacts.c, builds.artifacts.c
    rows = workspace.catalog.rows(
        sa.select(x.name, a.digest)
        .select_from(builds.runs)
        .join(builds.steps, s.run_id == r.id)
        .join(builds.step_artifacts, x.step_id == s.id)
        .join(builds.artifacts, a.id == x.artifact_id)
        .where(r.name == _run_name(content_id), x.direction == "out", a.kind == "wheel", a.state == "live")
    )
    return {_normal(row.name.partition("-")[0]): (row.name, row.digest) for row in rows}


def _record(workspace: Workspace, recorded: sa.Row[Any], made: dict[str, ArtifactSpec]) -> None:
    run_id = workspace.catalog.execute(
        StartRun(
            name=_run_name(recorded.content_id),
            pipeline="wheels",
            entry="",
            provenance="declared",
            code_id=None,
            environment_id=str(recorded.id),
            parameters={},
            criteria=[],
            inputs={},
            occurred_at=now(),
        )
    )
    workspace.catalog.execute(
        FinishStep(
            run_id=run_id, ordinal=0, name="wheels", state="ran", cache_key=None, key_parts=None,
            why=f"{len(made)} wheels", inputs={}, outputs=made, started_at=now(),
        )
    )  # fmt: skip
    workspace.catalog.execute(EndRun(run_id=run_id, state="done", error=None))
