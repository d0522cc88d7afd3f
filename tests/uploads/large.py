"""`python -m tests.uploads.large --store embedded|seaweedfs`: a Binary of 2 GB, up and down through `fhirstore serve`.

It states the server's peak memory, and the rate beside that of a raw client in the same run: for SeaweedFS obstore's
multipart upload and GET of the same bytes; for the embedded store a plain file, fsynced, with and without a SHA-256 of
its bytes. The bound is that of the client that hashes, since content is stored under its hash. Rounds alternate, so
that all meet the same machine.

Then: two uploads of one content are stored once; an upload that is cut in the middle leaves nothing visible and no
upload pending; one whose server is killed leaves nothing visible, and its parts are swept.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from conformance.s3servers import running, seaweedfs
from tests.runs.child import MIB
from tests.runs.large import Place, print_now, run_child
from tests.server.processes import ServeProcess, served

_PATIENCE = 1_800  # seconds
_MOST_MEMORY = 250  # MiB
_LEAST_SHARE = 0.7


@dataclass(slots=True)
class Figures:
    """Rates by step, in MiB/s, and the server's highest memory, in MiB."""

    rates: dict[str, list[float]] = field(default_factory=dict)
    peak: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str, mib: int, seconds: float, *, busy: float, peak: float = 0.0) -> None:
        """Note one step, and say it. `busy`: seconds of CPU of the client, or of the server with its `peak`."""
        self.rates.setdefault(what, []).append(mib / seconds)
        self.peak = max(self.peak, peak)
        whose = f"server's peak {peak:5.0f} MiB, " if peak else ""
        print_now(f"{what:<14} {mib / seconds:8.0f} MiB/s   {whose}{busy / mib * 1024:.2f} s of CPU per GiB")

    def must(self, holds: bool, told: str) -> None:
        """Note a bound that does not hold."""
        if not holds:
            self.wrong.append(told)
            print_now(f"NOT within its bound: {told}")


