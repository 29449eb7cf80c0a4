"""Erasing a person, phase by phase; each can be killed, and whoever asks again goes on from there.

1. *planned*: the catalog knows the person's keyed hash; from now on no delivery brings the person back.
2. New bytes are written and made durable: fragments, ropes, listings, packages without the person.
3. One transaction makes them count, and drops all that was derived. What is left to do stands in the receipt.
4. The journal is rewritten, the old objects are removed with all garbage, caches are emptied.
5. The catalog is scrubbed of what repeats the old ids, and written anew without its free pages.
6. *done*: the receipt says what was done, and names nobody.
"""

import shlex
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from clew.catalog.affected import Affected, affected
from clew.catalog.commands import AbandonErasure, EraseRows, FinishErasure, PlanErasure
from clew.catalog.commands.erasure import refuse_held, refuse_running
from clew.catalog.retention import parts
from clew.catalog.tables import builds, data, governance, models
from clew.data import _gc
from clew.data._leases import erasing
from clew.data.erasing.contents import Content, examine, with_files
from clew.data.erasing.files import FilesPlan, count_files, plan_files
from clew.data.erasing.finding import Found, check_columns, find_rows
from clew.data.erasing.rewriting import Rewriting, rewrite
from clew.errors import NotFoundError, RefusedError
from clew.keys import secret_key
from clew.pipelines.alive import mark_interrupted
from clew.thread.erasure import changes, scrub
from clew.thread.erasure.journal import JournalFound, Theirs, endpoints_of, find_records, rewrite_journal
from clew.thread.erasure.receipts import Fact, names_of
from clew.thread.erasure.request import Request, request
from clew.thread.erasure.vacuum import vacuum
from clew.workspace import Workspace

Report = Callable[[str, int, int | None], None]

_ATTEMPTS: Final = 5


def plan_erasure(
    workspace: Workspace,
    name: str,
    subject: str,
    *,
    columns: Sequence[str] = (),
    as_text: bool = False,
    report: Report | None = None,
) -> Fact:
    """What an erasure would change: versions and rows, what was derived, model versions, the journal. Nothing changes.

    Raises as `erase`, but for holds: the plan names them.
    """
    asked = request(workspace, name, subject, columns)
    contents, found = _look(workspace, asked, as_text=as_text, report=report)
    folders = [] if asked.files is None else with_files(workspace)
    counts = {} if asked.files is None else count_files(workspace.objects, folders, asked.files, subject)
    hit = sorted({*found.rows, *counts})
    with workspace.catalog.read() as connection:
        came = affected(connection, hit)
        versions = names_of(connection, sorted(came.versions))
        try:
            refuse_held(connection, came)
            held: str | None = None
        except RefusedError as error:
            held = error.message
    journal = find_records(workspace, _theirs(workspace, asked, came.versions), report)
    if not hit and not journal.segments and not journal.open:
        raise _not_there(asked, contents)
    return {
        "dataset": name,
        "snapshots": _snapshots([*contents, *folders], found, counts),
        "fragments": {"read": found.fragments_read, "bytes_read": found.bytes_read, "rewritten": len(found.hits)},
        "model_versions": versions,
        "runs": len(came.runs),
        "artifacts": len(came.artifacts),
        "journal": {"predictions": journal.predictions, "outcomes": journal.outcomes, "open": journal.open},
        "held": held,
        "retrain": _retraining(workspace, came),
    }


def erase(
    workspace: Workspace,
    name: str,
    subject: str,
    *,
    columns: Sequence[str] = (),
    as_text: bool = False,
    report: Report | None = None,
) -> Fact:
    """Take a person's rows and files out of every version of a dataset, and out of all that came of them.

    Args:
        workspace: which one.
        name: the dataset.
        subject: the person's value, as it stands in the column; also where a policy turned it into a pseudonym.
        columns: further columns by which the person goes, such as a former name of the column.
        as_text: compare as text where the column changed its type between versions.
        report: told what is being done: a stage, how far, of how many.

    Returns the receipt. Killed at any moment, the same call goes on from there and ends complete.

    Raises:
        NotFoundError: no such dataset, nothing of this person anywhere, or the key of receipts is lost.
        RefusedError: a hold keeps what would go; a run reads it; a server is writing records of this person; the
            column is missing from a version or changed its type. Nothing was changed but for what the message says.
        StoreError, CatalogError: the disk or a service failed; ask again.
    """
    asked = request(workspace, name, subject, columns)
    key_name, key = secret_key(workspace, "erasure")
    mark_interrupted(workspace)
    with erasing(workspace) as prolong:

        def told(stage: str, done: int, total: int | None) -> None:
            prolong()
            if report is not None:
                report(stage, done, total)

        contents, found = _look(workspace, asked, as_text=as_text, report=told)
        erasure_id = _planned(workspace, asked, key_name, key)
        receipt = _receipt(workspace, erasure_id)
        try:
            left = _ATTEMPTS
            while not _take_rows(workspace, asked, erasure_id, key, contents, found, told):
                left = _one_less(left)
                contents, found = _look(workspace, asked, as_text=as_text, report=told)  # something came in between
        except RefusedError:
            if "work" not in receipt:
                workspace.catalog.execute(AbandonErasure(erasure_id=erasure_id))
            raise
        return _finish(workspace, asked, erasure_id, key, contents, told)


