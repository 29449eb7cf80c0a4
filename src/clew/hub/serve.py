"""Running the hub on a port of this machine."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from clew.errors import NotPermittedError, OutsideError, UsageError
from clew.hub.app import create_app
from clew.hub.security import is_loopback
from clew.workspace import Workspace

_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Hub:
    """A hub that holds its port and is ready to answer."""

    server: uvicorn.Server
    listener: socket.socket
    url: str

    def run(self) -> None:
        """Answer until Ctrl-C, or until `stop` is called from another thread."""
        try:
            self.server.run(sockets=[self.listener])
        finally:
            self.listener.close()

    def stop(self) -> None:
        """End `run`; requests that are under way are answered first."""
        self.server.should_exit = True


def prepare(workspace: Workspace, host: str = "127.0.0.1", port: int = 8686, token: str | None = None) -> Hub:
    """Take the port; `port=0` takes a free one, which `url` then names.

    Raises:
        NotPermittedError: other machines could reach it, and it has no token.
        UsageError: the token can be guessed.
        OutsideError: the port is taken, or the address isn't this machine's.
    """
    if token is None and not is_loopback(host):
        raise NotPermittedError(
            f"on {host} other machines can reach the hub, and it has no token",
            mend="set CLEW_TOKEN to one, or keep to --host 127.0.0.1",
        )
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise UsageError(
            f"a token of {len(token)} characters can be guessed",
            mend='make a long one: python -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    # The port is held from here on, so that nobody takes it between a probe and the start.
    listener = _listen(host, port)
    try:
        config = uvicorn.Config(
            create_app(workspace, token=token),
            log_level="warning",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=5,
        )
        shown = f"[{host}]" if ":" in host else host
        return Hub(uvicorn.Server(config), listener, f"http://{shown}:{listener.getsockname()[1]}")
    except BaseException:
        listener.close()
        raise


def serve(
    workspace: Workspace,
    host: str = "127.0.0.1",
    port: int = 8686,
    token: str | None = None,
    *,
    announce: Callable[[str], None] = lambda _url: None,
) -> None:
    """Answer until Ctrl-C; `announce` is told the URL once the port is taken. Raises as `prepare`."""
    hub = prepare(workspace, host, port, token)
    announce(hub.url)
    hub.run()


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port < 65_536:
        raise UsageError(f"{port} is no port", mend="choose 1024 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OutsideError(f"{host} is no address of this machine: {error}", mend="use --host 127.0.0.1") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise OutsideError(
            f"the hub can't have {host}:{port}: {error.strerror}",
            mend=f"choose another port: clew hub --port {port + 1}",
        ) from error
    return listener
