"""Which names a server answers to: the Host header of a request, against the names that are allowed.

Without such a list two things go wrong. Links in answers repeat the Host, so who sends one of their choice through a
shared cache decides where the links of other clients lead. And a web page may point a name of its own at 127.0.0.1 and
so reach a server that was meant for programs of this machine only (DNS rebinding). So a server on loopback answers to
loopback names alone, unless the settings say under which name it is reached.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from starlette.types import Scope

from server.http.refusal import Refused
from server.settings import Settings

_HOST = re.compile(r"([A-Za-z0-9._~%-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
_LOOPBACK = "(loopback)"  # stands for all names and addresses that mean this machine; no host can be called so
_REFUSALS = {
    400: "The request needs one Host header, like example.org or example.org:8000",
    421: "This server does not answer to the name in the Host header; its operator names those it has with "
    "FHIRSTORE_ALLOWED_HOSTS or FHIRSTORE_BASE_URL",
}
_KEPT = 64  # different Host headers whose verdict is remembered


class AllowedHosts:
    """The check that every FHIR request passes. `names` None: any well-formed Host is allowed."""

    def __init__(self, names: Sequence[str] | None) -> None:
        allowed = None if names is None or "*" in names else frozenset(names)

        @lru_cache(maxsize=_KEPT)
        def verdict(host: bytes) -> int:
            return _verdict(host.decode("latin-1"), allowed)

        self._verdict = verdict

    def check(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Raises Refused: 400 without a Host (RFC 9112, 3.2), with several or a malformed one; 421 for another name."""
        host = headers.get(b"host")
        missing = 200 if scope["http_version"] == "1.0" else 400
        status = missing if host is None else self._verdict(host)
        if status != 200:
            raise Refused(status, _REFUSALS[status], code="value")


def for_listener(settings: Settings) -> Settings:
    """The settings of a server process: on a loopback address, with loopback names as the allowed ones.

    Settings that name the server by a base URL or a list of hosts stay as they are; so do those of a server behind a
    trusted proxy, which passes on the public name.
    """
    named = settings.allowed_hosts is not None or settings.base_url is not None or bool(settings.trusted_proxies)
    if named or not is_loopback(settings.host):
        return settings
    return replace(settings, allowed_hosts=(_LOOPBACK,))


def repeats_any_host(settings: Settings) -> bool:
    """Whether other machines can reach the server under any name, and links will repeat it."""
    return settings.allowed_hosts is None and settings.base_url is None and not is_loopback(settings.host)


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback address, or a name that always means one (RFC 6761, 6.3)."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _shortened(name).startswith(b"\x7f")
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def _shortened(name: str) -> bytes:
    """The four bytes of an IPv4 address in the forms that sockets and browsers take too (127.1); empty otherwise."""
    try:
        return socket.inet_aton(name)
    except OSError:
        return b""


def _verdict(host: str, allowed: frozenset[str] | None) -> int:
    """200, 400 or 421 for the value of a Host header."""
    match = _HOST.fullmatch(host)
    if match is None:
        return 400
    if allowed is None:
        return 200
    name = match[1].strip("[]").lower().rstrip(".")
    if name in allowed or (_LOOPBACK in allowed and is_loopback(name)):
        return 200
    above = name.split(".")[1:]
    return 200 if any("*." + ".".join(above[n:]) in allowed for n in range(len(above))) else 421
