"""A server with a certificate of its own: what it accepts, what it refuses, and how its certificate is replaced."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from server.process.tls import BadCertificate, Files, Tls
from server.settings import BadSetting, from_environment
from tests.server.certificates import make_certificate
from tests.server.processes import ServeProcess, run_command, served

PATIENCE = 30.0  # seconds


def tls_env(folder: Path, **more: str) -> dict[str, str]:
    """The settings of a server with a new certificate."""
    certificate, key = make_certificate(folder)
    return {
        "FHIRSTORE_STORE": "memory:",
        "FHIRSTORE_TLS_CERT": str(certificate),
        "FHIRSTORE_TLS_KEY": str(key),
        **more,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """One for all tests that leave it as it is."""
    with served(tls_env(tmp_path_factory.mktemp("tls"))) as value:
        yield value


def plain(server: ServeProcess) -> socket.socket:
    """A TCP connection."""
    url = urlsplit(server.base_url)
    return socket.create_connection((url.hostname or "", url.port or 0), timeout=PATIENCE)


def secured(
    server: ServeProcess, context: ssl.SSLContext | None = None, *, name: str | None = "localhost"
) -> ssl.SSLSocket:
    """A TLS connection. `name`: sent as SNI; None: nothing."""
    return (context or server.trust()).wrap_socket(plain(server), server_hostname=name)


def serial_of(connection: ssl.SSLSocket) -> str:
    """The serial number of the server's certificate."""
    certificate = connection.getpeercert()
    assert certificate
    return str(certificate["serialNumber"])


def alive(connection: socket.socket) -> bool:
    """Asks on this connection whether the server lives, and leaves it open."""
    connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        more = connection.recv(4096)
        if not more:
            return False
        answer += more
    return answer.startswith(b"HTTP/1.1 200 ")


def test_links_and_headers_are_those_of_https(server: ServeProcess) -> None:
    """The greeting, Location and the link of a Bundle have https, and browsers are told to stay with it."""
    assert server.base_url.startswith("https://")
    with httpx.Client(verify=server.trust()) as client:
        made = client.post(f"{server.base_url}/Patient", json={"resourceType": "Patient"})
        assert made.status_code == 201
        assert made.headers["location"].startswith(f"{server.base_url}/Patient/")
        assert made.headers["strict-transport-security"] == "max-age=31536000"
        found = client.get(f"{server.base_url}/Patient?_id=x").json()
        assert found["link"][0]["url"].startswith(server.base_url)


def test_large_bodies_pass_both_ways(server: ServeProcess) -> None:
    """Five megabytes up and down, and a refusal that the client finds after it has sent all."""
    body = os.urandom(5_000_000)
    with httpx.Client(verify=server.trust(), timeout=PATIENCE) as client:
        url = f"{server.base_url}/Binary/large"
        assert client.put(url, content=body, headers={"Content-Type": "application/x"}).status_code == 201
        assert client.get(url, headers={"Accept": "application/x"}).content == body
        refused = client.put(
            f"{server.base_url}/Patient/p", content=b" " * 20_000_000, headers={"Content-Type": "application/fhir+json"}
        )
        assert refused.status_code == 413


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_protocols_and_weak_ciphers_are_refused(server: ServeProcess) -> None:
    """TLS 1.1, and ciphers without forward secrecy or authenticated encryption, end in the handshake."""
    for weaken in ("version", "AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256"):
        context = server.trust()
        if weaken == "version":
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        else:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(f"{weaken}:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            secured(server, context)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = server.trust()
        context.minimum_version = context.maximum_version = version
        with secured(server, context) as connection:
            assert alive(connection)


def test_http_1_1_is_what_is_spoken(server: ServeProcess) -> None:
    """ALPN offers it alone; a client that knows only HTTP/2 is told so in HTTP/1.1."""
    context = server.trust()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secured(server, context) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
    context.set_alpn_protocols(["h2"])
    with secured(server, context) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 505 ")


def test_a_client_without_sni_is_served(server: ServeProcess) -> None:
    """One that names no host gets the certificate all the same."""
    context = server.trust()
    context.check_hostname = False
    with secured(server, context, name=None) as connection:
        assert alive(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\0" * 100,
        b"\x15\x03\x03\0\x02\x02\x28",
    ],
)
def test_what_is_no_handshake_is_disconnected(server: ServeProcess, sent: bytes) -> None:
    """Plain HTTP, nonsense and an alert: the connection ends at once, without a word in plain text."""
    began = time.monotonic()
    with plain(server) as connection:
        connection.sendall(sent)
        assert b"HTTP" not in connection.recv(4096)
    assert time.monotonic() - began < PATIENCE / 6
    with secured(server) as connection:
        assert alive(connection)