def http(what: str, url: str, mib: int, *more: str) -> dict[str, object]:
    """Run an HTTP client to its end. Returns its figures."""
    command = [sys.executable, "-m", "tests.uploads.http_child", what, url, "--mib", str(mib), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    if done.returncode:
        raise RuntimeError(f"{what} failed: {done.stderr[-2_000:]}")
    figures: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return figures


def peak(server: ServeProcess, *, reset: bool = False) -> float:
    """The highest memory of the server process since the last reset, in MiB."""
    folder = Path(f"/proc/{server.pid}")
    lines = (folder / "status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    if reset:
        (folder / "clear_refs").write_text("5", encoding="ascii")
    return int(line.split()[1]) / 1024


def busy(server: ServeProcess) -> float:
    """The processor's seconds that the server process has used so far."""
    fields = Path(f"/proc/{server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rounds(place: Place, server: ServeProcess, figures: Figures, *, mib: int, count: int) -> str:
    """Time everything `count` times. Returns the URL of the last Binary."""
    url = ""
    hashed = place.endpoint is None
    for number in range(count):
        for what in ("raw-write", *(["hashed-write"] if hashed else [])):
            raw = run_child(place, what, run_id=f"r{number}", mib=mib)
            figures.note(what, mib, raw["seconds"], busy=raw["busy"])
        peak(server, reset=True)
        before = busy(server)
        sent = http("upload", f"{server.base_url}/Binary", mib, "--seed", f"round {number}")
        figures.must(sent["status"] == 201, f"an upload was answered {sent['status']}")
        used = busy(server) - before
        figures.note("upload", mib, _number(sent["seconds"]), busy=used, peak=peak(server, reset=True))
        headers = sent["headers"]
        assert isinstance(headers, dict)
        url = str(headers["location"]).partition("/_history")[0]
        for what in ("raw-read", *(["hashed-read"] if hashed else [])):
            raw = run_child(place, what, run_id=f"r{number}", mib=mib)
            figures.note(what, mib, raw["seconds"], busy=raw["busy"])
        peak(server, reset=True)
        before = busy(server)
        got = http("download", url, mib)
        figures.must((got["status"], got["size"]) == (200, mib * MIB), f"a download was {got['status']}, {got['size']}")
        used = busy(server) - before
        figures.note("download", mib, _number(got["seconds"]), busy=used, peak=peak(server, reset=True))
        for file in Path(place.location.removeprefix("file:")).parent.glob("store.*"):
            file.unlink()
    got = http("download", url, mib, "--hashed")
    before = busy(server)
    spliced = http("download", url, mib, "--accept", "application/fhir+json")
    used = busy(server) - before
    figures.note("as JSON", mib, _number(spliced["seconds"]), busy=used, peak=peak(server, reset=True))
    digest = got["headers"]
    assert isinstance(digest, dict)
    figures.must(bytes.fromhex(str(got["sha256"])) == _digest(str(digest["repr-digest"])), "other bytes came back")
    return url


def share_one_content(place: Place, server: ServeProcess, figures: Figures, *, mib: int) -> None:
    """Upload the same content twice; one object must hold it."""
    before = asyncio.run(payload_objects(place))
    for _ in range(2):
        http("upload", f"{server.base_url}/Binary", mib, "--seed", "the same")
    after = asyncio.run(payload_objects(place))
    figures.must(len(after) == len(before) + 1, f"two uploads of one content made {len(after) - len(before)} objects")
    print_now("two uploads of one content are stored once")


def cut_in_the_middle(place: Place, server: ServeProcess, figures: Figures, *, mib: int) -> None:
    """Kill a client in the middle of a PUT; nothing may be visible, and nothing pending."""
    before = asyncio.run(payload_objects(place))
    url = f"{server.base_url}/Binary/cut"
    _begin_and_kill(url, mib, lambda child: child.kill())
    for _ in range(100):
        if not asyncio.run(pending(place)):
            break
        time.sleep(0.1)
    figures.must(not asyncio.run(pending(place)), "an upload that was cut is pending")
    figures.must(asyncio.run(payload_objects(place)) == before, "an upload that was cut left an object")
    figures.must(_status(url) == 404, "an upload that was cut is visible")
    print_now("cut by the client: nothing visible, nothing left")


def kill_the_server(place: Place, server: ServeProcess, figures: Figures, *, mib: int) -> None:
    """Kill the server in the middle of a PUT; nothing may be visible, and what is pending is swept."""
    before = asyncio.run(payload_objects(place))
    _begin_and_kill(f"{server.base_url}/Binary/killed", mib, lambda _: server.kill())
    server.start()
    figures.must(_status(f"{server.base_url}/Binary/killed") == 404, "an upload of a killed server is visible")
    figures.must(asyncio.run(payload_objects(place)) == before, "an upload of a killed server left an object")
    left = asyncio.run(pending(place))
    print_now(f"server killed: nothing visible; {left} uploads pending, which the sweep aborts when they are old")


def _begin_and_kill(url: str, mib: int, kill: Callable[[subprocess.Popen[str]], None]) -> None:
    command = [sys.executable, "-m", "tests.uploads.http_child", "upload", url, "--mib", str(mib), "--seed", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("at ") and int(line.split()[1]) >= mib // 2:
                kill(child)
                break
        child.send_signal(signal.SIGKILL)
        child.wait(60)


async def payload_objects(place: Place) -> list[str]:
    """The keys of all payload objects."""
    found: list[str] = []
    async with place.open() as store:
        objects = store.tenancy.stores[0]
        cursor: str | None = None
        while True:
            page = await objects.list("default/binary/payload/", cursor=cursor)
            found += [one.key for one in page.objects]
            cursor = page.cursor
            if cursor is None:
                return sorted(found)


async def pending(place: Place) -> int:
    """How many multipart uploads are pending."""
    async with place.open() as store:
        return len((await store.tenancy.stores[0].list_uploads("default/binary/")).uploads)


def main() -> int:
    """Do what the arguments say; 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.uploads.large", description=__doc__)
    parser.add_argument("--store", choices=["embedded", "seaweedfs"], required=True)
    parser.add_argument("--mib", type=int, default=2_048)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        environment: Mapping[str, str]
        if asked.store == "embedded":
            place = Place(f"file:{Path(folder) / 'store'}", None, {})
            environment = {"FHIRSTORE_STORE": place.location}
        else:
            s3 = stack.enter_context(running(seaweedfs, Path(folder)))
            os.environ.update(s3.environment())
            place = Place(s3.location(), s3.endpoint_url, s3.environment())
            environment = s3.serving(place.location)
        server = stack.enter_context(served(environment))
        rounds(place, server, figures, mib=asked.mib, count=asked.rounds)
        share_one_content(place, server, figures, mib=min(asked.mib, 256))
        cut_in_the_middle(place, server, figures, mib=min(asked.mib, 512))
        kill_the_server(place, server, figures, mib=min(asked.mib, 512))
    _bounds(figures, client="hashed" if asked.store == "embedded" else "raw")
    return 1 if figures.wrong else 0


def _bounds(figures: Figures, *, client: str) -> None:
    for what, raw in (("upload", "write"), ("download", "read")):
        own = statistics.median(figures.rates[what])
        for name in dict.fromkeys(("raw", client)):
            share = own / statistics.median(figures.rates[f"{name}-{raw}"])
            print_now(f"{what}: {share:.2f} of the {name} client's rate")
            if name == client:
                figures.must(share >= _LEAST_SHARE, f"{what}: {share:.2f} of the {name} client's rate")
    print_now(f"the server's peak: {figures.peak:.0f} MiB")
    figures.must(figures.peak <= _MOST_MEMORY, f"the server's peak of {figures.peak:.0f} MiB")


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - http, of this run's server
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _digest(value: str) -> bytes:
    return base64.b64decode(value.removeprefix("sha-256=:").removesuffix(":"))


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


if __name__ == "__main__":
    sys.exit(main())
