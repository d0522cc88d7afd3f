"""Names and addresses of this machine itself."""

from __future__ import annotations

import ipaddress
import socket


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
