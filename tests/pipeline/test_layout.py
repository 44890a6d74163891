"""Where the processes of a pipeline listen."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from pipeline.addresses import Guard, networks
from pipeline.host.layout import SERVERS, STUBS, Layout
from pipeline.host.ports import hold


@pytest.mark.parametrize(("listen", "host"), [("", "127.0.0.1"), ("0.0.0.0", "0.0.0.0")])  # noqa: S104
def test_services_listen_where_they_are_told_and_servers_never_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listen: str, host: str
) -> None:
    """What trusts whoever reaches it stays on the loopback interface: servers and stubs."""
    monkeypatch.setenv("PIPELINE_LISTEN", listen)
    layout = Layout.make(tmp_path)
    hosts = {name: port.held.getsockname()[0] for name, port in layout.ports.items()}
    for port in layout.ports.values():
        port.held.close()
    assert {hosts.pop(name) for name in (*SERVERS, *STUBS)} == {"127.0.0.1"}
    assert set(hosts.values()) == {host}
    assert {port.url.rpartition(":")[0] for port in layout.ports.values()} == {"http://127.0.0.1"}


@pytest.mark.req("P-06")
@pytest.mark.parametrize(
    ("given", "expected"), [(None, "127.0.0.0/8"), ("", ""), ("10.0.0.0/8", "10.0.0.0/8")]
)
def test_pages_of_this_machine_are_scraped_unless_it_is_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    """The site stub is on the loopback interface; the metadata service of a cloud is not."""
    monkeypatch.delenv("PIPELINE_SCRAPE_ALLOW", raising=False)
    if given is not None:
        monkeypatch.setenv("PIPELINE_SCRAPE_ALLOW", given)
    layout = Layout.make(tmp_path)
    for port in layout.ports.values():
        port.held.close()
    for name in ("scraper", "scraper-worker"):
        allowed = layout.env_of(name, frozenset())["PIPELINE_SCRAPE_ALLOW"]
        assert allowed == expected
        assert not Guard(networks(allowed)).allows(ip_address("169.254.169.254"))


def test_a_listener_is_on_the_address_that_was_held() -> None:
    """The socket handed to a service is bound to the same address as the one that held it."""
    port = hold("it", None, "127.0.0.2")
    with port.listener() as listener, port.held:
        assert listener.getsockname() == ("127.0.0.2", port.number)
        with socket.create_connection(("127.0.0.2", port.number), timeout=2):
            pass


def test_what_a_server_writes_is_sent_at_once() -> None:
    """An answer in two parts does not wait 40 ms until the client has acknowledged the first."""

    async def undelayed(listener: socket.socket) -> int:
        options: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            own = writer.get_extra_info("socket")
            options.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(serve, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            found = await options
            writer.close()
            await writer.wait_closed()
        return found

    port = hold("it", None)
    with port.held:
        assert asyncio.run(undelayed(port.listener())) == 1
