"""fhir-kit-client, the FHIR client of many Node.js applications, works with our server as it comes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server.processes import ServeProcess

PACKAGE = "fhir-kit-client@2.0.3"
SCRIPT = Path(__file__).with_name("fhir_kit_client.mjs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the client installed. Skips where there is no node, or no registry to install it from."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not there")
    command = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--silent", PACKAGE]
    installed = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, timeout=300)
    if installed.returncode:
        pytest.skip(f"npm cannot install {PACKAGE}")
    return tmp_path


@pytest.mark.slow
def test_every_interaction_of_the_client_works(folder: Path) -> None:
    """create, read, update, vread, patch, history, conditional create, search, batch, transaction and delete."""
    server = ServeProcess({"FHIRSTORE_STORE": f"file:{folder / 'data'}"})
    server.start()
    try:
        command = ["node", shutil.copy(SCRIPT, folder), server.base_url]  # it looks for packages beside the script
        ran = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
    finally:
        server.stop()
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "created": "1",
        "read": "female",
        "updated": "2",
        "vread": "female",
        "patched": False,
        "history": 3,
        "once": True,
        "found": [True],
        "batch": "201 Created",
        "transaction": "transaction-response",
        "capabilities": "CapabilityStatement",
        "gone": 410,
    }
