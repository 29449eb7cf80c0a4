"""Server processes for tests: bound to the life of the test process, in folders that don't outlive it."""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
PREFIX = "clew-test-"


def start_child(
    command: list[str],
    *,
    log: Path,
    death_signal: signal.Signals = signal.SIGKILL,
    owner: tuple[int, int] = (-1, -1),
) -> subprocess.Popen[bytes]:
    """Start `command`, whose first word is a full path, so that it dies when the calling thread does.

    The kernel ties the signal to the thread that forks, so call this from a thread that stays: the main one.
    `owner` is the user and group it runs as; (-1, -1) leaves them. Output goes to the end of `log`.
    """
    launch = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(death_signal)), *map(str, owner)]
    with log.open("ab") as out:
        return subprocess.Popen(
            launch + command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=log.parent
        )


def stop_child(child: subprocess.Popen[bytes], how: signal.Signals = signal.SIGKILL) -> None:
    """Send `how` and wait until the process is gone; after ten seconds it is killed."""
    if child.poll() is None:
        child.send_signal(how)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_until(ready: Callable[[], str | None], child: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Poll `ready`, which gives None when the server answers, else why not.

    Raises:
        RuntimeError: the process ended or the time is over; with the reason and the end of the log.
    """
    end = time.monotonic() + seconds
    while (reason := ready()) is not None:
        if child.poll() is not None:
            reason = f"the server ended with code {child.returncode}"
        elif time.monotonic() < end:
            time.sleep(0.02)
            continue
        stop_child(child)
        tail = log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"the test server is not ready: {reason}\n{log}:\n{tail}")


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that nothing listens on, below the range that outgoing connections draw from."""
    found: dict[int, socket.socket] = {}
    try:
        while len(found) < count:
            port = 10_240 + secrets.randbelow(32_768 - 10_240)
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.close()
            else:
                found[port] = probe
    finally:
        for probe in found.values():
            probe.close()
    return list(found)


class OwnedFolder:
    """A temporary folder that belongs to this process; what killed processes left behind is removed first.

    Not pytest's: that one can't be entered by another user, and PostgreSQL refuses to run as root.
    """

    def __init__(self, kind: str) -> None:
        base = Path(tempfile.gettempdir())
        for left in base.glob(f"{PREFIX}{kind}-*"):
            _remove_if_orphaned(left)
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", dir=base))
        self._lock = (self.path / "owner.lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def owns_also(self, paths: list[Path]) -> None:
        """Have these files outside the folder removed with it, even when this process doesn't come to do it."""
        (self.path / "outside").write_text("\n".join(map(str, paths)))

    def remove(self) -> None:
        _remove(self.path)
        self._lock.close()


def _remove(folder: Path) -> None:
    outside = folder / "outside"
    for path in outside.read_text().splitlines() if outside.exists() else ():
        Path(path).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_if_orphaned(folder: Path) -> None:
    try:
        with (folder / "owner.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(folder)
    except OSError:
        return  # another process is using it, is about to lock it, or has just removed it