@pytest.mark.parametrize(
    ("how", "workers"), [("SIGHUP", 1), ("at its next look", 1), pytest.param("SIGHUP", 2, marks=pytest.mark.slow)]
)
def test_a_new_certificate_counts_from_the_next_handshake(tmp_path: Path, workers: int, how: str) -> None:
    """Connections that are open go on; new ones see the new certificate, in every worker."""
    arguments = ["--workers", str(workers)] if workers > 1 else []
    env = tls_env(tmp_path, FHIRSTORE_STORE=f"file:{tmp_path}/data")
    with served(env, *arguments) as server, secured(server) as open_one:
        before = serial_of(open_one)
        for old, new in zip(make_certificate(tmp_path, "new"), ("server.pem", "server.key"), strict=True):
            shutil.move(old, tmp_path / new)
        if how == "SIGHUP":
            os.kill(server.pid, signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        seen: list[str] = []
        while len(seen) < 8:  # by then either worker has answered, almost surely
            assert time.monotonic() < deadline
            try:
                with secured(server) as connection:
                    serial = serial_of(connection)
                    assert alive(connection)
                seen = [*seen, serial] if serial != before else []
            except ssl.SSLCertVerificationError:  # the old one, which the new authority did not sign
                seen = []
            if not seen:
                time.sleep(0.1)
        assert len(set(seen)) == 1
        assert alive(open_one)


def test_files_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    """While only one of two files is replaced, or one is broken, the certificate in use stays, and it is said why."""
    certificate, key = make_certificate(tmp_path)
    other, other_key = make_certificate(tmp_path, "other")
    said: list[str] = []
    tls = Tls(Files(str(certificate), str(key)), say=said.append)
    in_use = tls._current
    tls.look()
    assert said == []
    shutil.copy(other, certificate)
    tls.look()
    assert tls._current is in_use
    assert said == [
        "the certificate in use stays: FHIRSTORE_TLS_KEY is not the key of the first certificate in FHIRSTORE_TLS_CERT"
    ]
    tls.look()
    assert len(said) == 1  # once for each change
    shutil.copy(other_key, key)
    tls.look()
    assert tls._current is not in_use
    assert said[1:] == ["the certificate was loaded again"]


def test_unusable_files_are_told_at_the_start(tmp_path: Path) -> None:
    """In one line that names the setting, and none of the key or its password."""
    certificate, key = make_certificate(tmp_path)
    locked, locked_key = make_certificate(tmp_path, "locked", password="open sesame")
    _, foreign = make_certificate(tmp_path, "foreign")
    (tmp_path / "nonsense").write_text("no PEM")
    for files, told in (
        (Files(str(tmp_path / "none"), str(key)), "FHIRSTORE_TLS_CERT: .*/none is no file"),
        (Files(str(certificate), str(tmp_path / "none")), "FHIRSTORE_TLS_KEY: .*/none is no file"),
        (Files(str(certificate), str(foreign)), "FHIRSTORE_TLS_KEY is not the key"),
        (Files(str(certificate), str(tmp_path / "nonsense")), "no certificate and key in PEM"),
        (Files(str(locked), str(locked_key)), "FHIRSTORE_TLS_KEY_PASSWORD is missing or wrong"),
        (Files(str(locked), str(locked_key), "wrong one"), "FHIRSTORE_TLS_KEY_PASSWORD is missing or wrong"),
    ):
        with pytest.raises(BadCertificate, match=told):
            files.context()
    Files(str(locked), str(locked_key), "open sesame").context()
    assert "sesame" not in repr(Files("a", "b", "open sesame"))
    ended = run_command(
        {"FHIRSTORE_STORE": "memory:", "FHIRSTORE_TLS_CERT": str(certificate), "FHIRSTORE_TLS_KEY": str(foreign)},
        "serve",
    )
    assert ended.returncode != 0
    assert "FHIRSTORE_TLS_KEY is not the key" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_health_check_of_a_container_asks_by_https(server: ServeProcess) -> None:
    """It knows the settings of the server beside it, and does not verify its name."""
    port = urlsplit(server.base_url).port
    script = Path(__file__).parents[2] / "docker" / "healthcheck.py"
    for setting, code in (({"FHIRSTORE_TLS_CERT": "it is set"}, 0), ({}, 1)):
        env = {"PATH": os.environ["PATH"], "PORT": str(port), **setting}
        done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout


@pytest.mark.parametrize("alone", ["FHIRSTORE_TLS_CERT", "FHIRSTORE_TLS_KEY", "FHIRSTORE_TLS_KEY_PASSWORD"])
def test_certificate_and_key_go_together(alone: str) -> None:
    """One without the other would silently serve plain HTTP."""
    with pytest.raises(BadSetting, match="FHIRSTORE_TLS_KEY"):
        from_environment({alone: "x"})


def test_clients_that_never_finish_a_handshake_hold_no_place(tmp_path: Path) -> None:
    """With room for 16 connections, 200 that send nothing or half of a hello do not keep others out, and are ended."""
    env = tls_env(tmp_path, FHIRSTORE_MAX_CONNECTIONS="16", FHIRSTORE_IO_TIMEOUT="2")
    with served(env) as server, ExitStack() as stack:
        flood = [stack.enter_context(plain(server)) for _ in range(200)]
        for connection in flood[::2]:
            with suppress(ConnectionError):  # refused by now
                connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        served_in, deadline = 0, time.monotonic() + PATIENCE
        while served_in < 20:
            assert time.monotonic() < deadline, "the flood keeps others out"
            try:
                with secured(server) as connection:
                    served_in += alive(connection)
            except (OSError, ssl.SSLError):
                time.sleep(0.05)  # refused for the first second, while all are new
        for connection in flood:
            with suppress(ConnectionError):
                assert connection.recv(1) == b""


def test_a_server_ends_while_handshakes_hang(tmp_path: Path) -> None:
    """Neither an unfinished handshake nor an idle TLS connection keeps it from ending with exit code 0."""
    with served(tls_env(tmp_path)) as server, plain(server), secured(server) as idle:
        assert alive(idle)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < PATIENCE / 2
