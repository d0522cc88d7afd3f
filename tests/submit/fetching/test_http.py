"""Bodies over HTTP: plain, compressed, continued, and refused."""

from __future__ import annotations

import gzip
import ssl
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from fhirstore.submit.fetching.sources import NetworkSources
from fhirstore.submit.source import Access, Wanted
from tests.submit.fetching.serving import QUICK, Handler, body, fetched, refusal, said, serving, submitter

CONTENT = b"".join(b'{"resourceType":"Patient","id":"%d"}\n' % n for n in range(20_000))


def ranged(content: bytes, *, etag: str | None = '"v1"', **headers: str) -> Handler:
    """A handler that serves ranges as RFC 9110 says."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        named = {**({"ETag": etag} if etag else {}), **headers}
        asked, only_if = request.headers.get("Range"), request.headers.get("If-Range")
        if asked is None or only_if != etag:
            return web.Response(body=content, headers=named)
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
        named["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return web.Response(status=206, body=content[start:], headers=named)

    return answer


async def test_a_body_is_read_as_it_is() -> None:
    """With its headers, and without a cookie or a name of ours."""
    async with serving(ranged(CONTENT)) as provider:
        access = Access(submitter(provider), (("X-Api-Key", "k"), ("x-two", "a"), ("X-TWO", "b")))
        found, etag = await fetched(access, provider.url("/a%2Fb?c=%20d"))
        assert found == CONTENT and etag == 'plain "v1"'
        (seen,) = provider.seen
        assert seen.path_qs == "/a%2Fb?c=%20d" or seen.raw_path == "/a%2Fb?c=%20d"
        assert seen.headers["X-Api-Key"] == "k"
        assert seen.headers["Host"] == provider.host


@pytest.mark.parametrize("start", [1, 4_096, len(CONTENT) - 1, len(CONTENT)])
async def test_a_plain_body_is_continued_by_a_range(start: int) -> None:
    """Only the rest is sent again, of the very same content; at its end nothing."""
    async with serving(ranged(CONTENT)) as provider:
        found, etag = await fetched(submitter(provider), Wanted(provider.url(), start, 'plain "v1"'))
        assert found == CONTENT[start:] and etag == 'plain "v1"'
        assert provider.seen[0].headers["Range"] == f"bytes={start}-"
        assert provider.seen[0].headers["If-Range"] == '"v1"'
        assert provider.seen[0].headers["Accept-Encoding"] == "identity"


async def test_a_body_is_continued_though_the_server_knows_no_ranges() -> None:
    """It is read from its beginning, and what came before is left out."""
    async with serving(body(CONTENT, ETag='"v1"')) as provider:
        found, _ = await fetched(submitter(provider), Wanted(provider.url(), 4_096, 'plain "v1"'))
        assert found == CONTENT[4_096:]


@pytest.mark.parametrize("own", [False, True])
async def test_a_compressed_body_is_continued_from_its_beginning(own: bool) -> None:
    """A byte of the plain content has no place in it; whether the coding is the answer's or the file's own."""
    coded = gzip.compress(CONTENT[:300_000]) + gzip.compress(CONTENT[300_000:]) + bytes(10)
    headers = {} if own else {"Content-Encoding": "gzip"}
    async with serving(ranged(coded, **headers)) as provider:
        found, etag = await fetched(submitter(provider), provider.url())
        assert found == CONTENT and etag == 'coded "v1"'
        found, _ = await fetched(submitter(provider), Wanted(provider.url(), 333_333, etag))
        assert found == CONTENT[333_333:]
        assert all("Range" not in one.headers for one in provider.seen)
        assert all(one.headers["Accept-Encoding"] == "gzip" for one in provider.seen)


async def test_deflate_is_understood_and_other_codings_are_refused() -> None:
    """Only gzip is asked for."""
    async with serving(body(zlib.compress(CONTENT), Content_Encoding="deflate")) as provider:
        assert (await fetched(submitter(provider), provider.url()))[0] == CONTENT
    for coding in ("br", "zstd", "gzip, gzip", "compress"):
        async with serving(body(b"x", Content_Encoding=coding)) as provider:
            assert (await refusal(submitter(provider), provider.url())).issues[0].code == "not-supported"


@pytest.mark.parametrize("known", ['plain "v0"', 'coded "v0"', 'plain W/"v1"', "plain W/[yesterday]"])
@pytest.mark.parametrize("start", [0, 4_096])
async def test_a_file_that_changed_in_the_meantime_is_refused(known: str, start: int) -> None:
    """Lines of two versions must not be mixed."""
    async with serving(ranged(CONTENT)) as provider:
        error = await refusal(submitter(provider), Wanted(provider.url(), start, known))
        assert error.issues[0].code == "conflict" and not error.again


async def test_a_file_that_became_shorter_is_refused() -> None:
    """Even if it has no name that would tell."""
    async with serving(body(b"short")) as provider:
        assert (await refusal(submitter(provider), Wanted(provider.url(), 4_096))).issues[0].code == "conflict"


async def test_a_weak_name_is_compared_but_not_continued_by_a_range() -> None:
    """So is the time of the last change, where there is no entity tag."""
    for headers, name in (
        ({"ETag": 'W/"v1"'}, 'plain W/"v1"'),
        ({"Last_Modified": "Sat, 28 Nov 2026 07:00:00 GMT"}, "plain W/[Sat, 28 Nov 2026 07:00:00 GMT]"),
    ):
        async with serving(body(CONTENT, **headers)) as provider:
            assert (await fetched(submitter(provider), provider.url()))[1] == name
            found, _ = await fetched(submitter(provider), Wanted(provider.url(), 4_096, name))
            assert found == CONTENT[4_096:]
            assert all("Range" not in one.headers for one in provider.seen)


@pytest.mark.parametrize("content_range", ["bytes 0-99/100", "bytes 5-9/100", "items 4096-4097/5000", "", "bytes */9"])
async def test_another_range_than_the_one_asked_for_is_refused(content_range: str) -> None:
    """A server that gets it wrong would shift all lines."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=206, body=b"x" * 100, headers={"ETag": '"v1"', "Content-Range": content_range})

    async with serving(answer) as provider:
        error = await refusal(submitter(provider), Wanted(provider.url(), 4_096, 'plain "v1"'))
        assert error.issues[0].code == "invalid"


