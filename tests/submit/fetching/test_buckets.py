"""Objects of buckets as sources, on a real S3 server."""

from __future__ import annotations

import gzip

import pytest

from conformance.s3servers import S3Server
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.store import S3Store
from fhirstore.submit.fetching.sources import NetworkSources
from fhirstore.submit.source import Wanted
from tests.submit.fetching.serving import QUICK, fetched, refusal, said, submitter

CONTENT = b"".join(b'{"resourceType":"Patient","id":"%d"}\n' % n for n in range(40_000))


async def test_an_object_of_an_allowed_bucket_is_read_and_continued(
    ministack: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the server's own credentials; compressed ones too; one that was changed meanwhile is refused."""
    ministack.use(monkeypatch)
    options = S3Options(endpoint_url=ministack.endpoint_url, allow_http=True)
    location = ministack.location()
    sources = NetworkSources(limits=QUICK, s3=options)
    acme = submitter(buckets=(f"{location}/in/",))
    store = await S3Store.open(location, options)
    try:
        await store.put("in/a.ndjson", CONTENT)
        await store.put("in/a.ndjson.gz", gzip.compress(CONTENT))
        await store.put("out/b", b"secret")
        for name in ("a.ndjson", "a.ndjson.gz"):
            url = f"{location}/in/{name}"
            found, etag = await fetched(acme, url, sources=sources)
            assert found == CONTENT
            for start in (4_096, len(CONTENT)):
                found, _ = await fetched(acme, Wanted(url, start, etag), sources=sources)
                assert found == CONTENT[start:]
        await store.put("in/a.ndjson.gz", b"changed")
        error = await refusal(acme, Wanted(url, 4_096, etag), sources=sources)
        assert error.issues[0].code == "conflict"
        for wrong, code in ((f"{location}/out/b", "forbidden"), (f"{location}/in/none", "not-found")):
            error = await refusal(acme, wrong, sources=sources)
            assert error.issues[0].code == code and not error.again
            assert ministack.bucket not in said(error)
    finally:
        await store.aclose()
