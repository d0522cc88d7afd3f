"""`python -m tests.uploads.http_child`: one HTTP client that sends or reads a Binary of any size.

It prints a line per 8 MiB, so that a test can kill it in the middle, and at the end one line of JSON: `seconds`;
`busy`, the processor's seconds; `status`; `headers`, in lower case; for a download `size` and, where asked, `sha256`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.runs.child import MIB, blocks, say

_HEAD = 64 * 1024


def content(mib: int, seed: str) -> Iterator[bytes]:
    """So many MiB that no other seed has."""
    for n, data in enumerate(blocks(mib)):
        yield data if n else seed.encode().ljust(64) + data[64:]


def send(url: str, mib: int, *, seed: str, content_type: str) -> tuple[int, dict[str, str]]:
    """POST or, to a URL with an id, PUT."""
    where = urlsplit(url)
    method = "POST" if where.path.endswith("/Binary") else "PUT"
    with socket.create_connection((where.hostname or "", where.port or 80)) as connection:
        head = [f"{method} {where.path} HTTP/1.1", f"host: {where.netloc}", f"content-type: {content_type}"]
        head += [f"content-length: {mib * MIB}", "prefer: return=minimal", "connection: close", "", ""]
        connection.sendall("\r\n".join(head).encode())
        for data in content(mib, seed):
            connection.sendall(data)
        status, headers, _ = answer_of(connection)
    return status, headers


def receive(url: str, *, accept: str, hashed: bool) -> tuple[int, dict[str, str], int, str]:
    """GET. Returns status, headers, size and SHA-256 of the body."""
    where = urlsplit(url)
    hash_, size = hashlib.sha256(), 0
    with socket.create_connection((where.hostname or "", where.port or 80)) as connection:
        head = [f"GET {where.path} HTTP/1.1", f"host: {where.netloc}", f"accept: {accept}", "connection: close", "", ""]
        connection.sendall("\r\n".join(head).encode())
        status, headers, rest = answer_of(connection)
        buffer = memoryview(bytearray(MIB))
        buffer[: len(rest)] = rest
        count = len(rest)
        while True:
            if hashed:
                hash_.update(buffer[:count])
            size += count
            count = connection.recv_into(buffer)
            if not count:
                break
    return status, headers, size, hash_.hexdigest()


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Returns the status, the headers in lower case, and what was read beyond them."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(_HEAD)
        if not more:
            raise ConnectionError("the server closed the connection without an answer")
        got += more
    head, _, rest = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, rest


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.uploads.http_child")
    parser.add_argument("what", choices=["upload", "download"])
    parser.add_argument("url")
    parser.add_argument("--mib", type=int, default=40)
    parser.add_argument("--seed", default="")
    parser.add_argument("--accept", default="*/*")
    parser.add_argument("--hashed", action="store_true")
    asked = parser.parse_args()
    began, worked = time.perf_counter(), time.process_time()
    figures: dict[str, object] = {}
    if asked.what == "upload":
        status, headers = send(asked.url, asked.mib, seed=asked.seed, content_type="application/octet-stream")
    else:
        status, headers, size, sha256 = receive(asked.url, accept=asked.accept, hashed=asked.hashed)
        figures = {"size": size, "sha256": sha256}
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    say(json.dumps({"seconds": seconds, "busy": busy, "status": status, "headers": headers, **figures}))


if __name__ == "__main__":
    main()