async def test_a_body_that_breaks_off_may_be_continued() -> None:
    """What came before is handed on."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(CONTENT))})
        await response.prepare(request)
        await response.write(CONTENT[:100_000])
        assert request.transport is not None
        request.transport.close()
        return response

    async with serving(answer) as provider:
        sources = NetworkSources(limits=QUICK)
        got = b""
        with pytest.raises(Exception, match="failed") as caught:
            access = Access(submitter(provider))
            async with sources.opening(access) as source, source.open(Wanted(provider.url())) as opened:
                async for chunk in opened:
                    got += chunk
        assert caught.value.again  # type: ignore[attr-defined]
        assert got == CONTENT[: len(got)]


@pytest.mark.parametrize("content", [gzip.compress(CONTENT)[:-9], gzip.compress(CONTENT)[:5_000]])
async def test_compressed_data_that_end_early_are_no_whole_file(content: bytes) -> None:
    """Though the answer itself is complete."""
    async with serving(body(content, Content_Encoding="gzip")) as provider:
        assert (await refusal(submitter(provider), provider.url())).issues[0].code == "incomplete"


async def test_damaged_compressed_data_are_refused() -> None:
    """By their checksum at the latest."""
    damaged = bytearray(gzip.compress(CONTENT))
    damaged[-6] ^= 1
    for content in (bytes(damaged), b"\x1f\x8bnonsense", gzip.compress(CONTENT) + b"tail"):
        async with serving(body(content, Content_Encoding="gzip")) as provider:
            assert (await refusal(submitter(provider), provider.url())).issues[0].code == "invalid"


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        (204, "exception", False),
        (304, "exception", False),
        (400, "exception", False),
        (401, "security", False),
        (403, "security", False),
        (404, "not-found", False),
        (410, "not-found", False),
        (416, "exception", False),
        (206, "exception", False),
        (429, "throttled", True),
        (500, "exception", True),
        (502, "exception", True),
        (503, "throttled", True),
    ],
)
async def test_an_answer_without_the_body_is_told(status: int, code: str, again: bool) -> None:
    """With whether it is worth while to ask again."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status)

    async with serving(answer) as provider:
        error = await refusal(submitter(provider), provider.url())
        assert (error.issues[0].code, error.again) == (code, again)


