"""The server under abuse, and plain requests to it: a connection each, with a limit to patience."""

from __future__ import annotations

import http.client
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

FHIR_JSON = {"Content-Type": "application/fhir+json"}
FHIR_XML = {"Content-Type": "application/fhir+xml"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class NotHere(Exception):
    """The server is not on this machine, and nobody said that it may be abused all the same."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server answers. `base`: the path of its FHIR API. `patience`: seconds for one answer."""

    host: str
    port: int
    base: str
    patience: float

    def send(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> str:
        """One request below the FHIR base, its answer read to the end; the status, or what came instead of one."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.patience)
        try:
            connection.request(method, f"{self.base}{path}", body, dict(headers or {}))
            response = connection.getresponse()
            while response.read(1 << 20):
                pass
        except TimeoutError:
            return "no answer"
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()
        return str(response.status)

    def connect(self) -> socket.socket:
        """A connection of one's own. Raises OSError."""
        return socket.create_connection((self.host, self.port), timeout=self.patience)

    def head(self, method: str, path: str, **headers: object) -> bytes:
        """A request's head; `_` in names of headers stands for `-`."""
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        return f"{method} {self.base}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{''.join(lines)}\r\n".encode()


def target(url: str, *, patience: float, anywhere: bool = False) -> Target:
    """The server at a FHIR base URL. Raises NotHere where it is not on loopback, unless `anywhere`; ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("a plain http:// URL is needed")
    address = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)[0][4][0]
    if not anywhere and not ipaddress.ip_address(address).is_loopback:
        raise NotHere(f"{parts.hostname} is not this machine; --anywhere says that it may be abused")
    return Target(parts.hostname, parts.port or 80, parts.path.rstrip("/"), patience)