def _one_less(attempts: int) -> int:
    """How many attempts are left. Raises RefusedError after the last: each writes fragments anew."""
    if attempts <= 1:
        raise RefusedError("versions changed all the while; nothing was changed", mend="erase again")
    return attempts - 1


def _look(workspace: Workspace, asked: Request, *, as_text: bool, report: Report | None) -> tuple[list[Content], Found]:
    contents = examine(workspace, asked.dataset_id)
    if not asked.columns:
        return contents, Found()
    own = [one for one in contents if any(name.startswith(f"{asked.dataset}@") for name in one.references)]
    check_columns(own, asked.columns, as_text=as_text)
    return contents, find_rows(workspace.objects, contents, asked.columns, asked.wanted, report)


def _planned(workspace: Workspace, asked: Request, key_name: str, key: bytes) -> str:
    hashes = asked.hashes(key)
    answer = workspace.catalog.execute(
        PlanErasure(
            dataset_id=asked.dataset_id,
            subject_hmac=hashes[0],
            key_name=key_name,
            hashes=list(hashes),
            columns=list(asked.columns),
        )
    )
    return str(answer["erasure_id"])


def _receipt(workspace: Workspace, erasure_id: str) -> Fact:
    return dict(workspace.catalog.get(governance.erasures, erasure_id).receipt or {})


def _take_rows(
    workspace: Workspace,
    asked: Request,
    erasure_id: str,
    key: bytes,
    contents: list[Content],
    found: Found,
    report: Report,
) -> bool:
    """Phases 2 and 3; whether nothing came in between."""
    files = FilesPlan()
    if asked.files is not None:
        files = plan_files(workspace.objects, with_files(workspace), asked.files, asked.subject)
    kept_apart = changes.quarantines(workspace, asked.dataset_id, asked.columns, asked.wanted)
    if not found.rows and not found.hits and not files.contents and not kept_apart:
        return True
    with workspace.catalog.read() as connection:
        came = affected(connection, sorted({*found.rows, *(one.content.pk for one in files.contents if one.erased)}))
        refuse_held(connection, came)
        refuse_running(connection, came)
        beside = affected(connection, sorted({one.pk for one in contents} - found.rows.keys()))
    rewriting = Rewriting()
    if found.hits:
        rewriting = rewrite(workspace.objects, workspace.temporary(), contents, found, report)
    changed = changes.content_changes(
        workspace, rewriting, files, lambda content_id: f"e1:{scrub.replacement(key, content_id)}"
    )
    theirs = changes.rows_of(workspace, contents, found)
    packages = changes.packages(workspace, came, theirs)
    report("changing the catalog", 0, None)
    answer = workspace.catalog.execute(
        EraseRows(
            erasure_id=erasure_id,
            examined=[one.pk for one in contents],
            contents=changed.contents,
            fragments=changed.fragments,
            packages=packages,
            recoded=changes.recoded(workspace, beside.artifacts - came.artifacts),
            quarantines=kept_apart,
        )
    )
    return bool(answer["done"])


