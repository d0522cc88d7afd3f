"""The check of a request's Host header against the host names that are allowed.

It prevents two attacks. Links in answers repeat the Host, so a client that sends a false one through a shared cache
decides where the links of other clients lead. And a web page may point its own host name at 127.0.0.1 to reach a server
that is meant for programs of this machine only (DNS rebinding). So a server on loopback answers to loopback names
alone, unless the settings name it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from starlette.types import Scope

from server.http.refusal import Refused
from server.settings import Settings
from server.settings.loopback import is_loopback

_HOST = re.compile(r"([A-Za-z0-9._~%-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
_LOOPBACK = "(loopback)"  # all names and addresses of this machine; not a valid host name itself
_REFUSALS = {
    400: "The request needs one Host header, like example.org or example.org:8000",
    421: "This server does not answer to the name in the Host header; its operator names those it has with "
    "FHIRSTORE_ALLOWED_HOSTS or FHIRSTORE_BASE_URL",
}
_KEPT = 64  # different Host headers whose result is cached


class AllowedHosts:
    """Checks the Host of every FHIR request. `names` None: any well-formed Host is allowed."""

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
    """Returns the settings of a server process: on a loopback address, loopback names are the allowed ones.

    Settings with a base URL, a list of hosts, or a trusted proxy, which passes on the public name, stay as they are.
    """
    named = settings.allowed_hosts is not None or settings.base_url is not None or bool(settings.trusted_proxies)
    if named or not is_loopback(settings.host):
        return settings
    return replace(settings, allowed_hosts=(_LOOPBACK,))


def repeats_any_host(settings: Settings) -> bool:
    """Whether other machines can reach the server under any name, and links will repeat it."""
    return settings.allowed_hosts is None and settings.base_url is None and not is_loopback(settings.host)


def any_host(settings: Settings) -> bool:
    """Whether clients decide under which name they reach the server: no base URL, and no list of names."""
    if settings.base_url is not None:
        return False
    if settings.allowed_hosts is not None:
        return "*" in settings.allowed_hosts
    return bool(settings.trusted_proxies) or not is_loopback(settings.host)


def _verdict(host: str, allowed: frozenset[str] | None) -> int:
    """Returns 200, 400 or 421 for the value of a Host header."""
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
