"""Sessions of sources: who we are, whom we trust, which way we go; and what of it is secret.

What is declared wins over the environment. With requests alone it is the other way round: `.netrc`
replaces a bearer token and the credentials of a URL, `HTTPS_PROXY` a session's proxy, and
`REQUESTS_CA_BUNDLE` a session's certificates.
"""

from __future__ import annotations

import http.cookiejar
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import get_auth_from_url

from validator.sources.body import ENCODINGS
from validator.sources.connection import BoundedAdapter
from validator.sources.redaction import Sent, of_basic, of_header, of_url, without

USER_AGENT = "obs-validator"
_HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "connection",
        "content-type",
        "user-agent",
        "x-scope-orgid",
    }
)
"""Headers whose values are no secrets; a tenant is a name."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files: whom to trust instead of the system's, what to show; empty for none."""

    ca: str = ""
    cert: str = ""
    key: str = ""

    def check(self) -> None:
        """Raise `ValueError` unless the files hold what they should."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.ca:
                context.load_verify_locations(self.ca)
        except OSError as exc:
            raise ValueError(f"ca: {self.ca} holds no certificate in PEM: {_short(exc)}") from exc
        try:
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None, password=_no_password)
        except OSError as exc:
            what = f"cert: {self.cert}" + (f" with the key {self.key}" if self.key else "")
            raise ValueError(f"{what} cannot be used: {_short(exc)}") from exc


class SourceSession(requests.Session):
    """A session to one server; `trust` is a file of certificates, `way` a proxy or `none`."""

    def __init__(self) -> None:
        """Declare nothing yet."""
        super().__init__()
        self.trust = ""
        self.way: str | None = None
        self._sent = Sent()
        self._environment: dict[str, dict[str, Any]] = {}
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=()))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Add the credentials: those declared, else those of the URL, else `.netrc`'s."""
        self._sent.remember(of_url(str(request.url)))
        named = {str(name).lower() for name in (*self.headers, *(request.headers or ()))}
        if self.auth is None and request.auth is None:
            if "authorization" in named:
                request.auth = _as_it_is
            elif "@" in urlsplit(str(request.url)).netloc:
                request.auth = get_auth_from_url(str(request.url))
        prepared = super().prepare_request(request)
        self._sent.remember(of_header(str(prepared.headers.get("Authorization", ""))))
        return prepared

    def merge_environment_settings(self, url: Any, *args: Any) -> Any:
        """Return the way to `url`: as declared, else as the environment has it.

        Nothing on this machine is asked through a proxy of the environment.
        """
        del args
        found = self._of_environment(str(url))
        found["stream"] = True  # whoever asks reads within bounds
        if self.trust or found["verify"] is True:
            found["verify"] = self.trust or system_trust()
        if self.way is not None:
            declared = self.way != "none"
            found["proxies"] = {"http": self.way, "https": self.way} if declared else {}
        elif is_local(str(url)):
            found["proxies"] = {}
        return found

    def _of_environment(self, url: str) -> dict[str, Any]:
        """Return what the environment says of the server of `url`; reading it is slow."""
        parts = urlsplit(url)
        server = f"{parts.scheme}://{parts.netloc}"
        if server not in self._environment:
            asked: Any = super().merge_environment_settings(url, {}, None, None, None)
            self._environment[server] = asked
        known = self._environment[server]
        return {**known, "proxies": dict(known["proxies"])}

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - overrides
        """Return nothing: requests would follow with all of our headers, and read without limit."""
        return

    def proxy_for(self, url: str) -> str:
        """Return the proxy that a request to `url` takes, empty for none."""
        found: dict[str, str] = self.merge_environment_settings(url)["proxies"]
        return requests.utils.select_proxy(url, found) or ""

    def knows_us(self, url: str) -> bool:
        """Whether credentials of ours go along to `url`."""
        named = {str(name).lower() for name in self.headers} - _HARMLESS
        return bool(self.auth or named or "@" in urlsplit(url).netloc)

    def redact(self, text: str) -> str:
        """Return `text` without any secret of this session, of its ways, or of what it asked."""
        return without(self._secrets(), text)

    def redact_body(self, body: bytes) -> bytes:
        """Return what a server says without the same; before it is shortened, for it may be."""
        return self.redact(body.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )

    def _secrets(self) -> set[str]:
        """Return every secret."""
        found = self._sent.known()
        for name, value in self.headers.items():
            if str(name).lower() not in _HARMLESS:
                found.update(
                    of_header(value if isinstance(value, str) else value.decode("latin-1"))
                )
        if isinstance(self.auth, tuple):
            found.update(of_basic(str(self.auth[0]), str(self.auth[1])))
        found.update(of_url(self.way or ""))
        for known in tuple(self._environment.values()):
            for way in known["proxies"].values():
                found.update(of_url(way))
        return found


