"""Attempts to make the server fetch what it must not, or more than it should: all refused, in bounded time."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from dataclasses import replace

import pytest
from aiohttp import web

from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.connecting import CheckedResolver
from fhirstore.submit.fetching.limits import FetchLimits
from fhirstore.submit.fetching.sources import NetworkSources
from fhirstore.submit.lines import Bounds, segments
from fhirstore.submit.source import Access, Wanted
from tests.submit.fetching.serving import (
    QUICK,
    Provider,
    body,
    fetched,
    refusal,
    said,
    serving,
    serving_bytes,
    submitter,
)


class Names:
    """A resolver that answers as scripted: the next answer at each question, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def resolving(*answers: list[str], limits: FetchLimits = QUICK) -> tuple[NetworkSources, Names]:
    names = Names(*answers)
    return NetworkSources(limits=limits, lookup=names), names


# --- addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1", "fe80::1", "0.1.2.3"]
)
async def test_a_listed_name_with_a_private_address_is_refused(address: str) -> None:
    """Nothing is connected to."""
    async with serving(body(b"private")) as provider:
        sources, _ = resolving([address])
        public_only = submitter(f"files.example.org:{provider.port}", private=False)
        error = await refusal(public_only, f"http://files.example.org:{provider.port}/", sources=sources)
        assert error.issues[0].code == "forbidden" and not error.again
        assert address not in said(error)
        assert provider.seen == []


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    """A name that has both is how a second resolution is meant to differ."""
    async with serving(body(b"private")) as provider:
        sources, _ = resolving(["93.184.216.34", "127.0.0.1"])
        public_only = submitter(f"files.example.org:{provider.port}", private=False)
        error = await refusal(public_only, f"http://files.example.org:{provider.port}/", sources=sources)
        assert error.issues[0].code == "forbidden"
        assert provider.seen == []


async def test_the_resolver_refuses_all_of_a_name_with_a_private_address() -> None:
    """Before anything is connected to; and it has no other family's addresses than it was asked for."""
    for answer in (["93.184.216.34", "127.0.0.1"], ["::1", "93.184.216.34"], ["nonsense"]):
        with pytest.raises(SourceFailed):
            await CheckedResolver(Names(answer), private=False).resolve("files.example.org", 443, socket.AF_UNSPEC)
    both = CheckedResolver(Names(["93.184.216.34", "2606:4700::1", "93.184.216.34"]), private=False)
    assert [one["host"] for one in await both.resolve("a", 443, socket.AF_UNSPEC)] == ["93.184.216.34", "2606:4700::1"]
    assert [one["host"] for one in await both.resolve("a", 443, socket.AF_INET6)] == ["2606:4700::1"]
    with pytest.raises(OSError, match="no address"):
        await CheckedResolver(Names([]), private=False).resolve("a", 443)


async def test_a_name_that_resolves_anew_to_something_else_is_checked_anew() -> None:
    """Each connection is to an address of the very answer that was checked; there is one question for each."""

    async def closing(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"public", headers={"Connection": "close"})

    async with serving(closing) as provider:
        sources, names = resolving(["127.0.0.1"], ["169.254.169.254"])
        acme = submitter(f"files.example.org:{provider.port}")
        url = f"http://files.example.org:{provider.port}/"
        assert (await fetched(acme, url, sources=sources))[0] == b"public"
        assert names.asked == 1
        error = await refusal(acme, url, sources=sources)
        assert names.asked == 2 and error.issues[0].code == "forbidden"
        assert len(provider.seen) == 1


async def test_the_address_is_checked_again_where_the_socket_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the resolver let one through, it is not connected to."""

    async def unchecked(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr("fhirstore.submit.fetching.connecting.CheckedResolver.resolve", unchecked)
    async with serving(body(b"private")) as provider:
        public_only = submitter(f"files.example.org:{provider.port}", private=False)
        error = await refusal(public_only, f"http://files.example.org:{provider.port}/")
        assert error.issues[0].code == "forbidden"
        assert provider.seen == []


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve names by itself."""
    async with serving(body(b"by proxy")) as proxy, serving(body(b"direct")) as provider:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.host}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await fetched(submitter(provider), provider.url()))[0] == b"direct"
        assert proxy.seen == []


# --- redirects ----------------------------------------------------------------------------------------------


def redirecting(*locations: str, status: int = 302) -> object:
    """A handler that redirects to one after the other."""
    left = list(locations)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": left.pop(0)}) if left else web.Response(body=b"end")

    return answer


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://evil.example/",
        "//evil.example/",
        "file:///etc/passwd",
        "s3://bucket/key",
        "gopher://127.0.0.1/",
        "http://user:secret@127.0.0.1/",
        "http://[",
        "",
    ],
)
async def test_a_redirect_is_checked_like_the_first_url(location: str) -> None:
    """Off the list, of another scheme, or malformed: refused."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers = {"Location": location} if location else {}
        return web.Response(status=302, headers=headers)

    async with serving(answer) as provider:
        acme = submitter(provider, "169.254.169.254", "[::ffff:169.254.169.254]")
        error = await refusal(acme, provider.url())
        assert not error.again
        assert len(provider.seen) == 1
        assert "secret" not in said(error)


async def test_a_chain_of_redirects_has_an_end() -> None:
    """Five are followed, the sixth is not."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        left = int(request.path[1:])
        if not left:
            return web.Response(body=b"end")
        return web.Response(status=307, headers={"Location": f"/{left - 1}"})

    async with serving(answer) as provider:
        acme = submitter(provider)
        assert (await fetched(acme, provider.url("/5")))[0] == b"end"
        provider.seen.clear()
        error = await refusal(acme, provider.url("/6"))
        assert error.issues[0].code == "too-costly"
        assert len(provider.seen) == 6


