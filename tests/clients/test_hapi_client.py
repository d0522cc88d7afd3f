"""HAPI FHIR's client, that of most Java applications, searches our server as its users do.

Opt-in, RUN_HAPI_CLIENT_TESTS=1: Maven brings 60 MB of packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.clinic import HEART_RATE, PATIENTS, WEIGHT

_VERSION = "8.4.0"
_PROGRAM = Path(__file__).with_name("HapiClient.java")
_PACKAGES = "".join(
    f"<dependency><groupId>ca.uhn.hapi.fhir</groupId><artifactId>{name}</artifactId><version>{_VERSION}</version></dependency>"
    for name in ("hapi-fhir-client", "hapi-fhir-structures-r4")
)
_PROJECT = (
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    f"<groupId>tests</groupId><artifactId>clients</artifactId><version>1</version>"
    f"<dependencies>{_PACKAGES}</dependencies></project>"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("RUN_HAPI_CLIENT_TESTS") != "1", reason="set RUN_HAPI_CLIENT_TESTS=1"),
]


@pytest.fixture
def packages(tmp_path: Path) -> str:
    """The class path of the client. Skips where there is no Java, or no repository to take it from."""
    if shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.skip("java and mvn are not there")
    tmp_path.joinpath("pom.xml").write_text(_PROJECT)
    command = ["mvn", "-q", "dependency:copy-dependencies", "-DoutputDirectory=lib"]
    if subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, timeout=600).returncode:
        pytest.skip("mvn cannot bring HAPI's client")
    return str(tmp_path / "lib" / "*")


def test_its_users_search(packages: str, clinic_url: str) -> None:
    """Pages, forms, XML, chains, includes, operations, and conditions whose header holds a whole URL."""
    ran = subprocess.run(
        ["java", "-cp", packages, str(_PROGRAM), clinic_url], capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    said = [line.removeprefix("SAID ") for line in ran.stdout.splitlines() if line.startswith("SAID ")]
    ids = [f"p{n:02}" for n in range(PATIENTS)]
    newest = ids[::-1]
    assert said == [
        f"total: {PATIENTS}",
        *(f"page: {' '.join(page)}" for page in (newest[:5], newest[5:10], newest[10:])),
        f"previous: {' '.join(newest[5:10])}",
        "posted: p00 p04 p08",
        "identifier: p03",
        "escaped: p01 p03 p05 p07 p09 p11",
        f"missing: {PATIENTS}",
        "born: p08 p09",
        "elements: p01 p02",
        f"heavy: o11-{WEIGHT}",
        f"chained: {' '.join(f'o{n:02}-{HEART_RATE}' for n in (2, 6, 10))}",
        "having: p11",
        f"included: o01-{HEART_RATE} match, p01 include, ada include",
        "referring: 2",
        "everything: 6 6",
        "xml: p01 p05 p09",
        "once: true",
        "left: 0",
    ]
