"""Running the server: address, token, port, signals."""

import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Sequence
from types import FrameType

import uvicorn

from clew.errors import NotPermittedError, OutsideError
from clew.serving.app import App
from clew.serving.server import Server

_WAIT_SECONDS = 25


def serve(server: Server, *, host: str, port: int, token: str | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; requests on their way are answered first.

    Raises:
        NotPermittedError: an address that others can reach, without a token.
        OutsideError: the port is taken.
    """
    require_token(host, token)
    if threading.current_thread() is threading.main_thread():
        # uvicorn drains on SIGTERM, and then raises the signal again: to have stopped as asked is no failure.
        signal.signal(signal.SIGTERM, _stop)
    bound = bind(host, port)
    server.start()
    app = App(server, token=token)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=_WAIT_SECONDS,
        timeout_keep_alive=75,
    )
    shown = f"http://{host}:{bound.getsockname()[1]}"
    print(f"clew serve: {', '.join(server.routes) or 'no endpoint yet'} at {shown} (pid {os.getpid()})", flush=True)  # noqa: T201
    uvicorn.Server(config).run(sockets=[bound])


def _stop(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(0)


def require_token(host: str, token: str | None) -> None:
    """Only this machine is served without a token. Raises NotPermittedError."""
    if token or _is_loopback(host):
        return
    raise NotPermittedError(
        f"{host} can be reached by others, and there is no token", mend="set CLEW_TOKEN, or serve 127.0.0.1"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OutsideError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, since asyncio sets TCP_NODELAY only then; without it every answer waits for 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(1024)
    except OSError as error:
        bound.close()
        raise OutsideError(
            f"{host}:{port} can't be served: {error.strerror}", mend="choose another with --port, or 0 for any"
        ) from error
    return bound


__all__: Sequence[str] = ("bind", "require_token", "serve")