async def test_headers_of_the_request_do_not_follow_a_redirect_to_another_origin() -> None:
    """Not even to a host on the list, and not back either. Within the origin they do."""
    async with serving(body(b"end")) as second:

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            to = "/inside" if request.path == "/file" else second.url()
            return web.Response(status=302, headers={"Location": to})

        async with serving(answer) as first:
            headers = (("X-Api-Key", "secret"), ("Authorization", "Basic secret"))
            assert (await fetched(Access(submitter(first, second), headers), first.url()))[0] == b"end"
            assert [one.headers.get("X-Api-Key") for one in first.seen] == ["secret", "secret"]
            assert [one.headers.get("Authorization") for one in first.seen] == ["Basic secret", "Basic secret"]
            assert "X-Api-Key" not in second.seen[0].headers
            assert "Authorization" not in second.seen[0].headers


# --- too much, too slowly -----------------------------------------------------------------------------------


def bomb(size: int) -> bytes:
    return gzip.compress(bytes(size), 9)


@pytest.mark.parametrize("coding", ["gzip", "deflate", ""])
async def test_a_gzip_bomb_is_refused_before_it_has_grown(coding: str) -> None:
    """By its ratio, whether the coding is the answer's or the file's own."""
    content = zlib.compress(bytes(64 << 20), 9) if coding == "deflate" else bomb(64 << 20)
    headers = {"Content_Encoding": coding} if coding else {}
    async with serving(body(content, **headers)) as provider:
        error = await refusal(submitter(provider), provider.url())
        assert error.issues[0].code == "too-costly" and not error.again


async def test_a_bomb_within_a_bomb_is_refused() -> None:
    """Each layer is bounded."""
    async with serving(body(gzip.compress(bomb(64 << 20)), Content_Encoding="gzip")) as provider:
        assert (await refusal(submitter(provider), provider.url())).issues[0].code == "too-costly"


async def test_a_server_that_never_ends_is_cut_at_the_limit_of_size() -> None:
    """Whether it says a length or not."""

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b'{"resourceType":"Patient"}\n' * 1000)

    async with serving(endless) as provider:
        sources = NetworkSources(limits=replace(QUICK, size=1 << 20))
        error = await refusal(submitter(provider), provider.url(), sources=sources)
        assert error.issues[0].code == "too-costly"


async def test_an_endless_line_is_not_held() -> None:
    """It is dropped as it comes, and the body ends at its limit of size."""

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    async with serving(endless) as provider:
        sources = NetworkSources(limits=replace(QUICK, size=8 << 20))
        async with (
            sources.opening(Access(submitter(provider))) as source,
            source.open(Wanted(provider.url())) as opened,
        ):
            with pytest.raises(Exception, match="more than 8,388,608 bytes"):
                _ = [one async for one in segments(aiter(opened), Bounds(line=1_000))]


async def test_a_length_above_the_limit_is_refused_before_the_body_is_read() -> None:
    """The answer's head is enough."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n{")
        await writer.drain()
        await reader.read()

    async with serving_bytes(answer) as provider:
        assert (await refusal(submitter(provider), provider.url())).issues[0].code == "too-costly"


async def test_a_slow_drip_is_cut() -> None:
    """A byte in time does not keep a connection for ever."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving_bytes(drip) as provider:
        sources = NetworkSources(limits=replace(QUICK, patience=0.3))
        error = await refusal(submitter(provider), provider.url(), sources=sources)
        assert error.issues[0].code == "timeout" and error.again
        assert "slowly" in said(error)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def silent_within(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nxx")
    await reader.read()


async def slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-A: b\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("answer", [silent, silent_within, slow_head])
async def test_silence_is_cut(answer: object) -> None:
    """Before the answer, in its head, and in its body."""
    async with serving_bytes(answer) as provider:  # type: ignore[arg-type]
        sources = NetworkSources(limits=replace(QUICK, connect=0.2, answer=0.2, silence=0.3))
        error = await refusal(submitter(provider), provider.url(), sources=sources)
        assert error.issues[0].code == "timeout" and error.again


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-Large: " + b"x" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(1_000)) + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 20_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\0" * 1_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_huge_or_broken_head_is_refused(head: bytes) -> None:
    """The limits of the parser hold; what is no HTTP is told from a file."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()

    async with serving_bytes(answer) as provider:
        await refusal(submitter(provider), provider.url())


async def test_a_refused_connection_may_be_tried_again() -> None:
    """And names no address."""
    async with serving(body(b"")) as provider:
        gone = Provider(provider.port)
    error = await refusal(submitter(gone), gone.url("/secret?token=secret"))
    assert error.again
    assert "127.0.0.1" not in said(error) and "secret" not in repr(error)
    assert error.__cause__ is None and error.__suppress_context__
