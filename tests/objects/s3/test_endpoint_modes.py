"""Where a store lies is said by its location and options alone; what is wrong with them is said in one line."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from conformance.processes import free_ports
from conformance.s3servers import SECRET_KEY, S3Server
from fhirstore.clock import Clock
from fhirstore.errors import StoreMisconfigured
from fhirstore.objects import S3Options, open_objects
from fhirstore.objects.base import IF_ABSENT
from fhirstore.objects.s3.options import Addressing, S3Location
from tests.objects.s3.scripted_http import ScriptedServer, Told, error

AWS = "https://s3.eu-west-1.amazonaws.com"


@pytest.fixture(params=["ministack", "seaweedfs"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Each server in turn, its keys in the provider chain."""
    server: S3Server = request.getfixturevalue(request.param)
    server.use(monkeypatch)
    return server


def reach(server: S3Server) -> S3Options:
    return S3Options(endpoint_url=server.endpoint_url, allow_http=True)


async def refusal(location: str, options: S3Options | None = None, *, clock: Clock | None = None) -> str:
    """The one line with which opening fails."""
    with pytest.raises(StoreMisconfigured) as caught:
        await open_objects(location, s3=options, clock=clock)
    line = str(caught.value)
    assert line
    assert "\n" not in line
    assert SECRET_KEY not in line
    return line


# --- locations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("location", ["", "memory", "file:", "http://host/bucket", "gs://bucket", "/data", "s3:bucket"])
async def test_unknown_location_names_the_three_forms(location: str) -> None:
    """Anything but memory:, file:DIR and s3:// is refused."""
    if location == "s3:bucket":
        assert "s3://bucket/prefix" in await refusal(location)
    else:
        assert "memory:, file:DIR or s3://bucket/prefix" in await refusal(location)


async def test_memory_and_file_open(tmp_path: Path) -> None:
    """The two stores that need no server."""
    for location in ("memory:", f"file:{tmp_path / 'data'}"):
        store = await open_objects(location)
        await store.put("k", b"x", condition=IF_ABSENT)
        assert (await store.get("k")).body == b"x"
        await store.aclose()


@pytest.mark.parametrize(
    "location",
    [
        "s3://",
        "s3:///prefix",
        "s3://B",
        "s3://ab",
        "s3://bucket//x",
        "s3://bucket/../x",
        "s3://user@bucket/x",
        "s3://bucket/x?y",
        "s3://bucket/a\nb",
    ],
)
async def test_malformed_s3_location_is_refused(location: str) -> None:
    """A location that could mean two things, or leave its prefix, means nothing."""
    assert "is not of the form s3://bucket or s3://bucket/prefix" in await refusal(location)


def test_prefix_may_end_with_a_slash_or_be_absent() -> None:
    """`s3://b/p/` is `s3://b/p`; without a prefix keys lie at the bucket's root."""
    assert S3Location.parse("s3://bkt/p/q/") == S3Location("bkt", "p/q")
    assert (S3Location.parse("s3://bkt/p/q").root, S3Location.parse("s3://bkt").root) == ("p/q/", "")


# --- addressing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bucket", "options", "expected"),
    [
        ("bkt", S3Options(), "https://bkt.s3.eu-west-1.amazonaws.com"),
        ("b.kt", S3Options(), "https://s3.eu-west-1.amazonaws.com/b.kt"),
        ("bkt", S3Options(force_path_style=True), "https://s3.eu-west-1.amazonaws.com/bkt"),
        ("bkt", S3Options(endpoint_url="https://minio:9000"), "https://minio:9000/bkt"),
        ("bkt", S3Options(endpoint_url="https://minio:443/"), "https://minio/bkt"),
        ("bkt", S3Options(endpoint_url="https://host/base/s3"), "https://host/base/s3/bkt"),
        ("bkt", S3Options(endpoint_url="https://r2.example", force_path_style=False), "https://bkt.r2.example"),
        ("bkt", S3Options(endpoint_url="http://[::1]:9000", allow_http=True), "http://[::1]:9000/bkt"),
    ],
)
def test_a2_bucket_is_in_the_host_on_aws_and_in_the_path_elsewhere(
    bucket: str, options: S3Options, expected: str
) -> None:
    """Virtual-host style without an endpoint, path style with one, either when forced."""
    place = Addressing.of(S3Location(bucket, ""), options, options.endpoint_url or AWS)
    assert place.origin + place.bucket_path == expected


