"""Connections to addresses that were checked, and to no others.

The resolver refuses a name of which any address is refused. What it returns is what is connected to: there is no second
resolution that could differ. The check is made again where each socket is made, which a host that is an address, and
whatever else may come, cannot avoid.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import cache
from typing import Protocol, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.addresses import is_allowed, parse
from fhirstore.submit.fetching.limits import FetchLimits

_CONNECTIONS = 8
_LONGEST_HEADER = 8_190  # bytes; of 128 at most
_AddressInfo: TypeAlias = tuple[
    int | socket.AddressFamily,
    int | socket.SocketKind,
    int,
    str,
    tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
]


class Lookup(Protocol):
    """Returns the addresses of a name, as text. Raises OSError."""

    async def __call__(self, host: str, port: int) -> list[str]: ...


async def system_lookup(host: str, port: int) -> list[str]:
    """Returns what the machine's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


class CheckedResolver(AbstractResolver):
    """Resolves names to addresses that may be connected to."""

    def __init__(self, lookup: Lookup, *, private: bool) -> None:
        self._lookup = lookup
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Returns the addresses. Raises SourceFailed if any of them is refused, OSError if there are none."""
        found: list[ResolveResult] = []
        for text in dict.fromkeys(await self._lookup(host, port)):
            address = parse(text)
            if address is None or not is_allowed(address, private=self._private):
                raise refused()
            version = socket.AF_INET if address.version == 4 else socket.AF_INET6
            if family in (socket.AF_UNSPEC, version):
                flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
                found.append(ResolveResult(hostname=host, host=text, port=port, family=version, proto=0, flags=flags))
        if not found:
            raise OSError(None, "no address")
        return found

    async def close(self) -> None:
        """Nothing is held."""


def new_session(
    limits: FetchLimits, *, private: bool, lookup: Lookup = system_lookup, tls: ssl.SSLContext | None = None
) -> aiohttp.ClientSession:
    """Returns a session that connects to allowed addresses only; the caller closes it.

    It uses no proxy, no cookies and no netrc file, and decodes nothing. `private`: see `is_allowed`. `tls`: how
    certificates are verified; None: by the machine's authorities, from TLS 1.2 on.
    """
    tls = tls or _verifying()

    def checked_socket(info: _AddressInfo) -> socket.socket:
        address = parse(str(info[4][0]))
        if address is None or not is_allowed(address, private=private):
            raise refused()
        return socket.socket(info[0], info[1], info[2])

    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(lookup, private=private),
        socket_factory=checked_socket,
        use_dns_cache=False,
        limit=_CONNECTIONS,
        ssl=tls,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect, sock_connect=limits.connect),
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
        headers={"User-Agent": "fhirstore"},
    )


@cache
def _verifying() -> ssl.SSLContext:
    """Returns the context that verifies by the machine's authorities; it takes some 30 ms to make."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def refused() -> SourceFailed:
    """The error for an address that is refused; it does not say which, nor whether something answers there."""
    return SourceFailed("The host of the URL has an address that is not a public one", code="forbidden")
