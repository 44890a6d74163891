"""Failures of TLS in words that say which, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_DISTRUST: Final[Mapping[int, str]] = {
    9: "is not valid yet: the clock of this machine may be behind",
    10: "has expired: renew it on the server",
    18: "is self-signed: name it in `tls.ca` if it is the server's own",
    19: "is from an authority that is not trusted here: name its certificate in `tls.ca`",
    20: "is from an authority that is not known here: name its certificate in `tls.ca`",
    21: "is from an authority that is not known here: name its certificate in `tls.ca`",
    23: "has been revoked: renew it on the server",
    62: "is for another host: use the name that it is for in `url`",
    64: "is for another address: use the name that it is for in `url`",
}
"""OpenSSL's codes of X509_V_ERR_* (x509_vfy.h)."""

_ALERTS: Final[Mapping[str, str]] = {
    "CERTIFICATE_REQUIRED": "wants a client certificate: declare `tls.cert` and `tls.key`",
    "HANDSHAKE_FAILURE": "refused the TLS handshake: it may want a client certificate (`tls.cert`)"
    " or speak another version of TLS",
    "ALERT_UNKNOWN_CA": "does not know the authority of our client certificate (`tls.cert`)",
    "CERTIFICATE_EXPIRED": "says that our client certificate (`tls.cert`) has expired",
    "CERTIFICATE_REVOKED": "says that our client certificate (`tls.cert`) is revoked",
    "BAD_CERTIFICATE": "does not take our client certificate (`tls.cert`), or misses one",
    "CERTIFICATE_UNKNOWN": "does not take our client certificate (`tls.cert`)",
    "ACCESS_DENIED": "knows our client certificate (`tls.cert`) and denies it access",
    "PROTOCOL_VERSION": "speaks another version of TLS than we do",
    "UNSUPPORTED_PROTOCOL": "speaks another version of TLS than we do",
    "UNRECOGNIZED_NAME": "knows no host of that name",
    "WRONG_VERSION_NUMBER": "speaks no TLS on that port: is it http:// and not https://?",
    "HTTP_REQUEST": "speaks no TLS on that port: is it http:// and not https://?",
    "RECORD_LAYER_FAILURE": "speaks no TLS on that port: is it http:// and not https://?",
    "PACKET_LENGTH_TOO_LONG": "speaks no TLS on that port: is it http:// and not https://?",
}
"""By a part of OpenSSL's reason: what a server or we said no to (RFC 8446, 6.2)."""


MAYBE: Final = ": it may want a client certificate (`tls.cert`), or another one"
"""With TLS 1.3 a client certificate is asked for when the client holds the handshake for done; the
refusal may then be lost with the connection."""


def distrust(error: BaseException, where: str) -> str:
    """Say what is wrong with the certificate that `where` showed."""
    said = getattr(error, "verify_message", "") or "it cannot be verified"
    text = _DISTRUST.get(getattr(error, "verify_code", 0), f"is not trusted: {said}")
    return f"the certificate of {where} {text}"


def refusal(error: BaseException, where: str) -> tuple[str, bool]:
    """Say why no TLS came about with `where`; the second tells whether OpenSSL gave a reason."""
    reason = str(getattr(error, "reason", "") or "")
    for part, text in _ALERTS.items():
        if part in reason:
            return f"{where} {text}", True
    if not reason or "EOF" in reason:
        return f"{where} closed the connection in the TLS handshake or right after it{MAYBE}", False
    words = reason.replace("_", " ").lower()
    return f"no TLS with {where}: {words}", True