def make_session(
    headers: Mapping[str, str] | None = None, *, connections: int = 16
) -> SourceSession:
    """Return a session for sources that sends `headers` with every request.

    Proxies and netrc of the environment hold, but nothing on this machine is asked by a proxy.
    """
    session = SourceSession()
    session.headers["User-Agent"] = USER_AGENT
    session.headers["Accept-Encoding"] = ", ".join(ENCODINGS)
    session.headers.update(headers or {})
    adapter = BoundedAdapter(pool_connections=connections, pool_maxsize=connections, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_without_query)
    return session


def connect(
    session: SourceSession,
    *,
    auth: str | tuple[str, str] | None = None,
    tls: Tls = Tls(),
    proxy: str | None = None,
) -> None:
    """Have `session` say who we are, trust and show what `tls` names, and take `proxy`.

    `auth` is a bearer token, or a name and a password. `proxy` is its URL, `none` for none
    whatever the environment says, None for that of the environment. Raises `ValueError` for what
    could not be sent or used.
    """
    if isinstance(auth, str):
        session.headers["Authorization"] = f"Bearer {auth}"
    elif auth is not None:
        session.auth = auth
    for name, value in session.headers.items():
        if not sendable(str(value)):
            raise ValueError(
                f"the header {name} cannot be sent: its value has a line break, a space at an end, "
                "or characters beyond Latin-1"
            )
    tls.check()
    session.trust = tls.ca
    session.cert = (tls.cert, tls.key) if tls.key else tls.cert or None
    session.way = proxy


def system_trust() -> str | bool:
    """Return the file or folder of the certificates that this machine trusts.

    True, which is requests' own bundle, where the machine has none (small images).
    """
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return paths.cafile
    if paths.capath and any(Path(paths.capath).iterdir()):
        return paths.capath
    return True


def sendable(value: str) -> bool:
    """Whether a text can be the value of a header."""
    fits = all(ord(char) < 256 for char in value)
    return fits and value == value.strip() and not set(value) & set("\r\n\0")


def is_local(url: str) -> bool:
    """Whether a URL is of this machine."""
    host = urllib3.util.parse_url(url).host or ""
    return host in {"localhost", "[::1]"} or host.startswith("127.")


def shown(url: str) -> str:
    """Return a URL without credentials and query, which may hold secrets."""
    try:
        parsed = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        return "an address that cannot be read"
    return f"{parsed.scheme}://{parsed.netloc}{parsed.path or ''}"


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add nothing: the header is there."""
    return request


def _no_password() -> str:
    """Refuse: OpenSSL would ask for it at the terminal."""
    raise ValueError("its key is encrypted; only keys without a password can be used")


def _short(error: OSError) -> str:
    """Return OpenSSL's or the system's words without its source lines."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not PEM").replace("_", " ").lower()
    return error.strerror or type(error).__name__


def _without_query(record: logging.LogRecord) -> bool:
    """Cut queries off the addresses that urllib3 logs: they may hold secrets."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
        )
    record.exc_info = None
    return True
