"""The socket that a server listens on, and how several worker processes share a port.

Workers that accept from one socket share it unevenly: the first to wake takes all connections that wait, and keeps
them. So on Linux each worker has a socket of its own at the same port, and the kernel spreads the connections over them
(SO_REUSEPORT,
https://man7.org/linux/man-pages/man7/socket.7.html).
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass


def bound(host: str, port: int) -> socket.socket:
    """Returns a socket bound to the port, or to a free one for port 0. Raises OSError where the port is taken."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return _bound(family, (host, port), socket.SO_REUSEADDR)


def for_workers(listener: socket.socket) -> socket.socket:
    """Returns what several workers are given in place of `listener`, which is closed. The port stays taken."""
    if sys.platform != "linux":
        return listener
    family, address = listener.family, listener.getsockname()
    listener.close()  # it excluded others from the port; from now on sockets of this user may share it
    return _Port(_bound(family, address, socket.SO_REUSEPORT))  # type: ignore[return-value] # it is one once unpickled


@dataclass(frozen=True, slots=True)
class _Port:
    """Becomes a new socket at the same port wherever it is unpickled: in each worker."""

    held: socket.socket  # it does not listen, so no connection is given to it

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
