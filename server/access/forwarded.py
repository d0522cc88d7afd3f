"""The headers of proxies: `Forwarded` (RFC 7239) and `X-Forwarded-Proto`, `-Host`, `-Prefix`, `-For`.

They are read only from the proxies that `FHIRSTORE_TRUSTED_PROXIES` names and ignored otherwise: whoever sets them
decides where the links in answers lead.

Each proxy appends to the lists, so the rightmost value is that of the nearest proxy. The client is the rightmost
address that is not a trusted proxy's; scheme and host are those that the outermost trusted proxy saw. Malformed headers
are ignored, and so are values in which the two kinds of header differ: then a client has set one of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "fhirstore.prefix"
"""Key in the scope of a request: the path below which the proxy has this server, without a slash at the end."""

_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,8}")
_PAIR = re.compile(r'([A-Za-z]{1,16})=(?:"([^"\\]{0,300})"|([^\s",;=]{1,300}))')
_ADDRESS_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::[0-9]{1,5})?")
_MOST = 32  # elements of a list
_LONGEST = 4096  # bytes of a header


@dataclass(frozen=True, slots=True)
class _Seen:
    """The values of one kind of header; that of the nearest proxy is the last."""

    clients: Sequence[str] = ()
    schemes: Sequence[str] = ()
    hosts: Sequence[str] = ()
    prefixes: Sequence[str] = ()


class ForwardedRequests:
    """Wraps an app: gives it the request as the client sent it to the outermost trusted proxy."""

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app = app
        self._anybody = "*" in trusted
        self._networks = tuple(ip_network(one, strict=False) for one in trusted if one != "*")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._trusts((scope.get("client") or ("",))[0]):
            scope = self._as_sent(scope)
        await self._app(scope, receive, send)

    def _as_sent(self, scope: Scope) -> Scope:
        given = _headers(scope)
        if not given:
            return scope
        kinds = (_forwarded(given.get(b"forwarded", "")), _x_forwarded(given))
        changes: dict[str, object] = {}
        clients: set[str] = set()
        schemes: set[str] = set()
        hosts: set[str] = set()
        prefixes: set[str] = set()
        for seen in kinds:
            hops = self._hops(seen.clients)
            clients.update(_outermost(seen.clients, hops))
            schemes.update(one.lower() for one in _outermost(seen.schemes, hops))
            hosts.update(_outermost(seen.hosts, hops))
            prefixes.update(_outermost(seen.prefixes, hops))
        client = _address(_only(clients))
        if client is not None:
            changes["client"] = (str(client), 0)
        scheme, host, prefix = _only(schemes), _only(hosts), _only(prefixes).rstrip("/")
        if scheme in ("http", "https"):
            changes["scheme"] = scheme
        if _HOST.fullmatch(host):
            kept = [(name, value) for name, value in scope["headers"] if name != b"host"]
            changes["headers"] = [(b"host", host.encode("ascii")), *kept]
        if _PREFIX.fullmatch(prefix) and not {".", ".."}.intersection(prefix.split("/")):
            changes[PREFIX] = prefix
        return {**scope, **changes}

    def _hops(self, clients: Sequence[str]) -> int:
        """Returns how many trusted proxies the request passed, by the addresses that they saw."""
        hops = 1
        for client in reversed(clients[1:]):
            if not self._trusts(client):
                break
            hops += 1
        return hops

    def _trusts(self, text: str) -> bool:
        if self._anybody:
            return True
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _headers(scope: Scope) -> dict[bytes, str]:
    """Returns the headers of both kinds; several lines of one name become a list. Very long ones are left out."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name == b"forwarded" or name.startswith(b"x-forwarded-"):
            text = value.decode("latin-1")
            found[name] = f"{found[name]},{text}" if name in found else text
    return {name: text for name, text in found.items() if len(text) <= _LONGEST}


def _x_forwarded(given: dict[bytes, str]) -> _Seen:
    def words(name: bytes) -> list[str]:
        text = given.get(name, "")
        return [word.strip() for word in text.split(",")][-_MOST:] if text else []

    return _Seen(
        words(b"x-forwarded-for"),
        words(b"x-forwarded-proto"),
        words(b"x-forwarded-host"),
        words(b"x-forwarded-prefix"),
    )


def _forwarded(text: str) -> _Seen:
    """Parses `for=192.0.2.60;proto=https;host=example.org, for="[2001:db8::1]:4711"`; empty if it is malformed."""
    clients: list[str] = []
    schemes: list[str] = []
    hosts: list[str] = []
    for element in text.split(",")[-_MOST:] if text else ():
        pairs: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in element.split(";"))):
            match = _PAIR.fullmatch(part)
            if match is None or match[1].lower() in pairs:
                return _Seen()
            pairs[match[1].lower()] = match[2] if match[2] is not None else match[3]
        clients.append(pairs.get("for", ""))
        schemes.append(pairs.get("proto", ""))
        hosts.append(pairs.get("host", ""))
    return _Seen(clients, schemes, hosts)


def _outermost(values: Sequence[str], hops: int) -> tuple[str, ...]:
    """Returns the value of the outermost of so many proxies; the first value where a proxy replaced the list."""
    value = values[-hops] if len(values) >= hops else values[0] if values else ""
    return (value,) if value else ()


def _only(values: set[str]) -> str:
    return next(iter(values)) if len(values) == 1 else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Parses an IP address, with or without a port; None if it is malformed."""
    match = _ADDRESS_PORT.fullmatch(text)
    if match is not None:
        text = match[1] or match[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
