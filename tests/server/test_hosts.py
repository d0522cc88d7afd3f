"""A server answers to its own names: a Host that is somebody else's reaches neither data nor links."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from fhirstore.errors import NotFound
from server.access.hosts import for_listener, repeats_any_host
from server.settings import Settings, from_environment
from tests.server.processes import served
from tests.server.serving import FHIR_JSON, serving

LOCAL = ["localhost", "LOCALHOST.", "fhir.localhost:1", "127.0.0.1:8000", "127.8.8.8:80", "127.1:80", "[::1]:8000"]
FOREIGN = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "10.0.0.1",
    "[2001:db8::1]",
    "localhosts",
]


@pytest.mark.parametrize(
    ("allowed", "admitted", "refused"),
    [
        (
            "fhir.example.org",
            ["fhir.example.org", "FHIR.example.org.:8443"],
            ["a.fhir.example.org", "example.org", *LOCAL],
        ),
        ("*.example.org", ["a.example.org", "a.b.example.org"], ["example.org", "xexample.org", "example.org.evil"]),
        ("[2001:db8::1],10.0.0.1", ["[2001:DB8::1]:80", "10.0.0.1:1"], ["[2001:db8::2]", "10.0.0.11"]),
        ("*", ["evil.example", *LOCAL], []),
    ],
)
async def test_only_the_names_in_the_list_are_answered(allowed: str, admitted: list[str], refused: list[str]) -> None:
    """FHIRSTORE_ALLOWED_HOSTS: names, whatever the port and case; others are 421, and nothing is written."""
    settings = from_environment({"FHIRSTORE_ALLOWED_HOSTS": allowed})
    async with serving(settings) as app:
        for host in admitted:
            answer = await app.client.get("/fhir/metadata", headers={"Host": host})
            assert (host, answer.status_code) == (host, 200)
        for host in refused:
            headers = {"Host": host, **FHIR_JSON}
            for _ in range(2):  # the verdict is remembered
                answer = await app.client.put("/fhir/Patient/p", content=b"{}", headers=headers)
                assert (host, answer.status_code) == (host, 421)
                (issue,) = answer.json()["issue"]
                assert "FHIRSTORE_ALLOWED_HOSTS" in issue["diagnostics"]
        assert (await app.client.get("/fhir/metadata", headers={"Host": "a b"})).status_code == 400
        with pytest.raises(NotFound):
            await app.store.tenant("default").read("Patient", "p")


LOOPBACK = ["127.0.0.1", "127.0.0.2", "127.1", "0x7f.1", "2130706433", "::1", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("host", [*LOOPBACK, "localhost", "Localhost.", "a.localhost"])
async def test_a_server_on_loopback_answers_to_loopback_names_only(host: str) -> None:
    """A web page that points its own name at 127.0.0.1 gets nothing (DNS rebinding)."""
    settings = for_listener(Settings(host=host))
    assert not repeats_any_host(Settings(host=host))
    async with serving(settings) as app:
        for name in LOCAL:
            assert (await app.client.get("/fhir/metadata", headers={"Host": name})).status_code == 200
        for name in FOREIGN:
            assert (await app.client.get("/fhir/metadata", headers={"Host": name})).status_code == 421
            assert (await app.client.get("/health/live", headers={"Host": name})).status_code == 200


BEYOND = ["0.0.0.0", "::", "10.0.0.1", "10.1", "127", "::ffff:10.0.0.1"]  # noqa: S104 - judged, not bound
BEYOND += ["fhir.example.org", "localhost.example.org"]


@pytest.mark.parametrize("host", BEYOND)
def test_links_repeat_any_host_only_where_no_setting_names_the_server(host: str) -> None:
    """Beyond loopback every name is answered, which is worth a warning until a setting says which is right."""
    reachable = Settings(host=host)
    assert for_listener(reachable) == reachable
    assert repeats_any_host(reachable)
    assert not repeats_any_host(replace(reachable, base_url="https://fhir.example.org"))
    assert not repeats_any_host(replace(reachable, allowed_hosts=("fhir.example.org",)))


def test_behind_a_proxy_a_base_url_names_the_server() -> None:
    """On loopback with a base URL, a proxy may send whatever Host it likes: links do not repeat it."""
    proxied = Settings(base_url="https://fhir.example.org/fhir")
    assert for_listener(proxied) == proxied
    listed = Settings(allowed_hosts=("fhir.example.org",))
    assert for_listener(listed) == listed


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["alone", "workers"])
@pytest.mark.slow
def test_a_real_server_on_loopback_refuses_a_foreign_name(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """`fhirstore serve` as it comes, and each of several workers."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}/data"}, *arguments) as server:
        for _ in range(4):
            url = f"{server.base_url}/Patient"
            assert httpx.get(url).status_code == 200
            refused = httpx.get(url, headers={"Host": "evil.example"})
            assert (refused.status_code, refused.json()["resourceType"]) == (421, "OperationOutcome")
            assert httpx.get(url.replace("127.0.0.1", "localhost")).status_code == 200


_SERVE = """
import os
from server.commands.serve import serve
from server.settings import from_environment
serve(from_environment(os.environ), host="127.0.0.1", port=0, workers=1)
"""


@pytest.mark.slow
def test_a_server_that_others_can_reach_warns_that_links_repeat_their_host() -> None:
    """The warning follows FHIRSTORE's settings; the listener itself is on loopback here, as tests are."""
    for more, warns in (({}, True), ({"FHIRSTORE_BASE_URL": "http://fhir.example.org/fhir"}, False)):
        env = {**os.environ, "FHIRSTORE_STORE": "memory:", "HOST": "10.0.0.1", **more}
        command = [sys.executable, "-c", _SERVE]
        child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stdout and child.stderr
        try:
            for line in child.stdout:
                if line.strip().startswith("data "):
                    break
        finally:
            child.terminate()
            _, told = child.communicate(timeout=30)
        assert ("FHIRSTORE_ALLOWED_HOSTS" in told) == warns
