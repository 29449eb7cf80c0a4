"""From sealed segments to Parquet, and their end: compaction, rewriting without some records, dropping what is old.

Every change is one rename: the files of a new generation are complete and on disk before their folder gets its name,
and the highest generation is what counts. Whatever was there before is removed afterwards; a kill in between leaves
that to the next call. Readers need no lock.

pyarrow is loaded where it is first needed: writing a journal does without its memory.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from clew.errors import IntegrityError, NotFoundError
from clew.serving.journal import _disk
from clew.serving.journal.raw import RawSegment
from clew.serving.journal.reader import open_segment
from clew.serving.journal.records import Record
from clew.serving.journal.seal import Seal, read_seal
from clew.serving.journal.segment import (
    compacted_generation,
    compacted_path,
    raw_path,
    seal_path,
    segments,
    writers,
)

_SCRAP: Final = ".scrap-"


def compact(journal: Path) -> list[Path]:
    """Compact every sealed segment that is still raw; returns the folders of Parquet files it made.

    Raises:
        NotPermittedError: another process is compacting this journal.
        IntegrityError: a record is damaged; its segment stays as it is.
    """
    made = []
    for folder in writers(journal):
        with _compaction_lock(folder):
            for number in segments(folder):
                path = _compact(folder, number)
                if path is not None:
                    made.append(path)
    return made


def compact_segment(folder: Path, number: int) -> Path | None:
    """Compact one sealed segment of the writer's folder; None when it already was.

    Raises:
        NotFoundError: there is no such segment, or it isn't sealed yet.
        NotPermittedError, IntegrityError: as `compact`.
    """
    with _compaction_lock(folder):
        _sealed(folder, number)
        return _compact(folder, number)


def rewrite_segment(folder: Path, number: int, keep: Callable[[Record], bool]) -> int:
    """Write a sealed segment anew with only the records that `keep` wants (erasure); returns how many went.

    Positions stay, so watermarks stay right. When it returns, the old bytes are no longer in any file of the journal.

    Raises:
        NotFoundError, NotPermittedError, IntegrityError: as `compact_segment`.
    """
    with _compaction_lock(folder):
        seal = _sealed(folder, number)
        _sweep(folder, number)
        before, after = _write_generation(folder, number, seal, keep)
        return before - after


def drop_before(journal: Path, recorded_at: int) -> list[Seal]:
    """Delete the sealed segments whose records are all older than `recorded_at` (µs, UTC); returns their seals.

    The newest segment of each writer stays: the numbers go on from it.

    Raises:
        NotPermittedError: another process is compacting this journal.
    """
    dropped = []
    for folder in writers(journal):
        with _compaction_lock(folder):
            for number in segments(folder)[:-1]:
                seal = read_seal(folder, number)
                if seal is not None and _newest(seal) < recorded_at:
                    _sweep(folder, number)
                    _remove(folder, number, keep=0)
                    seal_path(folder, number).unlink()
                    _disk.sync_folder(folder)
                    dropped.append(seal)
    return dropped


def drop_segment(folder: Path, number: int) -> bool:
    """Delete one sealed segment of the writer's folder; whether it was there. The caller spares the newest.

    Its seal goes last, so that a call that was killed is made good by the next one.

    Raises:
        NotPermittedError: another process is compacting this journal.
    """
    with _compaction_lock(folder):
        if read_seal(folder, number) is None:
            return False
        _sweep(folder, number)
        _remove(folder, number, keep=0)
        seal_path(folder, number).unlink()
        _disk.sync_folder(folder)
        return True


def _compact(folder: Path, number: int) -> Path | None:
    """Go on from wherever a former call was killed."""
    seal = read_seal(folder, number)
    _sweep(folder, number)
    if seal is None or compacted_generation(folder, number) or not raw_path(folder, number).exists():
        return None
    _write_generation(folder, number, seal, None)
    return compacted_path(folder, number, 1)


def _write_generation(folder: Path, number: int, seal: Seal, keep: Callable[[Record], bool] | None) -> tuple[int, int]:
    """Write the next generation and remove the former; returns the count of records before and after."""
    from clew.serving.journal.compacted import CompactedSegment, write_compacted

    source = open_segment(folder, number, seal.end)
    if source is None:
        raise _missing(folder, number)
    generation = compacted_generation(folder, number) + 1
    target = compacted_path(folder, number, generation)
    scrap = folder / f"{_SCRAP}{target.name}"
    scrap.mkdir()
    with source:
        before, after = write_compacted(scrap, source.records(0), keep)
    if isinstance(source, RawSegment) and before != seal.count:
        message = f"{raw_path(folder, number)} holds {before} records, its seal says {seal.count}"
        raise IntegrityError(message, mend="restore both from a copy")
    for path in scrap.iterdir():
        _disk.sync_file(path)
    _disk.sync_folder(scrap)
    with CompactedSegment(scrap) as written:
        if written.count != after:
            raise IntegrityError(f"{scrap} holds {written.count} of {after} records", mend="compact again")
    scrap.rename(target)
    _disk.sync_folder(folder)
    _remove(folder, number, keep=generation)
    return before, after


def _remove(folder: Path, number: int, *, keep: int) -> None:
    """Remove what a segment is in, but for generation `keep`; a folder first loses its name, so none is half there."""
    raw = raw_path(folder, number)
    former = [path for path in folder.glob(f"{number:010d}.g????") if path != compacted_path(folder, number, keep)]
    if not former and not raw.exists():
        return
    raw.unlink(missing_ok=True)
    for path in former:
        shutil.rmtree(path.rename(folder / f"{_SCRAP}{path.name}"))
    _disk.sync_folder(folder)


def _sweep(folder: Path, number: int) -> None:
    """Remove what a killed call left of this segment."""
    for path in folder.glob(f"{_SCRAP}{number:010d}.*"):
        shutil.rmtree(path)
    generation = compacted_generation(folder, number)
    if generation:
        _remove(folder, number, keep=generation)


def _compaction_lock(folder: Path) -> _disk.FolderLock:
    return _disk.FolderLock(
        folder / "compact.lock",
        f"another process is compacting {folder}",
        "wait for it, then try again: what it finished isn't done twice",
    )


def _sealed(folder: Path, number: int) -> Seal:
    seal = read_seal(folder, number)
    if seal is None:
        raise _missing(folder, number)
    return seal


def _missing(folder: Path, number: int) -> NotFoundError:
    message = f"{folder} has no sealed segment {number}"
    return NotFoundError(
        message, mend="seal_abandoned() seals what a dead writer left; a live one seals when it is full"
    )


def _newest(seal: Seal) -> int:
    """The latest `recorded_at` within; a seal always counts at least one record."""
    return max(span.recorded_to for span in (seal.predictions, seal.outcomes) if span.recorded_to is not None)
