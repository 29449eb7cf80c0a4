"""Which file system a path is on, and why a network one won't do."""

import re
from pathlib import Path

from clew.errors import OutsideError

_NETWORK = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs2", "glusterfs", "gpfs", "lustre",
    "mmfs", "ncp", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb", "smb2", "smb3",
    "smbfs", "vboxsf", "vmhgfs", "wekafs",
})  # fmt: skip
# File systems in user space that are known to keep their files on the local disk.
_LOCAL_FUSE = frozenset(
    {"fuseblk", "fuse.encfs", "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.mergerfs", "fuse.ntfs-3g"}
)


def refuse_network_filesystem(path: Path, *, mounts: Path = Path("/proc/mounts")) -> None:
    """Pass if `path`, which need not exist yet, is on a local file system.

    Locks and syncs don't mean over a network what they mean on a disk: SQLite's own documentation advises against
    it, and two machines would see each other's half-made changes. Where there is no `/proc/mounts`, as on macOS,
    nothing is known and everything passes.

    Raises:
        OutsideError: it is on a network file system, or on one in user space that isn't known to be local.
    """
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    path = path.absolute()
    kind, point = _mount_of(path.resolve(), table)
    if kind in _NETWORK or (kind.startswith("fuse") and kind not in _LOCAL_FUSE):
        raise OutsideError(
            f"{path} is on a file system that is on the network, or may be ({kind}, mounted at {point}); locks and "
            "syncs don't keep there what a workspace relies on",
            mend="put the workspace on a local disk; a team shares one through PostgreSQL and S3 behind `clew hub`",
        )


def _mount_of(path: Path, table: str) -> tuple[str, Path]:
    """Kind and mount point of the file system that holds a resolved path; of equals the last mount counts."""
    found = ("", Path("/"))
    for line in table.splitlines():
        _, point, kind, *_ = line.split(" ")
        # Spaces and the like stand as octal escapes; see getmntent(3).
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point))
        if path.is_relative_to(mounted) and len(mounted.parts) >= len(found[1].parts):
            found = (kind, mounted)
    return found
