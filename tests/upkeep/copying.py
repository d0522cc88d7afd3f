"""Copies data from an embedded store to SeaweedFS and back, killing the copier again and again: an opt-in run.

`python -m tests.upkeep.copying FOLDER [--kills 20]`: loads the folder of FHIR files through a server, with some updates
and deletions, copies embedded -> SeaweedFS -> embedded, and kills each copy with SIGKILL at random moments. Then it
checks all three with `fsck --deep`, and compares every object, every history and every export.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import httpx

import conformance.s3servers
from fhirstore import FhirStore
from fhirstore.objects import list_all, open_objects
from fhirstore.upkeep.fsck.run import Thoroughness
from tests.server.processes import run_command, served
from tests.upkeep.copy.copier import s3_options

KEPT = ("resources/", "history/", "identity/", "audit/", "runs/", "binary/", "tx/")


def main() -> int:
    """Does the run. Returns 0 where everything is the same."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    randomness = random.Random(arguments.seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(conformance.s3servers.running(conformance.s3servers.seaweedfs, folder / "weed"))
        server.create_bucket(server.bucket)
        os.environ.update(server.serving(""))
        places = [f"file:{folder / 'first'}", server.location("copy"), f"file:{folder / 'second'}"]
        fill(places[0], arguments.data)
        for source, target in pairwise(places):
            began, kills = time.monotonic(), 0
            while kills < arguments.kills and not killed(source, target, randomness):
                kills += 1
            say(f"{source} -> {target}: {kills} kills, {time.monotonic() - began:.0f} s")
            done = run_command({}, "copy", "--from", source, "--to", target, "--json", "--progress-every", "0")
            say(done.stdout if done.returncode else f"complete after {time.monotonic() - began:.0f} s")
            if done.returncode:
                say(done.stderr)
                return 1
        return compare(places)


def say(line: str) -> None:
    """Print a line now."""
    sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def fill(place: str, data: Path) -> None:
    """Loads the data through a server, and makes further versions of some resources."""
    with served({"FHIRSTORE_STORE": place}) as serving:
        loaded = run_command({}, "load", str(data), "--url", serving.base_url, "--progress-every", "0")
        say(loaded.stdout[-200:])
        with httpx.Client(base_url=serving.base_url, timeout=30) as client:
            patients = client.get("/Patient?_count=20").json()["entry"]
            for n, entry in enumerate(patients):
                resource = entry["resource"]
                for gender in ("other", "unknown", "female"):
                    client.put(f"/Patient/{resource['id']}", json={**resource, "gender": gender}).raise_for_status()
                if n % 5 == 0:
                    client.delete(f"/Patient/{resource['id']}").raise_for_status()
            binary = client.post("/Binary", content=os.urandom(3_000_000), headers={"Content-Type": "image/png"})
            binary.raise_for_status()


def killed(source: str, target: str, randomness: random.Random) -> bool:
    """Copies, and kills the copier after a moment. Returns whether it was done before."""
    command = [sys.executable, "-m", "tests.upkeep.copy.copier", source, target]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return child.wait(0.8 + 4.2 + randomness.expovariate(1 / 1.5)) == 0
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return False


def compare(places: list[str]) -> int:
    """Compares all places with the first one. Returns 0 where all is the same."""
    found = [asyncio.run(facts(place)) for place in places]
    exports = [export(place) for place in places]
    for place, (report, objects, histories), exported in zip(places, found, exports, strict=True):
        hashes = f"histories {histories[:16]}; export {exported[:16]}"
        say(f"{place}: fsck {report or 'clean'}; {len(objects)} objects; {hashes}")
    same = all(each[1:] == found[0][1:] for each in found) and len(set(exports)) == 1
    clean = all(each[0] == found[0][0] for each in found)  # dead entries of the index are no damage, and are copied
    say("the same" if same else "DIFFERENT")
    return 0 if same and clean else 1


async def facts(place: str) -> tuple[dict[str, int], dict[str, str], str]:
    """What fsck finds; the hash of every object that a copy must have; a hash of all histories and versions."""
    async with FhirStore.open(place, tenants=None, s3=s3_options(), create=False) as store:
        tenant = store.tenant("default")
        report = await tenant.upkeep.fsck(Thoroughness(deep=True))
        digest = hashlib.sha256()
        types = sorted({version.type async for version in tenant.history()})
        for type_ in (None, *types):
            async for version in tenant.history(type_):
                facts_ = (version.type, version.id, version.version_id, version.last_updated_ms, version.method)
                digest.update(repr(facts_).encode() + version.content)
                if type_ and not version.deleted:
                    read = await tenant.vread(version.type, version.id, version.version_id)
                    assert read.content == version.content
    objects = await open_objects(place, s3=s3_options(), create=False)
    hashes: dict[str, str] = {}
    async for item in list_all(objects, "default/"):
        key = item.key.removeprefix("default/")
        if key.startswith(KEPT) and not key.endswith((".claim", "/entry.json")):
            hashes[key] = hashlib.sha256((await objects.get(item.key)).body).hexdigest()
    await objects.aclose()
    return dict(report.counts), hashes, digest.hexdigest()


def export(place: str) -> str:
    """A hash of all lines of an export."""
    with tempfile.TemporaryDirectory() as folder, served({"FHIRSTORE_STORE": place}) as serving:
        out = Path(folder) / "out"
        done = run_command({}, "export", "--url", serving.base_url, "--out", str(out), "--progress-every", "0")
        assert done.returncode == 0, done.stderr
        lines = sorted(line for path in sorted(out.glob("*.ndjson")) for line in path.read_bytes().splitlines())
    return hashlib.sha256(b"\n".join(lines)).hexdigest() if lines else "nothing"


if __name__ == "__main__":
    raise SystemExit(main())
