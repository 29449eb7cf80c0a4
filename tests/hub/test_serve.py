import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from tests.hub.conftest import House

from clew.errors import NotPermittedError, OutsideError, UsageError
from clew.hub import Hub, prepare, serve
from clew.workspace import Workspace


@contextmanager
def running(hub: Hub) -> Iterator[str]:
    thread = threading.Thread(target=hub.run)
    thread.start()
    try:
        yield hub.url
    finally:
        hub.stop()
        thread.join(20)
        assert not thread.is_alive()


def test_a_hub_answers_over_its_port_and_gives_it_back(house: House) -> None:
    hub = prepare(house.workspace, port=0)
    with running(hub) as url:
        answer = httpx.get(f"{url}/health", trust_env=False, timeout=20)
        assert answer.json() == {"status": "ok"}
        assert "server" not in answer.headers
        assert "house-price" in httpx.get(f"{url}/", trust_env=False, timeout=20).text
    port = int(url.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_a_taken_port_is_said_before_the_start(house: House) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(OutsideError, match=f"127.0.0.1:{port}") as caught:
            serve(house.workspace, port=port, announce=lambda url: pytest.fail(f"announced {url}"))
    assert caught.value.mend == f"choose another port: clew hub --port {port + 1}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "hub.example"])
def test_other_machines_are_let_in_with_a_token_only(house: House, host: str) -> None:
    with pytest.raises(NotPermittedError) as caught:
        prepare(house.workspace, host=host, port=0)
    assert caught.value.mend is not None
    assert "CLEW_TOKEN" in caught.value.mend


def test_all_addresses_are_served_with_a_token(house: House) -> None:
    hub = prepare(house.workspace, host="0.0.0.0", port=0, token="a-token-nobody-guesses")
    with running(hub) as url:
        here = url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{here}/", trust_env=False, timeout=20).status_code == 303


def wrong(workspace: Workspace, **options: object) -> str:
    with pytest.raises((UsageError, OutsideError)) as caught:
        prepare(workspace, **options)  # type: ignore[arg-type]
    assert caught.value.mend
    return str(caught.value)


def test_what_cannot_be_served_is_refused(house: House) -> None:
    assert "can be guessed" in wrong(house.workspace, token="short")
    assert "can be guessed" in wrong(house.workspace, token="")
    assert "no port" in wrong(house.workspace, port=70_000)
    assert "no address" in wrong(house.workspace, host="no-such-host.invalid", token="a-token-nobody-guesses")