def _finish(
    workspace: Workspace, asked: Request, erasure_id: str, key: bytes, contents: list[Content], report: Report
) -> Fact:
    """Phases 4 to 6, from wherever they were left."""
    receipt = _receipt(workspace, erasure_id)
    work = receipt.get("work", {})
    journal = rewrite_journal(workspace, _theirs(workspace, asked, work.get("versions", ())), report)
    counts = receipt.setdefault("journal_records", {"predictions": 0, "outcomes": 0})
    counts["predictions"] += journal.predictions if not journal.open else 0
    counts["outcomes"] += journal.outcomes if not journal.open else 0
    if not work and not journal.open and not any(counts.values()) and not _effects(workspace, erasure_id):
        workspace.catalog.execute(AbandonErasure(erasure_id=erasure_id))
        raise _not_there(asked, contents)
    if work or "summary" not in receipt:
        _wait_for_runs(workspace)
        workspace.catalog.execute(FinishErasure(erasure_id=erasure_id, receipt=receipt, done=False))
        _remove(workspace, work.get("objects", ()), report)
        spoken = _gc.needed(workspace) | _said(workspace)
        tokens = [one for one in work.get("tokens", ()) if one not in spoken]
        about = [*work.get("runs", ()), *work.get("versions", ())]
        scrub.scrub(workspace.catalog, key, tokens, about, report)
        receipt |= _summary(workspace, erasure_id, asked, work)
        receipt.pop("work", None)
    workspace.catalog.execute(FinishErasure(erasure_id=erasure_id, receipt=receipt, done=False))
    report("vacuuming the catalog", 0, None)
    beyond = vacuum(workspace.catalog)
    if journal.open:
        raise RefusedError(
            f"all versions are without the person, but {', '.join(journal.open)} "
            f"{'is' if len(journal.open) == 1 else 'are'} writing the journal, which still holds "
            f"{journal.predictions + journal.outcomes:,} records of the person",
            mend="stop that server, or wait until its segment is sealed; then erase again: it goes on from here",
        )
    receipt["not_reached"] = [*_beyond(workspace), *([beyond] if beyond else [])]
    receipt["mentions"] = scrub.mentions(workspace.catalog, asked.wanted)
    workspace.catalog.execute(FinishErasure(erasure_id=erasure_id, receipt=receipt))
    return {"erasure": erasure_id, "dataset": asked.dataset, "state": "done", **_shown(receipt)}


def _shown(receipt: Fact) -> Fact:
    return {name: value for name, value in receipt.items() if name not in ("hashes", "work")}


def _effects(workspace: Workspace, erasure_id: str) -> bool:
    f = governance.erasure_effects.c
    return workspace.catalog.first(sa.select(f.id).where(f.erasure_id == erasure_id).limit(1)) is not None


def _said(workspace: Workspace) -> set[str]:
    """The content ids that something still says."""
    c, a = data.contents.c, builds.artifacts.c
    with workspace.catalog.read() as connection:
        found = {str(one) for one in connection.execute(sa.select(c.content_id).where(c.state == "live")).scalars()}
        found |= {str(one) for one in connection.execute(sa.select(a.content_id).where(a.state == "live")).scalars()}
        found |= {str(one) for one in connection.execute(sa.select(a.digest).where(a.state == "live")).scalars()}
        for row in connection.execute(sa.select(c.column_ids).where(c.state == "live")).scalars():
            found |= set(row or ())
    return found


def _remove(workspace: Workspace, digests: Sequence[str], report: Report) -> None:
    """Remove the old objects, and all else that nothing names: what killed writers left may be the person's too."""
    needed = _gc.needed(workspace)
    for number, digest in enumerate(digests, start=1):
        if digest not in needed:
            workspace.objects.delete(digest)
        report("removing objects", number, len(digests))
    _gc.collect(workspace, grace=timedelta(0))
    for name in ("cache", "tmp"):
        for path in (workspace.folder / name).rglob("*"):
            if path.is_file():  # the folders stay: who has the workspace open counts on them
                path.unlink(missing_ok=True)


def _wait_for_runs(workspace: Workspace) -> None:
    """Refuse while any run is under way: what it has stored and not yet named would be taken for garbage."""
    r = builds.runs.c
    running = workspace.catalog.rows(sa.select(r.id).where(r.state == "running", r.provenance != "imported"))
    if running:
        raise RefusedError(
            f"all versions are without the person, but runs are under way: {', '.join(str(row.id) for row in running)}",
            mend="wait for them to end; then erase again: it goes on from here",
        )


def _theirs(workspace: Workspace, asked: Request, versions: Sequence[str] | set[str]) -> Theirs:
    return Theirs(endpoints_of(workspace, [*versions, *_learned(workspace, asked)]), asked.columns, asked.wanted)


def _learned(workspace: Workspace, asked: Request) -> list[str]:
    """The model versions that any version of the dataset went into."""
    i, s = models.model_inputs.c, data.snapshots.c
    query = (
        sa.select(i.model_version_id)
        .join(data.snapshots, s.id == i.snapshot_id)
        .where(s.dataset_id == asked.dataset_id)
        .distinct()
    )
    return [str(row[0]) for row in workspace.catalog.rows(query)]


