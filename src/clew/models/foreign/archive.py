"""Foreign files, looked at with suspicion: archives unpacked within limits, paths that stay in their folder."""

import contextlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from clew.errors import DataError, NotFoundError, RefusedError

MOST_BYTES = 8 << 30
MOST_FILES = 10_000
MOST_RATIO = 200  # weights shrink by a factor of 2 or 10; a bomb by 1,000 and more
_BLOCK = 1 << 20
_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")


@contextlib.contextmanager
def opened(source: Path) -> Iterator[Path]:
    """A folder or file as it is; an archive (zip, tar, tar.gz) unpacked into a folder that goes away again.

    Raises NotFoundError; RefusedError for an archive with absolute paths, paths that lead out, links, or that unpacks
    to more than is plausible; DataError for one that can't be read.
    """
    if not source.exists():
        raise NotFoundError(f"there is nothing at {source}", mend="give the path of a model's folder or .onnx file")
    if source.is_dir() or not source.name.endswith(_ENDINGS):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="clew-import-") as folder:
        try:
            if zipfile.is_zipfile(source):
                _unzip(source, Path(folder))
            else:
                _untar(source, Path(folder))
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{source.name} is no whole archive: {error}", mend="download or pack it anew") from error
        found = list(Path(folder).iterdir())
        # Most archives hold one folder.
        yield found[0] if len(found) == 1 and found[0].is_dir() else Path(folder)


def within(folder: Path, name: str) -> Path:
    """The file of that name in a folder. Raises RefusedError if it leads out of it, NotFoundError if it isn't there."""
    path = folder / name
    if PurePosixPath(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise RefusedError(
            f"the model names the file {name!r}, which lies outside of its folder",
            mend="import only models whose files are all in their folder",
        )
    if not path.exists():
        raise NotFoundError(f"the model's folder lacks {name!r}", mend="copy the whole folder")
    return path


def files_of(folder: Path) -> dict[str, Path]:
    """All files of a folder by their path in it, in order. Raises RefusedError for a link that leads out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or path.is_file():
            found[name] = within(folder, name)
    return {name: path for name, path in found.items() if path.is_file()}


class _Limits:
    def __init__(self, archive: Path) -> None:
        self.most = min(MOST_BYTES, max(MOST_RATIO * archive.stat().st_size, 64 << 20))
        self.name = archive.name
        self.files = 0
        self.bytes = 0

    def path(self, name: str, folder: Path) -> Path:
        """Where a member goes. Raises RefusedError."""
        self.files += 1
        plain = PurePosixPath(name.replace("\\", "/"))
        if plain.is_absolute() or ".." in plain.parts or ":" in (plain.parts or ("",))[0]:
            raise RefusedError(
                f"{self.name} holds {name!r}, a path that leads out of the folder that it is unpacked to",
                mend="don't use this archive; ask who made it",
            )
        if self.files > MOST_FILES:
            raise RefusedError(f"{self.name} holds more than {MOST_FILES:,} files", mend="pack the model alone")
        return folder / plain

    def add(self, size: int) -> None:
        """Count bytes that came out. Raises RefusedError."""
        self.bytes += size
        if self.bytes > self.most:
            raise RefusedError(
                f"{self.name} unpacks to more than {self.most:,} bytes, far more than a model of its size would",
                mend="unpack it yourself if you trust it, and import the folder",
            )


def _unzip(source: Path, folder: Path) -> None:
    limits = _Limits(source)
    with zipfile.ZipFile(source) as archive:
        members = [one for one in archive.infolist() if not one.is_dir()]
        places = [limits.path(one.filename, folder) for one in members]
        if any((one.external_attr >> 16) & 0o170000 == 0o120000 for one in members):
            raise RefusedError(f"{source.name} holds links", mend="pack the files themselves")
        for one, place in zip(members, places, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(one) as body, place.open("wb") as out:
                while block := body.read(_BLOCK):  # what a member says of its size may be a lie
                    limits.add(len(block))
                    out.write(block)


def _untar(source: Path, folder: Path) -> None:
    limits = _Limits(source)
    with tarfile.open(source) as archive:
        for one in archive:
            place = limits.path(one.name, folder)
            if one.isdir():
                continue
            if not one.isfile():
                raise RefusedError(f"{source.name} holds {one.name!r}, which is no plain file", mend="pack plain files")
            limits.add(one.size)
            place.parent.mkdir(parents=True, exist_ok=True)
            body = archive.extractfile(one)
            if body is not None:
                with body, place.open("wb") as out:
                    shutil.copyfileobj(body, out, _BLOCK)