async def test_a_busy_provider_is_asked_again_when_it_says() -> None:
    """Within bounds: a long wait is the job's, not the connection's."""
    waits = ["0", "0"]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if waits:
            return web.Response(status=503, headers={"Retry-After": waits.pop()})
        return web.Response(body=b"at last")

    async with serving(answer) as provider:
        sources = NetworkSources(limits=replace(QUICK, retries=2))
        assert (await fetched(submitter(provider), provider.url(), sources=sources))[0] == b"at last"
        assert len(provider.seen) == 3
        waits.append("3600")
        error = await refusal(submitter(provider), provider.url(), sources=sources)
        assert error.again and len(provider.seen) == 4


@pytest.mark.parametrize(
    ("said_wait", "expected"), [("17", 17.0), (None, 30.0), ("nonsense", 30.0), ("999999", 3_600.0)]
)
async def test_a_manifest_that_is_not_complete_says_when_to_ask_again(said_wait: str | None, expected: float) -> None:
    """HTTP 202; its body is not the manifest."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers = {} if said_wait is None else {"Retry-After": said_wait}
        return web.Response(status=202, body=b"{}", headers=headers)

    async with serving(answer) as provider:
        sources = NetworkSources(limits=QUICK)
        async with (
            sources.opening(Access(submitter(provider))) as source,
            source.open(Wanted(provider.url())) as opened,
        ):
            assert opened.retry_after == expected
            assert [chunk async for chunk in opened] == []


async def test_an_answers_cookie_is_not_sent_back() -> None:
    """A source has no state but its tokens."""
    async with serving(body(b"x", Set_Cookie="a=b")) as provider:
        sources = NetworkSources(limits=QUICK)
        async with sources.opening(Access(submitter(provider))) as source:
            for _ in range(2):
                async with source.open(Wanted(provider.url())) as opened:
                    assert [chunk async for chunk in opened] == [b"x"]
        assert all("Cookie" not in one.headers for one in provider.seen)


async def test_a_file_of_this_machine_is_read_within_the_folders(tmp_path: Path) -> None:
    """Compressed ones too; through a symbolic link only to where it would be allowed anyway."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "a.ndjson").write_bytes(CONTENT)
    (inside / "a.ndjson.gz").write_bytes(gzip.compress(CONTENT))
    (outside / "b").write_bytes(b"secret")
    (inside / "link").symlink_to(outside / "b")
    acme = submitter(folders=(str(inside),))
    for name in ("a.ndjson", "a.ndjson.gz"):
        found, etag = await fetched(acme, (inside / name).as_uri())
        assert found == CONTENT
        found, _ = await fetched(acme, Wanted((inside / name).as_uri(), 4_096, etag))
        assert found == CONTENT[4_096:]
    for url in (
        (inside / "link").as_uri(),
        (outside / "b").as_uri(),
        f"{inside.as_uri()}/../out/b",
        "file:///etc/passwd",
    ):
        error = await refusal(acme, url)
        assert "secret" not in said(error)
    (inside / "a.ndjson").write_bytes(CONTENT + b"\n")
    assert (await refusal(acme, Wanted((inside / "a.ndjson").as_uri(), 4_096, 'plain "x"'))).issues[
        0
    ].code == "conflict"


async def test_a_certificate_is_verified_against_the_name(tmp_path: Path) -> None:
    """One of another name, and one of an unknown authority, are refused; nothing is sent."""
    good, other = certificate(tmp_path, "files.example.org"), certificate(tmp_path, "other.example.org")

    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"secure")

    for served, trusted, expected in ((good, good, b"secure"), (other, other, None), (good, other, None)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(served)
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            port = runner.addresses[0][1]
            tls = ssl.create_default_context(cafile=str(trusted))
            sources = NetworkSources(limits=QUICK, lookup=lookup, tls=tls)
            acme = submitter(f"files.example.org:{port}")
            url = f"https://files.example.org:{port}/"
            if expected is None:
                assert (await refusal(acme, url, sources=sources)).issues[0].code == "security"
            else:
                assert (await fetched(acme, url, sources=sources))[0] == expected
        finally:
            await runner.cleanup()


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate of this name, with its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path
