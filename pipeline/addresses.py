"""Which addresses a page may be fetched from: public ones, and what the configuration adds.

A name is looked up once, every address that it has is checked, and only those are connected to.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from pipeline.fetch_errors import FetchError, PermanentError, TimedOutError, TransientError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], list[str]]
"""Returns the addresses of a name, or raises OSError."""

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address stands in the last 32 bits
_NOT_PUBLIC: Final = tuple(
    ip_network(text)
    for text in (
        # The IANA special-purpose registries, where Python 3.11 takes an entry for public.
        "64:ff9b:1::/48",  # local NAT64, RFC 8215
        "2002::/16",  # 6to4, RFC 3056: holds any IPv4 address
        "2001::/23",  # IETF protocols; Teredo (RFC 4380) holds any IPv4 address
        "5f00::/16",  # segment routing, RFC 9602
        "3fff::/20",  # documentation, RFC 9637
        "fec0::/10",  # site-local, RFC 3879
        "::/96",  # IPv4-compatible, RFC 4291
        "192.0.0.0/24",  # IETF protocols, RFC 6890
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
    )
)
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_FAIL})


def networks(text: str) -> tuple[Network, ...]:
    """Read a comma-separated list of networks."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise LookupError(
            f"PIPELINE_SCRAPE_ALLOW is {text!r}: it is a list of networks with commas between them,"
            f" such as 10.0.0.0/8 ({error})"
        ) from None


def system(host: str, port: int) -> list[str]:
    """Look a name up as the system does; bytes keep Python's own IDNA out of it."""
    found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True, slots=True)
class Guard:
    """Says which addresses of a host may be connected to."""

    allow: tuple[Network, ...] = ()
    lookup: Lookup = system

    def addresses(self, host: str, port: int, seconds: float) -> list[str]:
        """Return every address of a host; if one of them is refused, so is the host."""
        found = [ip_address(text) for text in self._found(host, port, seconds)]
        if not all(map(self.allows, found)):
            # Which address it is stays untold: callers are not to read an internal DNS by this.
            raise PermanentError(
                "address_refused",
                f"{host} has an address that is not public, and PIPELINE_SCRAPE_ALLOW has not"
                " its network",
            )
        return list(dict.fromkeys(map(str, found)))

    def allows(self, address: Address) -> bool:
        """Tell whether an address may be connected to."""
        meant = _meant(address)
        return is_public(meant) or any(meant in network for network in self.allow)

    def _found(self, host: str, port: int, seconds: float) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            found = _within(seconds, self.lookup, host, port)
        if isinstance(found, OSError):
            raise _unresolved(host, found) from found
        if not found:
            raise PermanentError("dns", f"{host} has no address")
        return found


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the Internet's, and of one host."""
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NOT_PUBLIC)
    )


def _meant(address: Address) -> Address:
    """Return the IPv4 address that is reached by an IPv6 one that holds it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _within(seconds: float, lookup: Lookup, host: str, port: int) -> list[str] | OSError:
    """Look a name up in a thread, since nothing else ends a lookup that takes too long.

    One that was given up goes on until the system's own limits end it, some tens of seconds.
    """
    answer: SimpleQueue[list[str] | OSError] = SimpleQueue()

    def look() -> None:
        try:
            answer.put(lookup(host, port))
        except OSError as error:
            answer.put(error)

    Thread(target=look, name="lookup", daemon=True).start()
    try:
        return answer.get(timeout=seconds)
    except Empty:
        raise TimedOutError("dns", f"{host} was not resolved within {seconds:.1f} s") from None


def _unresolved(host: str, error: OSError) -> FetchError:
    message = f"{host} cannot be resolved: {error.strerror or error}"
    permanent = isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME
    return PermanentError("dns", message) if permanent else TransientError("dns", message)
