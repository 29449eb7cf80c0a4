"""The journal's segments as Parquet with their seals, and back into a journal."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from clew.errors import DataError
from clew.serving.journal import Seal, seals
from clew.serving.journal.compacted import write_compacted, write_indexes
from clew.serving.journal.reader import open_segment
from clew.serving.journal.records import Record
from clew.serving.journal.seal import write_seal
from clew.serving.journal.segment import (
    HEADER_BYTES,
    check_writer,
    compacted_generation,
    compacted_path,
)
from clew.thread.exchange.manifest import AGAIN

_FILES = ("predictions.parquet", "outcomes.parquet")


def dump(journal: Path, dest: Path) -> dict[str, int]:
    """Write every segment, the open ones as far as they are on disk; records by `writer/segment`.

    Raises IntegrityError: a segment is damaged.
    """
    counts: dict[str, int] = {}
    for folder, number, seal, stop in list(seals(journal)):
        if seal is None and stop <= HEADER_BYTES:
            continue
        target = dest / folder.name / f"{number:010d}"
        target.mkdir(parents=True)
        generation = compacted_generation(folder, number)
        if generation and seal is not None:
            for name in _FILES:
                shutil.copyfile(compacted_path(folder, number, generation) / name, target / name)
            found = seal
        else:
            found = _write(folder, number, stop, seal, target)
        (target / "seal.json").write_bytes(msgspec.json.encode(found))
        counts[f"{folder.name}/{number:010d}"] = found.count
    return counts


def _write(folder: Path, number: int, stop: int, seal: Seal | None, target: Path) -> Seal:
    """Write a raw segment as Parquet; give its seal, made from its records when it has none yet."""
    found = Seal(writer=folder.name, segment=number, end=stop)

    def seen(rows: Iterator[tuple[int, Record]]) -> Iterator[tuple[int, Record]]:
        for end, record in rows:
            found.add(record)
            yield end, record

    segment = open_segment(folder, number, stop)
    if segment is not None:
        with segment:
            write_compacted(target, seen(segment.records(0)), None)
        for left in target.glob("*.ids"):
            left.unlink()
    return seal or found


def load(source: Path, journal: Path) -> None:
    """Lay segments out in a folder that isn't a journal yet; it becomes one when it is renamed.

    Raises DataError: a seal isn't one, or is that of another segment.
    """
    for writer in sorted(path for path in source.iterdir() if path.is_dir()) if source.is_dir() else []:
        folder = journal / check_writer(writer.name)
        folder.mkdir(parents=True)
        for segment in sorted(path for path in writer.iterdir() if path.is_dir()):
            try:
                seal = msgspec.json.decode((segment / "seal.json").read_bytes(), type=Seal)
            except (OSError, msgspec.MsgspecError) as error:
                raise DataError(f"{segment / 'seal.json'} can't be read: {error}", mend=AGAIN) from error
            if (seal.writer, f"{seal.segment:010d}") != (writer.name, segment.name):
                raise DataError(f"{segment / 'seal.json'} is that of another segment", mend=AGAIN)
            target = compacted_path(folder, seal.segment, 1)
            target.mkdir()
            for name in _FILES:
                shutil.copyfile(segment / name, target / name)
            write_indexes(target)
            write_seal(folder, seal)
    _sync(journal)


def _sync(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
