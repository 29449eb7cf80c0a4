"""Restoring a version: a folder with its code, data, parameters, environment and model, and how to run it again."""

import io
import json
import shlex
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import builds, data
from clew.data import Snapshot, checkout, files, policies
from clew.data import by_id as snapshot_by_id
from clew.errors import RefusedError
from clew.models.registry import ModelVersion

_README = """# {reference}

Restored from a clew workspace. What is here:

| | |
|---|---|
| `code/` | the Python files of the run ({code_id}{commit}) |
| `data/` | the snapshots that it read: {snapshots} |
| `model/` | the registered model ({model_id}), as one package, with an example of its input |
| `parameters.json` | the parameters of the run |
| `environment/` | the lock of what was installed (Python {python}, {platform}) |
| `provenance.json` | everything that is recorded of the version |

How to build it again, in an environment with `environment/requirements.txt` installed:

```sh
{commands}
```

Provenance: {provenance}. {promise}
"""
_PROMISE = {
    "recorded": "Inputs, code, parameters and environment were captured: these commands should give the same again.",
    "declared": "A script said what it used: what it did not say is not here.",
    "imported": "It came from elsewhere: only what came with it is here.",
}


@dataclass(frozen=True)
class Recipe:
    """How to build a version again: commands for a folder that was restored, in order."""

    commands: list[list[str]]
    roles: dict[str, str]  # role → reference in the new workspace


