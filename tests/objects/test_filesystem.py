"""Which mount a path is on, over tables as the kernel writes them."""

from pathlib import Path

import pytest

from clew.errors import OutsideError
from clew.objects import open_store, refuse_network_filesystem

TABLE = """\
/dev/vda1 / ext4 rw,relatime 0 0
proc /proc proc rw,nosuid 0 0
server:/export {base}/team nfs4 rw,vers=4.2 0 0
//server/share {base}/with\\040space cifs rw 0 0
/dev/vdb {base}/team/local xfs rw 0 0
me@host: {base}/ssh fuse.sshfs rw 0 0
/dev/sdb1 {base}/stick fuseblk rw 0 0
server:/x {base}/twice nfs rw 0 0
/dev/vdc {base}/twice ext4 rw 0 0
bucket {base}/unknown fuse.somebucket rw 0 0
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mounts"
    path.write_text(TABLE.format(base=tmp_path))
    return path


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("team", "nfs4"),
        ("team/deep/er", "nfs4"),
        ("with space/x", "cifs"),
        ("ssh", "fuse.sshfs"),
        ("unknown/x", "fuse.somebucket"),
    ],
)
def test_network_is_refused_with_the_way_out(folder: str, kind: str, tmp_path: Path, mounts: Path) -> None:
    with pytest.raises(OutsideError, match=kind) as caught:
        refuse_network_filesystem(tmp_path / folder, mounts=mounts)
    assert "PostgreSQL and S3" in str(caught.value.mend)


@pytest.mark.parametrize("folder", ["", "elsewhere/new", "teams", "team/local/x", "stick", "twice"])
def test_local_passes(folder: str, tmp_path: Path, mounts: Path) -> None:
    refuse_network_filesystem(tmp_path / folder, mounts=mounts)


def test_link_is_followed(tmp_path: Path, mounts: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "team")
    with pytest.raises(OutsideError):
        refuse_network_filesystem(tmp_path / "link" / "workspace", mounts=mounts)


def test_without_a_table_everything_passes(tmp_path: Path) -> None:
    refuse_network_filesystem(tmp_path, mounts=tmp_path / "none")


def test_pseudo_path_on_this_machine_passes_and_opens(tmp_path: Path) -> None:
    refuse_network_filesystem(tmp_path)
    assert open_store(tmp_path / "store").put(b"x").created
