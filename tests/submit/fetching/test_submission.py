"""A submission over the network, from its first request to its end: real store, real worker, real provider."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from aiohttp import web

from fhirstore.errors import SourceFailed
from fhirstore.store import FhirStore
from fhirstore.submit.fetching.sources import NetworkSources
from fhirstore.submit.lines import Bounds
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.request import SubmitRequest
from fhirstore.submit.submitters import Submitter, Submitters
from tests.submit.fetching.serving import QUICK, Provider, serving, submitter
from tests.submit.fetching.test_encryption import OURS, delivered, encrypted
from tests.submit.fetching.test_oauth import EC, Protected
from tests.submit.providing import ACME, BASE, diagnostics, finished, ndjson, outcomes, patient, working
from tests.submit.providing import QUICK as SHORT

SECRETS = {
    "CLIENT_KEY": json.dumps(EC.as_dict(private=True)),
    "DECRYPTION_KEY": json.dumps(OURS.as_dict(private=True)),
}


def options_for(acme: Submitter) -> SubmitOptions:
    """Small segments, so that a file has several."""
    sources = NetworkSources(limits=QUICK, secrets=SECRETS.get)
    return SubmitOptions(submitters=Submitters([acme]), sources=sources, bounds=Bounds(lines=20), concurrency=8)


def request_for(url: str, **members: object) -> SubmitRequest:
    return SubmitRequest(
        submitter=ACME,
        submission_id="s1",
        manifest_url=url,
        fhir_base_url=BASE,
        status="completed",
        **members,  # type: ignore[arg-type]
    )


def manifest_of(*urls: str, **members: object) -> bytes:
    output = [{"type": "Patient", "url": url} for url in urls]
    return json.dumps({"transactionTime": "2026-11-28T00:00:00Z", "output": output, "error": [], **members}).encode()


async def test_a_manifest_is_fetched_with_its_files_and_one_that_is_refused_fails_alone() -> None:
    """Compressed, cut in the middle and continued, busy at first; off the list, and missing."""
    lines = ndjson([patient(f"cut-{n}") for n in range(200)])
    seen: dict[str, int] = {}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        seen[path] = seen.get(path, 0) + 1
        assert request.headers["X-Api-Key"] == "secret-key"
        base = f"http://{request.headers['Host']}"
        if path == "/manifest":
            if seen[path] == 1:
                return web.Response(status=202, headers={"Retry-After": "0"})
            evil = ("http://evil.example/a", "http://169.254.169.254/latest", "file:///etc/passwd", f"{base}/missing")
            return web.Response(body=manifest_of("zipped?sig=secret-sig", "cut", *evil, requiresAccessToken=False))
        if path == "/zipped":
            content = gzip.compress(ndjson([patient(f"zip-{n}") for n in range(50)]))
            return web.Response(body=content, headers={"Content-Encoding": "gzip"})
        if path == "/cut":
            start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            headers = {"ETag": '"v1"', "Content-Length": str(len(lines) - start)}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(lines) - 1}/{len(lines)}"
            response = web.StreamResponse(status=206 if start else 200, headers=headers)
            await response.prepare(request)
            if seen[path] > 1:
                await response.write(lines[start:])
                return response
            await response.write(lines[: len(lines) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(status=404)

    async with serving(answer) as provider:
        acme = submitter(provider, "169.254.169.254")
        async with FhirStore.open("memory:", limits=SHORT, submit_options=options_for(acme)) as store:
            clinic = store.tenant("default")
            async with working(store) as complained:
                await clinic.submissions.submit(
                    request_for(provider.url("/manifest"), headers=(("X-Api-Key", "secret-key"),))
                )
                status = await finished(clinic)
            assert not complained and not status.failure
            counts = status.manifests[0].counts
            assert (counts.lines, counts.created, counts.failed) == (250, 250, 0)
            assert seen == {"/manifest": 2, "/zipped": 1, "/cut": 2, "/missing": 1}
            continued = [one.headers["Range"] for one in provider.seen if "Range" in one.headers]
            assert len(continued) == 1 and continued != ["bytes=0-"]
            told = [diagnostics(one) for one in await outcomes(clinic, status)]
            assert sum("could not be read" in text for text in told) == 4
            assert "secret" not in json.dumps(told)


async def test_a_protected_and_encrypted_submission_is_read_with_token_and_key() -> None:
    """The manifest for all types, the files for their own."""
    key = os.urandom(32)
    protected = Protected()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = await protected(request)
        if response.status != 200 or not request.path.startswith("/fhir/data/"):
            return response
        content = ndjson([patient(f"p{n}") for n in range(30)])
        if request.path == "/fhir/data/manifest":
            content = manifest_of("file", requiresAccessToken=True)
        return web.Response(body=encrypted(content, key))

    async with serving(answer) as provider:
        acme = submitter(provider, keys=True)
        async with FhirStore.open("memory:", limits=SHORT, submit_options=options_for(acme)) as store:
            clinic = store.tenant("default")
            async with working(store) as complained:
                await clinic.submissions.submit(
                    request_for(
                        provider.url("/fhir/data/manifest"),
                        oauth=(provider.url("/fhir/.well-known/smart-configuration"),),
                        encryption=delivered(key),
                    )
                )
                status = await finished(clinic)
            assert not complained and not status.failure
            assert status.manifests[0].counts.created == 30
            assert [form["scope"] for form in protected.forms] == ["system/*.rs", "system/Patient.rs"]


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "file:///etc/passwd", "s3://bucket/key", "http://evil.example/"]
)
async def test_a_manifest_that_must_not_be_fetched_is_refused_in_the_request(url: str) -> None:
    """Nothing of the submission is stored."""
    acme = submitter(Provider(80), "169.254.169.254")
    async with FhirStore.open("memory:", limits=SHORT, submit_options=options_for(acme)) as store:
        clinic = store.tenant("default")
        with pytest.raises(SourceFailed):
            await clinic.submissions.submit(request_for(url))
        with pytest.raises(Exception, match="no such submission"):
            await clinic.submissions.status(ACME, "s1")


async def test_no_secret_is_in_a_file_of_the_store_once_the_manifest_is_read(tmp_path: Path) -> None:
    """Headers and keys are kept apart until then, and removed."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=manifest_of() if request.path == "/manifest" else b"")

    async with serving(answer) as provider:
        acme = submitter(provider)
        async with FhirStore.open(f"file:{tmp_path}", limits=SHORT, submit_options=options_for(acme)) as store:
            clinic = store.tenant("default")
            async with working(store):
                headers = (("X-Api-Key", "secret-key"),)
                await clinic.submissions.submit(request_for(provider.url("/manifest"), headers=headers))
                await finished(clinic)
            assert provider.seen[0].headers["X-Api-Key"] == "secret-key"
            page = await clinic.submissions._place.objects.list("")
            for item in page.objects:
                found = await clinic.submissions._place.objects.get(item.key)
                assert b"secret-key" not in found.body
