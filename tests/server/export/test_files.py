"""The files of an export: whole, in part, compressed, while they are there."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from server.settings import BadSetting, Settings, from_environment
from tests.server.export.exporting import begun, exporting, finished
from tests.server.serving import FHIR_JSON

_PLAIN = {"Accept-Encoding": "identity"}


@asynccontextmanager
async def _filed(*, patients: int = 40) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A client and the URL of a file of some kilobytes."""
    async with exporting() as client:
        for n in range(patients):
            body = {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": "F" * 50}]}
            await client.put(f"/fhir/Patient/p{n}", json=body, headers=FHIR_JSON)
        manifest = (await finished(client, await begun(client))).json()
        yield client, manifest["output"][0]["url"]


async def test_a_file_is_sent_whole_in_part_and_compressed() -> None:
    """The same bytes whichever way; each form has its tag, and only the plain one has ranges."""
    async with _filed() as (client, url):
        whole = await client.get(url, headers=_PLAIN)
        assert whole.headers["content-type"] == "application/fhir+ndjson"
        assert whole.headers["accept-ranges"] == "bytes"
        assert whole.headers["etag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'
        assert len(whole.content.splitlines()) == 40
        size = len(whole.content)
        assert int(whole.headers["content-length"]) == size
        packed = await client.get(url, headers={"Accept-Encoding": "gzip"})
        assert (packed.headers["content-encoding"], packed.content) == ("gzip", whole.content)
        assert packed.headers["etag"] != whole.headers["etag"]
        for accepted in ("identity", "gzip"):
            part = await client.get(url, headers={"Range": "bytes=100-199", "Accept-Encoding": accepted})
            assert (part.status_code, part.content) == (206, whole.content[100:200])
            assert "content-encoding" not in part.headers
            assert part.headers["content-range"] == f"bytes 100-199/{size}"
            assert part.headers["etag"] == whole.headers["etag"]


async def test_a_cut_download_goes_on_only_with_the_same_bytes() -> None:
    """If-Range with the tag of the plain file is 206; with that of the compressed one, the whole."""
    async with _filed() as (client, url):
        whole = await client.get(url, headers=_PLAIN)
        packed = await client.get(url, headers={"Accept-Encoding": "gzip"})
        asked = {"Range": "bytes=10-", **_PLAIN}
        assert (await client.get(url, headers={**asked, "If-Range": whole.headers["etag"]})).status_code == 206
        again = await client.get(url, headers={**asked, "If-Range": packed.headers["etag"]})
        assert (again.status_code, again.content) == (200, whole.content)


async def test_head_tells_what_get_would_send() -> None:
    """The length of the plain file; of a compressed one nobody knows it. A Range does not matter."""
    async with _filed() as (client, url):
        plain = await client.head(url, headers={**_PLAIN, "Range": "bytes=0-1"})
        size = len((await client.get(url, headers=_PLAIN)).content)
        assert (plain.status_code, int(plain.headers["content-length"]), plain.content) == (200, size, b"")
        packed = await client.head(url, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-length" not in packed.headers
        assert packed.headers["etag"] == (await client.get(url, headers={"Accept-Encoding": "gzip"})).headers["etag"]


async def test_what_a_client_has_is_not_sent_again() -> None:
    """304, for the tag of either form."""
    async with _filed() as (client, url):
        for accepted in ("identity", "gzip"):
            tag = (await client.get(url, headers={"Accept-Encoding": accepted})).headers["etag"]
            answer = await client.get(url, headers={"If-None-Match": tag, "Accept-Encoding": accepted})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)


async def test_odd_ranges_are_refused_or_ignored() -> None:
    """416 with the size and an OperationOutcome where nothing lies there; what is no range means the whole."""
    async with _filed(patients=3) as (client, url):
        size = (await client.head(url, headers=_PLAIN)).headers["content-length"]
        for header in ("bytes=9999999-", "bytes=-0"):
            answer = await client.get(url, headers={"Range": header, **_PLAIN})
            assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")
            assert answer.json()["resourceType"] == "OperationOutcome"
        for header in ("bytes=5-1", "bytes=0-1,3-4", "lines=1-2", "x", "bytes=" + "9" * 4_000 + "-"):
            answer = await client.get(url, headers={"Range": header, **_PLAIN})
            assert (answer.status_code, len(answer.content.splitlines())) == (200, 3)


_FOREIGN = (
    *("none.ndjson", "%2e%2e", "..%2fmetadata.json", "%2e%2e%2fstate.json", "metadata.json", "state.json"),
    *("manifest.json", "a/b", "Patient.1.1.ndjson%00", "Patient.1.1.ndjson%0a", "a" * 3_000, "$export", "*", "C:\\x"),
)


async def test_only_files_of_the_manifest_are_there() -> None:
    """Nothing else that the job has, and nothing beside it."""
    async with _filed(patients=1) as (client, url):
        for name in _FOREIGN:
            answer = await client.get(url.rpartition("/")[0] + "/" + name)
            assert answer.status_code == 404, name
            assert answer.json()["resourceType"] == "OperationOutcome"


async def test_files_are_read_only() -> None:
    """405 with what is allowed."""
    async with _filed(patients=1) as (client, url):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await client.request(method, url, content=b"{}", headers=FHIR_JSON)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_presigned_urls_need_a_bucket() -> None:
    """A server on another store does not start, and one line says why."""
    for store in ("file:./data", "memory:"):
        with pytest.raises(BadSetting, match="FHIRSTORE_EXPORT_URLS=presigned: only a store s3://"):
            from_environment({"FHIRSTORE_STORE": store, "FHIRSTORE_EXPORT_URLS": "presigned"})
    settings = from_environment({"FHIRSTORE_STORE": "s3://b/p", "FHIRSTORE_EXPORT_URLS": "presigned"})
    assert (settings.export_urls, settings.export_url_expiry) == ("presigned", 3_600)
    with pytest.raises(BadSetting, match="FHIRSTORE_EXPORT_URL_EXPIRY"):
        from_environment({"FHIRSTORE_EXPORT_URL_EXPIRY": "604801"})
    assert Settings().export_urls == "server"