@pytest.mark.parametrize("url", ["minio:9000", "ftp://x", "https://", "https://h:x", "https://u:p@h", "https://h?q=1"])
async def test_malformed_endpoint_is_refused(url: str) -> None:
    """An endpoint that is not plainly a server's URL is refused with its form."""
    assert "endpoint" in await refusal("s3://bucket", S3Options(endpoint_url=url))


async def test_a2_plain_http_needs_permission() -> None:
    """An http:// endpoint without allow_http is refused before anything is sent."""
    line = await refusal("s3://bucket", S3Options(endpoint_url="http://127.0.0.1:1"))
    assert "clear text" in line
    assert "FHIRSTORE_S3_ALLOW_HTTP" in line


async def test_aws_needs_a_region(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint the region cannot be guessed."""
    ministack.use(monkeypatch)
    assert "AWS_REGION" in await refusal("s3://bucket")


async def test_a2_endpoint_falls_back_to_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an endpoint the region is the option's, else the chain's, else us-east-1."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    async with ScriptedServer.running() as server:

        async def region(option: str | None) -> str:
            options = S3Options(endpoint_url=server.url, allow_http=True, region=option)
            await (await open_objects("s3://bucket", s3=options)).aclose()
            found = re.search(r"X-Amz-Credential=key%2F\d+%2F([^%]+)%2F", server.asked[-1].target)
            assert found
            return found[1]

        assert await region(None) == "us-east-1"
        assert await region("eu-west-1") == "eu-west-1"
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
        assert await region(None) == "eu-north-1"


# --- buckets and credentials --------------------------------------------------------------------------------------


async def test_good_bucket_opens(server: S3Server) -> None:
    """The bucket is there, the keys are right: the store tells where it lies and what time it is."""
    location = server.location()
    store = await open_objects(location, s3=reach(server))
    assert store.location == location
    await store.aclose()


async def test_a3_missing_bucket_is_named_and_not_made(server: S3Server) -> None:
    """The line names the bucket and the command that would create it; nothing is created."""
    line = await refusal("s3://no-such-bucket/x", reach(server))
    assert "no-such-bucket does not exist" in line
    assert "`fhirstore bucket create --store s3://no-such-bucket/x`" in line
    assert server.request("GET", "/no-such-bucket")[0] == 404


async def test_unknown_access_key_is_told(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong key id is told from a wrong secret."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "no-such-access-key")
    assert "AWS_ACCESS_KEY_ID" in await refusal(server.location(), reach(server))


async def test_wrong_secret_is_told(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong secret is noticed at start-up, not at the first write."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    assert "AWS_SECRET_ACCESS_KEY" in await refusal(server.location(), reach(server))


async def test_no_credentials_are_told(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty provider chain is said to be empty."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no S3 credentials found" in await refusal(server.location(), reach(server))


async def test_silent_port_is_told(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at the endpoint."""
    ministack.use(monkeypatch)
    options = S3Options(endpoint_url=f"http://127.0.0.1:{free_ports(1)[0]}", allow_http=True)
    assert "nothing listens there" in await refusal("s3://bucket", options)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (error(403, "AccessDenied", "Access Denied"), "s3:ListBucket"),
        (Told(403), "s3:ListBucket"),
        (error(403, "RequestTimeTooSkewed"), "clock"),
        (Told(301, headers={"x-amz-bucket-region": "eu-south-2"}), "eu-south-2"),
        (error(400, "AuthorizationHeaderMalformed"), "another region"),
        (error(400, "ExpiredToken", "The provided token has expired."), "renew"),
        (error(404, "NoSuchBucket"), "bucket create"),
        (error(418, "Teapot"), "418 Teapot"),
    ],
)
async def test_each_refusal_says_what_to_do(
    ministack: S3Server, monkeypatch: pytest.MonkeyPatch, told: Told, words: str
) -> None:
    """A forbidden bucket, another region, a stale token: one line each."""
    ministack.use(monkeypatch)
    async with ScriptedServer.running() as scripted:
        scripted.answer = lambda _: told
        assert words in await refusal("s3://bucket", S3Options(endpoint_url=scripted.url, allow_http=True))


async def test_clock_far_off_is_told(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is half an hour off learns that, instead of failing on every signature."""
    ministack.use(monkeypatch)
    line = await refusal(ministack.location(), reach(ministack), clock=HalfAnHourSlow())
    assert re.search(r"clock is (29|30|31) minutes", line)


class HalfAnHourSlow:
    """A machine whose clock is wrong."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000 - 30 * 60_000
