"""No page is fetched from an address that is not public, unless the configuration says so."""

from __future__ import annotations

import socket
import threading
import time
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.addresses import Guard, is_public, networks, system
from pipeline.fetch_errors import FetchError, PermanentError, TimedOutError, TransientError

pytestmark = pytest.mark.req("P-06")

_METADATA = "169.254.169.254"
_PUBLIC = ["8.8.8.8", "2001:4860:4860::8888"]


def _addresses(guard: Guard, host: str) -> list[str]:
    return guard.addresses(host, 80, 5)


@pytest.mark.parametrize("address", [*_PUBLIC, "1.1.1.1", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are_visited(address: str) -> None:
    """An address of the Internet's is, also within an IPv6 address that leads to it."""
    assert _addresses(Guard(), address) == [str(ip_address(address))]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3"),  # noqa: S104 - to be refused
        *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1"),
        *(_METADATA, "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
        *("192.88.99.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::7f00:1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254"),
        *("ff02::1", "ff0e::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1"),
        *("::ffff:127.0.0.1", f"::ffff:{_METADATA}", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1"),
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    """Private, loopback, link-local, multicast, reserved, and IPv6 that holds such an IPv4."""
    for host in (address, "site.test"):
        with pytest.raises(PermanentError, match="not public") as refused:
            _addresses(Guard(lookup=lambda _host, _port: [address]), host)
        assert refused.value.code == "address_refused"


@pytest.mark.parametrize("found", [["8.8.8.8", _METADATA], ["fe80::1%lo", "8.8.8.8"]])
def test_one_refused_address_refuses_the_host(found: list[str]) -> None:
    """Of two addresses one that is not public is enough; which it is, is not told."""
    with pytest.raises(PermanentError) as refused:
        _addresses(Guard(lookup=lambda _host, _port: found), "site.test")
    assert refused.value.code == "address_refused"
    assert not any(address in str(refused.value) for address in found)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "localhost"]
)
def test_every_spelling_of_loopback_is_seen_through(host: str) -> None:
    """What the system's resolver takes for an address is judged as the address it is."""
    with pytest.raises(PermanentError) as refused:
        _addresses(Guard(), host)
    assert refused.value.code == "address_refused"
    assert "127.0.0.1" in _addresses(Guard(networks("127.0.0.0/8, ::1/128")), host)


def test_configured_networks_are_visited_and_no_others() -> None:
    """What is allowed is what was named, in either spelling of an IPv4 address."""
    guard = Guard(networks("127.0.0.0/8, fd00::/8"))
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "fd12::1"):
        assert guard.allows(ip_address(address))
    for address in (_METADATA, "10.0.0.1", "::1", "64:ff9b::a9fe:a9fe", "fc00::1"):
        assert not guard.allows(ip_address(address))


@pytest.mark.parametrize("text", ["localhost", "10.0.0.1/8", "127.0.0.0/33", "10.0.0.0/8;::/0"])
def test_networks_that_are_none_are_refused(text: str) -> None:
    """A wrong list says which variable it is, and how one is written."""
    with pytest.raises(LookupError, match=r"PIPELINE_SCRAPE_ALLOW is .* such as 10.0.0.0/8"):
        networks(text)


@pytest.mark.parametrize("text", ["", " ", ","])
def test_no_networks_are_none(text: str) -> None:
    """An empty list allows nothing."""
    assert networks(text) == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), TransientError),
        (socket.gaierror(socket.EAI_SYSTEM, "System error"), TransientError),
        (OSError(24, "Too many open files"), TransientError),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), PermanentError),
        (socket.gaierror(socket.EAI_NODATA, "No address"), PermanentError),
    ],
)
def test_resolvers_errors_have_their_class(error: OSError, kind: type[FetchError]) -> None:
    """A name that is not there will not be there; a resolver in trouble may be well later."""

    def lookup(_host: str, _port: int) -> list[str]:
        raise error

    with pytest.raises(kind, match=f"site.test cannot be resolved: {error.strerror}") as failed:
        _addresses(Guard(lookup=lookup), "site.test")
    assert failed.value.code == "dns"


def test_a_name_without_addresses_has_none() -> None:
    """An empty answer is an answer."""
    with pytest.raises(PermanentError, match="no address"):
        _addresses(Guard(lookup=lambda _host, _port: []), "site.test")


def test_a_lookup_takes_no_longer_than_it_may() -> None:
    """A resolver that hangs is left alone."""
    hangs = threading.Event()

    def lookup(_host: str, _port: int) -> list[str]:
        hangs.wait()
        return _PUBLIC

    begun = time.monotonic()
    with pytest.raises(TimedOutError, match=r"site.test was not resolved within 0.1 s") as late:
        Guard(lookup=lookup).addresses("site.test", 80, 0.1)
    hangs.set()
    assert late.value.code == "dns"
    assert time.monotonic() - begun < 5


def test_system_looks_up_every_address_once() -> None:
    """The system's resolver is asked for the addresses of connections."""
    assert "127.0.0.1" in system("localhost", 80)
    with pytest.raises(OSError, match=r"known|resolution"):
        system("nosuch.invalid", 80)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_what_leads_to_an_address_is_judged_by_it(address: IPv4Address) -> None:
    """Mapped and translated addresses are visited if and only if the IPv4 address is."""
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        wrapped = ip_address(int(ip_address(prefix)) + int(address))
        assert Guard().allows(wrapped) == is_public(address)
