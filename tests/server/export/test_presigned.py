"""With FHIRSTORE_EXPORT_URLS=presigned, clients download from the bucket itself."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import httpx
import pytest

from conformance.s3servers import S3Server
from fhirstore import S3Options, open_objects
from fhirstore.commit.limits import Limits
from server.settings import Settings
from tests.server.export.exporting import begun, exporting, finished
from tests.server.serving import FHIR_JSON

_TIMES = Limits(window=3_000, transaction_window=3_000, apply=500)


async def test_the_urls_of_the_manifest_lead_to_the_bucket(
    ministack: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any header; the manifest expires with them, and has new ones when it is asked for again."""
    ministack.use(monkeypatch)
    settings = Settings(export_urls="presigned", export_url_expiry=600)
    objects = await open_objects(
        ministack.location(), s3=S3Options(endpoint_url=ministack.endpoint_url, allow_http=True), create=True
    )
    try:
        async with exporting(settings, objects, times=_TIMES) as client:
            put = await client.put("/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
            assert put.status_code == 201, put.text
            where = await begun(client)
            done = await finished(client, where)
            left = parsedate_to_datetime(done.headers["expires"]) - parsedate_to_datetime(done.headers["date"])
            assert 590 <= left.total_seconds() <= 601
            (item,) = done.json()["output"]
            assert item["url"].startswith(f"{ministack.endpoint_url}/")
            assert done.json()["requiresAccessToken"] is False
            async with httpx.AsyncClient() as anybody:
                answer = await anybody.get(item["url"])
                assert (answer.status_code, answer.headers["content-type"]) == (200, "application/fhir+ndjson")
                assert b'"id":"p"' in answer.content
                part = await anybody.get(item["url"], headers={"Range": "bytes=0-9"})
                assert (part.status_code, part.content) == (206, answer.content[:10])
            assert (await client.delete(where)).status_code == 202
    finally:
        await objects.aclose()
