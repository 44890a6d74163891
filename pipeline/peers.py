"""From where somebody calls: whether that is one of our own networks.

The address is the connection's. What X-Forwarded-For says is put in its place by uvicorn, and only
for connections of the proxies in PIPELINE_TRUSTED_PROXIES.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from fastapi import HTTPException

from pipeline import visit

if TYPE_CHECKING:
    from pipeline.settings import Settings

INTERNAL: Final = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,::1/128,fc00::/7"
"""Loopback (RFC 1122, RFC 4291) and the private networks of RFC 1918 and RFC 4193."""


class Peers:
    """The networks from which workers report."""

    def __init__(self, settings: Settings) -> None:
        """Read PIPELINE_INTERNAL_NETWORKS, which is those of RFC 1918 and their like by default."""
        text = settings.env.get("PIPELINE_INTERNAL_NETWORKS") or INTERNAL
        try:
            self._networks = [ip_network(part.strip()) for part in text.split(",")]
        except ValueError as error:
            raise LookupError(
                f"PIPELINE_INTERNAL_NETWORKS: {error}: write networks like 10.0.0.0/8, with commas"
            ) from error

    def internal(self, address: str) -> bool:
        """Tell whether an address is in one of the networks; what is no address is not."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)

    def check(self) -> None:
        """Raise 403 unless the request that is being served comes from inside."""
        own = visit.current()
        if own is None or not self.internal(own.address):
            raise HTTPException(403, "this may be called from the pipeline's own networks only")
