"""Certificates for tests: authorities, and servers of every kind of trouble."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

_LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Authority:
    """An authority whose certificate lies in a file."""

    ca: trustme.CA
    path: Path

    @classmethod
    def made(cls, folder: Path) -> Authority:
        """Make one, with its file in `folder`."""
        ca = trustme.CA()
        path = folder / "ca.pem"
        ca.cert_pem.write_to_path(path)
        return cls(ca, path)

    def server(
        self, *names: str, expired: bool = False, clients: Authority | None = None
    ) -> ssl.SSLContext:
        """Return what a server shows: a certificate for `names`; it may want one of `clients`."""
        until = _LONG_AGO + dt.timedelta(days=90) if expired else None
        cert = self.ca.issue_cert(
            *(names or ("127.0.0.1", "localhost")),
            not_after=until,
            not_before=_LONG_AGO if expired else None,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cert.configure_cert(context)
        if clients is not None:
            clients.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, folder: Path) -> tuple[str, str]:
        """Return the paths of a client's certificate and of its key."""
        cert = self.ca.issue_cert("validator@example.org")
        paths = folder / "client.pem", folder / "client.key"
        cert.cert_chain_pems[0].write_to_path(paths[0])
        cert.private_key_pem.write_to_path(paths[1])
        return str(paths[0]), str(paths[1])
