"""The commands of docs/bulk-submit.md are run in its order, against the server that its own command starts."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.docs.pages import ROOT, fences
from tests.server.processes import ServeProcess


@pytest.mark.kill
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_a_new_user_submits_with_curl_and_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configured, submitted, polled, read; then the command does the same with the store and with the server."""
    blocks = [fence.text for fence in fences(ROOT / "docs" / "bulk-submit.md") if fence.language == "sh"]
    configure, serve, submit, poll, read, locally, remotely = blocks
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    monkeypatch.chdir(tmp_path)

    def run(script: str) -> str:
        folder = str(Path(sys.executable).parent)
        env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        text = "set -euo pipefail\n" + script.replace("127.0.0.1:8001", f"127.0.0.1:{port}")
        done = subprocess.run(["bash", "-c", text], env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(configure)
    variables = dict(re.findall(r"(FHIRSTORE_\w+)=(\S+)", serve))
    assert variables == {"FHIRSTORE_SUBMITTERS": "submitters.json"}
    server = ServeProcess({**variables, "FHIRSTORE_STORE": f"file:{tmp_path / 'data'}"})
    try:
        server.start()
        base = server.base_url
        ran = run((submit + poll + read).replace("http://127.0.0.1:8000/fhir", base))
        assert "countSeverity" in ran and "1 lines, 0 refused; resources: 1 created" in ran
        assert httpx.get(f"{base}/Patient/a").status_code == 200
        assert re.search(r"^ +1 +0 +0 +0 +1 ", run(locally), re.M)  # unchanged
        assert "resources: 1 updated" in run(remotely.replace("http://127.0.0.1:8000/fhir", base))
    finally:
        server.kill()
