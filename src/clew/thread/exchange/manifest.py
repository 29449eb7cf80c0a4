"""The manifest of an export: what is in it, and the SHA-256 of each file."""

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from clew.catalog import SCHEMA
from clew.errors import DataError, IntegrityError, NotFoundError, SchemaError
from clew.objects.base import digest_of_file

FORMAT: Final = 1
NAME: Final = "manifest.json"
AGAIN: Final = "copy the export once more, from where it was made"


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the export."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export says of itself; `rows` counts by table, `records` by writer and segment of the journal."""

    format: int
    clew: str
    schema: str
    workspace: str
    exported_at: str
    rows: dict[str, int]
    records: dict[str, int]
    files: dict[str, File]


def write(folder: Path, manifest: Manifest) -> str:
    """Write the manifest, last and at once; give its SHA-256."""
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    unfinished = folder / f".{NAME}"
    with unfinished.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / NAME)
    return hashlib.sha256(body).hexdigest()


def read(folder: Path) -> tuple[Manifest, str]:
    """The manifest of an export that can be imported, and its SHA-256.

    Raises:
        NotFoundError: there is no finished export.
        DataError: the manifest can't be read, or names files outside of the export.
        SchemaError: the export is of another schema.
    """
    try:
        body = (folder / NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"there is no finished export in {folder}", mend="clew workspace export DEST makes one"
        ) from None
    try:
        said = msgspec.json.decode(body)
        found = (said.get("format"), said.get("schema")) if isinstance(said, dict) else (None, None)
        if found[0] != FORMAT or not isinstance(found[1], str):
            raise SchemaError(
                f"{folder / NAME} is an export of format {found[0]!r}, and this clew reads {FORMAT}",
                mend="import it with the version of clew that wrote it",
            )
        _check_schema(folder, found[1], str(said.get("clew")))
        manifest = msgspec.convert(said, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / NAME} can't be read: {error}", mend=AGAIN) from error
    for name in manifest.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name:
            raise DataError(f"{folder / NAME} names {name!r}, which is outside of it", mend=AGAIN)
    return manifest, hashlib.sha256(body).hexdigest()


def _check_schema(folder: Path, schema: str, version: str) -> None:
    if schema == SCHEMA:
        return
    if schema < SCHEMA:
        mend = f"import it with clew {version}, run `clew upgrade` there with this clew, and export it again"
    else:
        mend = f"pip install --upgrade clew (it was written by {version})"
    raise SchemaError(f"the export in {folder} has schema {schema}, and this clew works with {SCHEMA}", mend=mend)


def verify(folder: Path, manifest: Manifest) -> None:
    """Check every file before anything is written. Raises IntegrityError, which names the first that isn't whole."""
    for name, file in sorted(manifest.files.items()):
        path = folder / name
        if not path.is_file():
            raise IntegrityError(f"{path} is missing from the export", mend=AGAIN)
        digest, size = digest_of_file(path)
        if (digest, size) != (file.sha256, file.bytes):
            raise IntegrityError(
                f"{path} is damaged: it has {size:,} bytes of SHA-256 {digest[:12]}…, the manifest says {file.bytes:,} "
                f"of {file.sha256[:12]}…",
                mend="copy that file again, from where the export was made",
            )
