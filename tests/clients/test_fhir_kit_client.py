"""fhir-kit-client, the FHIR client of many Node.js applications, works with our server as it comes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.clinic import HEART_RATE, PATIENTS
from tests.server.processes import served

PACKAGE = "fhir-kit-client@2.0.3"


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


def _says(folder: Path, script: str, base_url: str) -> dict[str, object]:
    """Runs a script of these tests, and returns what it says."""
    path = shutil.copy(Path(__file__).with_name(script), folder)  # it looks for packages beside the script
    ran = subprocess.run(["node", path, base_url], cwd=folder, check=False, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    said: dict[str, object] = json.loads(ran.stdout)
    return said


@pytest.mark.slow
def test_every_interaction_of_the_client_works(folder: Path) -> None:
    """create, read, update, vread, patch, history, conditional create, search, batch, transaction and delete."""
    with served({"FHIRSTORE_STORE": f"file:{folder / 'data'}"}) as server:
        said = _says(folder, "fhir_kit_client.mjs", server.base_url)
    assert said == {
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


@pytest.mark.slow
def test_its_users_search(folder: Path, clinic_url: str) -> None:
    """Pages in both directions, forms, chains, includes, compartments, all types, and $everything."""
    ids = [f"p{n:02}" for n in range(PATIENTS)]
    newest = ids[::-1]
    assert _says(folder, "fhir_kit_search.mjs", clinic_url) == {
        "total": PATIENTS,
        "pages": [newest[:5], newest[5:10], newest[10:]],
        "previous": newest[5:10],
        "posted": [ids[2:7], ids[7:10]],
        "chained": [f"o{n:02}-{HEART_RATE}" for n in (2, 6, 10)],
        "having": ["p11"],
        "included": {f"o01-{HEART_RATE}": "match", "p01": "include", "ada": "include"},
        "compartment": [[f"o01-{HEART_RATE}"]] * 2,
        "system": [["p01"]] * 2,
        "everything": [6, 6],
        "refused": [400, True],
    }
