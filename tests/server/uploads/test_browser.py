"""A page of another origin uploads in Chromium, by forms and by PUT; what is not as promised is refused.

Opt-in: RUN_BROWSER_TESTS=1, and Chromium on the path (Debian: chromium).
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from conformance.s3servers import S3Server
from tests.server.processes import ServeProcess, run_command

_PAGE = Path(__file__).with_name("page.html")
_SECONDS = 120
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("RUN_BROWSER_TESTS") != "1", reason="set RUN_BROWSER_TESTS=1"),
    pytest.mark.skipif(_CHROMIUM is None, reason="there is no Chromium"),
]

REFUSED_BY_S3 = {
    "put": [200, True, 201],
    "form": [204, 201],
    "plain form": 201,
    "put of another size": 403,
    "form of another size": 400,
    "put of another type": 403,
    "form of another type": 403,
    "put of another content": 400,
    "form of another content": [204, 422],
    "second put": 412,
    "late put": 403,
    "late form": 403,
}
REFUSED_BY_SERVER = {
    **REFUSED_BY_S3,
    "put": [204, True, 201],
    "put of another size": 400,
    "form of another size": 413,
    "put of another type": 415,
    "form of another content": [400, 0],
    "second put": 409,
}


@contextmanager
def page_server() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    """Serves the page, and yields its origin and what it reports."""
    reports: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.startswith("/page.html") else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(_PAGE.read_bytes() if self.path.startswith("/page.html") else b"")

        def do_POST(self) -> None:
            reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", reports
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def browser(url: str, profile: Path) -> Iterator[None]:
    """Opens the page in a headless Chromium with a profile of its own."""
    command = [str(_CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [*command, "--remote-debugging-port=0", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.parametrize("kind", ["embedded", "ministack", "seaweedfs"])
def test_a_page_uploads(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """With the rules that `fhirstore lifecycle apply --cors` sets, the page may send, and see what became of it."""
    with page_server() as (origin, reports):
        environment = {"FHIRSTORE_CORS_ORIGINS": origin}
        if kind == "embedded":
            environment["FHIRSTORE_STORE"] = f"file:{tmp_path / 'store'}"
        else:
            s3: S3Server = request.getfixturevalue(kind)
            environment |= s3.serving(s3.location())
            applied = run_command(environment, "lifecycle", "apply", "--cors")
            assert applied.returncode == 0, applied.stdout + applied.stderr
        server = ServeProcess(environment)
        server.start()
        try:
            with browser(f"{origin}/page.html?base={server.base_url}", tmp_path / "profile"):
                report = reports.get(timeout=_SECONDS)
        finally:
            server.stop()
    assert report == (REFUSED_BY_SERVER if kind == "embedded" else REFUSED_BY_S3)
