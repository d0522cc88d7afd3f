"""The socket that a server listens on, and how several worker processes share a port.

Workers that accept from one socket share it unevenly: the first to wake takes all connections that wait, and keeps
them. So on Linux each worker has a socket of its own at the same port, and the kernel spreads the connections over them
(SO_REUSEPORT,
https://man7.org/linux/man-pages/man7/socket.7.html).

All of them have SO_REUSEADDR, too: a connection that the server closed lingers for a minute with the options of the
socket that accepted it, and without that one it would keep the next server from the port.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass

_AGAIN = socket.SO_REUSEADDR


def bound(host: str, port: int) -> socket.socket:
    """Returns a socket bound to the port, or to a free one for port 0. Raises OSError where the port is taken."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return _bound(family, (host, port), _AGAIN)


def for_workers(listener: socket.socket) -> socket.socket:
    """Returns what several workers are given in place of `listener`, which is closed. The port stays taken."""
    if sys.platform != "linux":
        return listener
    family, address = listener.family, listener.getsockname()
    listener.close()  # it excluded others from the port; from now on sockets of this user may share it
    held = _bound(family, address, _AGAIN, socket.SO_REUSEPORT)
    held.setsockopt(socket.SOL_SOCKET, _AGAIN, 0)  # excludes others, until the workers listen
    return _Port(held)  # type: ignore[return-value] # it is one once unpickled


@dataclass(frozen=True, slots=True)
class _Port:
    """Becomes a new socket at the same port wherever it is unpickled: in each worker."""

    held: socket.socket  # it does not listen, so no connection is given to it

    def __reduce__(self) -> tuple[object, ...]:
        return _bound, (self.held.family, self.held.getsockname(), _AGAIN, socket.SO_REUSEPORT)


def _bound(family: socket.AddressFamily, address: tuple[object, ...], *options: int) -> socket.socket:
    listener = socket.socket(family)
    try:
        for option in options:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener
