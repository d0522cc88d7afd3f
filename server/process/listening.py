"""The socket that a server listens on, and how several worker processes share a port.

Workers that accept from one socket share it badly: whichever wakes first takes all connections that wait, and keeps
them. Of 64 connections that were opened at once, one of two workers was seen to have all. So, on Linux, each worker has
a socket of its own at the same port, and the kernel spreads connections over them (SO_REUSEPORT,
https://man7.org/linux/man-pages/man7/socket.7.html).
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass


def bound(host: str, port: int) -> socket.socket:
    """Bound, so that port 0 is answered with the port that was free. Raises OSError where it is taken."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return _bound(family, (host, port), socket.SO_REUSEADDR)


def for_workers(listener: socket.socket) -> socket.socket:
    """What to hand to several workers in place of `listener`, whose port stays taken meanwhile."""
    if sys.platform != "linux":
        return listener
    family, address = listener.family, listener.getsockname()
    listener.close()  # it was alone at the port; from now on others of this user may join
    return _Port(_bound(family, address, socket.SO_REUSEPORT))  # type: ignore[return-value] # one, once unpickled


@dataclass(frozen=True, slots=True)
class _Port:
    """Becomes a socket of one's own wherever it is unpickled: in each worker."""

    held: socket.socket  # does not listen, so nothing is ever sent to it

    def __reduce__(self) -> tuple[object, ...]:
        return _bound, (self.held.family, self.held.getsockname(), socket.SO_REUSEPORT)


def _bound(family: socket.AddressFamily, address: tuple[object, ...], option: int) -> socket.socket:
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener
