"""Every package is pinned with hashes, and the bill of materials names each of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.supply_chain.bill import LOCK, ROOT, NoLock, bill_of, read_lock

_LOCKS = [LOCK, ROOT / "requirements-dev.lock"]


@pytest.mark.parametrize("lock", _LOCKS, ids=lambda lock: lock.name)
def test_every_package_is_pinned_with_hashes(lock: Path) -> None:
    """One version and at least one SHA-256 each; the names are those that the text has."""
    text = lock.read_text()
    packages = read_lock(text)
    assert len(packages) > 30
    assert {one.name for one in packages} == set(re.findall(r"^([a-z0-9-]+)==", text, re.M))


def test_the_makefile_installs_nothing_without_its_hash() -> None:
    """Each `pip install` of packages that stay has --require-hashes; ours comes without dependencies then."""
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line]
    assert lines
    for line in lines:
        assert "--require-hashes" in line or "--no-deps -e ." in line or "$(VENV)/uv" in line or "$(VENV)/audit" in line


def test_the_bill_names_every_package_with_its_hashes() -> None:
    """The command prints CycloneDX 1.6 with all that is in the lock file, and the same each time."""
    command = [sys.executable, "-m", "tests.supply_chain"]
    bill = json.loads(subprocess.run(command, capture_output=True, cwd=ROOT, check=True).stdout)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    packages = {one.purl: one for one in read_lock(LOCK.read_text())}
    assert sorted(component["purl"] for component in bill["components"]) == sorted(packages)
    for component in bill["components"]:
        one = packages[component["purl"]]
        assert (component["type"], component["bom-ref"]) == ("library", one.purl)
        assert (component["name"], component["version"]) == (one.name, one.version)
        assert [hash_["content"] for hash_ in component["hashes"]] == list(one.hashes)
        assert {hash_["alg"] for hash_ in component["hashes"]} == {"SHA-256"}
    about = bill["metadata"]["component"]
    assert (about["name"], about["version"]) == ("fhirstore", version("fhirstore"))
    (needs,) = bill["dependencies"]
    assert needs["ref"] == about["bom-ref"]
    assert {"pkg:pypi/msgspec@" + version("msgspec")} <= set(needs["dependsOn"]) <= set(packages)


@pytest.mark.parametrize(
    "text", ["msgspec>=1\n", "msgspec==1\n", "msgspec @ https://example.org/x.whl --hash=sha256:" + "0" * 64, "-e .\n"]
)
def test_what_pins_nothing_is_refused(text: str) -> None:
    """A range, no hash, a URL, an option."""
    with pytest.raises(NoLock):
        read_lock(text)


def test_a_marker_is_kept() -> None:
    """A package that only some need says where."""
    lock = f"tomli==2.0 ; python_version < '3.11' \\\n    --hash=sha256:{'a' * 64}\n"
    (one,) = read_lock(lock)
    assert one.marker == "python_version < '3.11'"
    project = '[project]\nname="x"\nversion="1"\ndependencies=["tomli>=2"]\n'
    bill = bill_of([one], project=project)
    assert '"value": "python_version < \'3.11\'"' in json.dumps(bill)