def _snapshots(contents: Sequence[Content], found: Found, files: dict[str, int]) -> list[Fact]:
    said: dict[str, Fact] = {}
    for one in contents:
        rows = len(found.rows[one.pk]) if one.pk in found.rows else 0
        for reference in one.references:
            if rows or files.get(one.pk):
                fact = said.setdefault(reference, {"snapshot": reference, "rows": 0, "files": 0})
                fact["rows"] = max(fact["rows"], rows)
                fact["files"] = max(fact["files"], files.get(one.pk, 0))
    return [said[name] for name in sorted(said, key=lambda name: (name.split("@")[0], int(name.split("@")[1])))]


def _summary(workspace: Workspace, erasure_id: str, asked: Request, work: Fact) -> Fact:
    """What the receipt says: versions and rows, model versions, how to train them again."""
    f, s, d = governance.erasure_effects.c, data.snapshots.c, data.datasets.c
    with workspace.catalog.read() as connection:
        rows = connection.execute(
            sa.select(d.name, s.version, sa.func.max(f.rows).label("lost"))
            .select_from(governance.erasure_effects)
            .join(data.snapshots, s.id == f.target_id)
            .join(data.datasets, d.id == s.dataset_id)
            .where(f.erasure_id == erasure_id, f.kind == "snapshot")
            .group_by(d.name, s.version)
            .order_by(d.name, s.version)
        )
        snapshots = [{"snapshot": f"{row.name}@{row.version}", "rows": row.lost} for row in rows]
        kinds = connection.execute(
            sa.select(f.kind, sa.func.count(sa.distinct(f.target_id)).label("many"))
            .where(f.erasure_id == erasure_id)
            .group_by(f.kind)
        )
        counts = {row.kind: int(row.many) for row in kinds}
        versions = names_of(connection, sorted(work.get("versions", ())))
    came = Affected(versions=set(work.get("versions", ())))
    return {
        "snapshots": snapshots,
        "model_versions": versions,
        "artifacts": counts.get("artifact", 0),
        "quarantines": counts.get("quarantine", 0),
        "objects": len(work.get("objects", ())),
        "retrain": _retraining(workspace, came),
        "summary": f"{asked.dataset}: {len(snapshots)} versions, {len(versions)} model versions marked",
    }


def _retraining(workspace: Workspace, came: Affected) -> list[str]:
    """The commands that train again what learned from the rows: for each model the run of its newest version."""
    v, m, r, i = models.model_versions.c, models.models.c, builds.runs.c, builds.run_inputs.c
    newest: dict[str, sa.Row[Any]] = {}
    with workspace.catalog.read() as connection:
        for some in parts(sorted(came.versions)):
            rows: Any = connection.execute(
                sa.select(m.name, v.version, v.run_id, r.entry, r.pipeline, r.parameters, r.provenance)
                .join(models.models, m.id == v.model_id)
                .join(builds.runs, r.id == v.run_id)
                .where(v.id.in_(some))
            )
            for row in rows:
                if row.name not in newest or newest[row.name].version < row.version:
                    newest[row.name] = row
        commands = []
        for row in sorted(newest.values(), key=lambda one: str(one.name)):
            inputs = {
                one.role: one.reference
                for one in connection.execute(sa.select(i.role, i.reference).where(i.run_id == row.run_id))
            }
            if row.provenance != "recorded":
                commands.append(f"# {row.name}@{row.version} is {row.provenance}: run again what made it")
                continue
            settings = []
            for name, value in (row.parameters or {}).items():
                settings += ["--set", f"{name}={inputs.get(name, value)}"]
            commands.append("clew run " + shlex.join([f"{row.entry}:{row.pipeline}", *settings]))
    return list(dict.fromkeys(commands))


def _beyond(workspace: Workspace) -> list[str]:
    """What no command can reach, in words."""
    said = ["checkouts, exports and backups that were made before", "the files that the rows came from"]
    keeps = getattr(workspace.objects, "keeps_versions", None)
    if keeps is not None and keeps():
        said.append(
            "the bucket keeps versions: what was removed is still there as noncurrent versions, until a life-cycle "
            "rule (NoncurrentVersionExpiration) or `aws s3api delete-object --version-id` removes them"
        )
    return said


def _not_there(asked: Request, contents: Sequence[Content]) -> NotFoundError:
    names = sum(len(one.references) for one in contents)
    return NotFoundError(
        f"nothing of this person is in {asked.dataset}: none of its {names} versions has the value in "
        f"{' or '.join(asked.columns) or asked.files}, and neither has the journal",
        mend="give the value as it stands in the column (clew data show says which names persons)",
    )


__all__ = ["JournalFound", "Report", "erase", "plan_erasure"]