def restore(version: ModelVersion, dest: Path) -> dict[str, Any]:
    """Lay a version out in an empty folder; the workspace alone is needed, not the original sources.

    Raises RefusedError when the folder isn't empty, or the version came from elsewhere with no code to restore.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise RefusedError(f"{dest} is not an empty folder", mend="name another folder, or empty it")
    version.require_bytes()
    run = version.workspace.catalog.get(builds.runs, version.run_id)
    if run.code_id is None or run.environment_id is None:
        raise RefusedError(
            f"{version.reference} is {version.provenance}: its code and environment were never captured",
            mend=f"clew model show {version.reference} says what is known",
        )
    snapshots = _snapshots(version)
    _require_live(version, snapshots)
    dest.mkdir(parents=True, exist_ok=True)
    unfinished = dest / ".unfinished"
    unfinished.touch()
    code = version.workspace.catalog.get(builds.codes, str(run.code_id))
    environment = version.workspace.catalog.get(builds.environments, str(run.environment_id))
    _write_code(version, code.digest, dest / "code")
    for snapshot in snapshots.values():
        target = data_path(dest, snapshot)
        if not target.exists():
            checkout(snapshot, target)
    (dest / "model").mkdir()
    package = version.workspace.objects.open_path(version.digest)
    shutil.copyfile(package, dest / "model" / "package.zip")
    with zipfile.ZipFile(package) as archive:
        (dest / "model" / "example.json").write_bytes(archive.read("example.json"))
    (dest / "environment").mkdir()
    (dest / "environment" / "requirements.txt").write_bytes(version.workspace.objects.get(environment.digest))
    about = {
        "model": version.reference,
        "state": version.state,
        "provenance": version.provenance,
        "id": version.content_id,
        "metrics": dict(version.metrics),
        "verdicts": version.verdicts,
        "inputs": version.inputs(),
        "code": code.content_id,
        "git_commit": code.git_commit,
        "environment": {"id": environment.content_id, "python": environment.python, "settings": environment.settings},
        "run": version.run_id,
    }
    (dest / "provenance.json").write_text(json.dumps(about, indent=2, default=str) + "\n")
    (dest / "parameters.json").write_text(json.dumps(run.parameters, indent=2) + "\n")
    recipe = make_recipe(version, dest)
    names = ", ".join(f"{one.reference} ({one.content_id[:13]}…)" for one in snapshots.values())
    (dest / "README.md").write_text(
        _README.format(
            reference=version.reference,
            code_id=code.content_id[:13] + "…",
            commit=f", commit {code.git_commit[:12]}{' with changes' if code.git_dirty else ''}"
            if code.git_commit
            else "",
            snapshots=names,
            model_id=version.content_id[:13] + "…",
            python=environment.python,
            platform=environment.platform,
            commands="\n".join(_shell(version, run.entry, recipe)),
            provenance=version.provenance,
            promise=_PROMISE[version.provenance] + _but_for(version),
        )
    )
    unfinished.unlink()
    return about | {"folder": str(dest.resolve()), "commands": recipe.commands}


def _but_for(version: ModelVersion) -> str:
    erased = erased_rows(version)
    return f" Exact but for {erased:,} rows that were erased since." if erased else ""


def _shell(version: ModelVersion, entry: str, recipe: Recipe) -> list[str]:
    lines = ["clew " + shlex.join(command) for command in recipe.commands]
    return lines if version.provenance == "recorded" else [*lines, shlex.join(["python", f"code/{entry}"])]


def data_path(dest: Path, snapshot: Snapshot) -> Path:
    """Where a snapshot lies in a restored folder."""
    name = f"{snapshot.dataset}-{snapshot.version}"
    return dest / "data" / (f"{name}.parquet" if snapshot.kind == "table" else name)


def make_recipe(version: ModelVersion, dest: Path) -> Recipe:
    """The commands that build a version again in `dest`, run there."""
    run = version.workspace.catalog.get(builds.runs, version.run_id)
    snapshots = _snapshots(version)
    commands = [["init", "."]]
    roles: dict[str, str] = {}
    added: dict[str, int] = {}
    versions: dict[str, int] = {}
    for role, snapshot in snapshots.items():
        if snapshot.id not in added:
            for column, policy in policies.declared(version.workspace, snapshot.dataset).items():
                if policy.action == "allow" and snapshot.dataset not in versions:
                    commands.append(["data", "policy", snapshot.dataset, column, "allow", "--reason", policy.reason])
            versions[snapshot.dataset] = versions.get(snapshot.dataset, 0) + 1
            added[snapshot.id] = versions[snapshot.dataset]
            add = ["data", "add", snapshot.dataset, str(data_path(dest, snapshot).relative_to(dest)), "--accept-schema"]
            for key in snapshot.key_columns:
                add += ["--key", key]
            commands.append([*add, "--occurred-at", snapshot.occurred_at.isoformat()])
        roles[role] = f"{snapshot.dataset}@{added[snapshot.id]}"
    settings = []
    for name, value in run.parameters.items():
        text = roles[name] if name in roles else value if isinstance(value, str) else json.dumps(value)
        settings += ["--set", f"{name}={text}"]
    if version.provenance != "recorded":
        return Recipe(commands, roles)
    for name, reference in roles.items():
        if name not in run.parameters:  # the code names a version by itself, and it has another number here
            settings += ["--pin", f"{name}={reference}"]
    commands.append(
        ["run", f"code/{run.entry}:{run.pipeline}", *settings, "--occurred-at", run.occurred_at.isoformat()]
    )
    return Recipe(commands, roles)


def erased_rows(version: ModelVersion) -> int:
    """How many rows of the snapshots that the run read were erased since."""
    return sum(_erased(version, snapshot)[1] for snapshot in _snapshots(version).values())


def _erased(version: ModelVersion, snapshot: Snapshot) -> tuple[str, int]:
    row = version.workspace.catalog.get(data.contents, snapshot.content_pk)
    return row.state, int(row.erased_rows)


def _require_live(version: ModelVersion, snapshots: dict[str, Snapshot]) -> None:
    """Raises RefusedError, naming what is gone, before anything is written."""
    gone = [
        f"{snapshot.reference} was {'erased' if state == 'erased' else 'removed when its time was over'}"
        for snapshot in snapshots.values()
        if (state := _erased(version, snapshot)[0]) != "live"
    ]
    if version.state in ("erased", "expired"):
        gone.append(f"{version.reference} itself is {version.state}")
    if gone:
        raise RefusedError(
            f"{version.reference} can't be restored: {'; '.join(gone)}",
            mend=f"clew model show {version.reference} says what is known of it",
        )


def _snapshots(version: ModelVersion) -> dict[str, Snapshot]:
    """What the run read, by role, in the order of the versions."""
    i = builds.run_inputs.c
    rows = version.workspace.catalog.rows(sa.select(i.role, i.snapshot_id).where(i.run_id == version.run_id))
    found = {row.role: snapshot_by_id(version.workspace, str(row.snapshot_id)) for row in rows}
    return dict(sorted(found.items(), key=lambda item: (item[1].dataset, item[1].version, item[0])))


def _write_code(version: ModelVersion, digest: str, folder: Path) -> None:
    version.workspace.objects.verify(digest)
    with zipfile.ZipFile(io.BytesIO(version.workspace.objects.get(digest))) as archive:
        for name in archive.namelist():
            target = files.safe_target(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))
