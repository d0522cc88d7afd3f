"""The commands of docs/bulk.md are run in its order, against the real app whose exports end soon."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from tests.docs.pages import ROOT, fences
from tests.server.export.exporting import listening
from tests.server.serving import FHIR_JSON


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_a_new_user_exports_with_curl_and_with_the_command(tmp_path: Path) -> None:
    """Started, polled, downloaded, removed; then the command brings the same."""
    blocks = [fence.text for fence in fences(ROOT / "docs" / "bulk.md") if fence.language == "sh"]
    assert len(blocks) == 4
    async with listening() as base, httpx.AsyncClient(base_url=base) as client:
        await client.put("/Patient/p", json={"resourceType": "Patient", "id": "p"}, headers=FHIR_JSON)
        script = "set -eu\n" + "".join(blocks)
        script = script.replace("http://127.0.0.1:8000/fhir", base).replace("sleep 5", "sleep 0.3")
        folder = str(Path(sys.executable).parent)
        ran = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            script,
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(90):
            output, _ = await ran.communicate()
        assert ran.returncode == 0, output.decode()
    assert b"transactionTime" in output
    (by_curl,) = tmp_path.glob("Patient.*.ndjson")
    (by_command,) = (tmp_path / "everyone").glob("Patient.*.ndjson")
    assert by_curl.read_bytes() == by_command.read_bytes()
    assert (tmp_path / "last").read_text().strip()
    assert list((tmp_path / "changes").glob("Patient.*.ndjson"))
