"""Location, endpoint, addressing style and timeouts of a bucket. Values only; nothing is read from the environment.

There are two modes. Without an endpoint: AWS, https, the bucket in the host name. With an endpoint (MinIO, SeaweedFS,
Ceph …): the bucket in the path unless set otherwise, `us-east-1` unless a region is known, plain http only on request.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from urllib.parse import quote, urlsplit

import msgspec

from fhirstore.errors import StoreMisconfigured
from fhirstore.objects.s3.encryption import Encryption

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Repeat(msgspec.Struct, frozen=True):
    """A request that is about to be sent again, after a pause of `seconds`.

    `verb`: GET, PUT, DELETE, LIST, HEAD or POST. `number`: of the repeat; 1 is the second attempt. `busy`: the store
    asked to slow down; else it gave no answer, or failed.
    """

    verb: str
    number: int
    seconds: float
    busy: bool


OnRepeat: TypeAlias = Callable[[Repeat], None]
"""Called in the event loop before the pause. Must be quick and must not raise."""


@dataclass(frozen=True, slots=True)
class S3Options:
    """The options of an S3 store. Its credentials come from the provider chain.

    `force_path_style` None: path style exactly when there is an endpoint. `region` None: the provider chain's,
    then `us-east-1` when there is an endpoint. `attempts` counts the first try too and holds for what may be
    repeated blindly: reads, deletes and unconditional PUTs; waits grow from `backoff` to `backoff_cap`, with full
    jitter. `request_timeout`: of a whole request; `silence`: without a byte of its answer. All times are seconds.
    `public_endpoint_url`: where clients of presigned URLs reach the same bucket, if that is not `endpoint_url`; what
    lies between must keep the Host header, which is signed. `encryption`: of new objects; None: the bucket's default.
    `on_repeat`: is told of each request that is sent again;
    `on_circuit`: with True when the store keeps failing, so that requests are refused, and with False when it answers.

    Raises ValueError where no request could be sent.
    """

    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    allow_http: bool = False
    force_path_style: bool | None = None
    region: str | None = None
    attempts: int = 3
    backoff: float = 0.1
    backoff_cap: float = 5.0
    connect_timeout: float = 5.0
    request_timeout: float = 30.0
    silence: float = 10.0
    connections: int = 256
    encryption: Encryption | None = None
    on_repeat: OnRepeat | None = field(default=None, compare=False)
    on_circuit: Callable[[bool], None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts must be 1 or more: the first try counts")
        if min(self.backoff, self.backoff_cap) < 0:
            raise ValueError("waits must be 0 seconds or more")
        if min(self.connect_timeout, self.request_timeout, self.silence) <= 0:
            raise ValueError("time-outs must be more than 0 seconds")

    def within(self, folder: str) -> S3Options:
        """Returns the options of a store that has only what lies below this folder of the location otherwise."""
        return self if self.encryption is None else replace(self, encryption=self.encryption.within(folder))

    def pause(self, failures: int) -> float:
        """Returns the seconds to wait after that many failures, with full jitter, so that clients do not return
        together."""
        longest = min(self.backoff_cap, self.backoff * 2.0 ** min(failures - 1, 60))
        return random.uniform(0, longest)  # noqa: S311 - spreads load

    def tell(self, name: str, number: int, seconds: float, *, busy: bool) -> None:
        """Tell `on_repeat` of a repeat. `name`: its verb, and a key that is not passed on."""
        if self.on_repeat is not None:
            self.on_repeat(Repeat(name.partition(" ")[0], number, seconds, busy))


@dataclass(frozen=True, slots=True)
class S3Location:
    """`s3://bucket/prefix`. `prefix` has no slash at its ends; all keys are below it."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> S3Location:
        scheme, separator, rest = text.partition("://")
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.removesuffix("/")
        segments = prefix.split("/") if prefix else []
        bad_prefix = any(part in ("", ".", "..") for part in segments) or not prefix.isprintable()
        if scheme != "s3" or not separator or not _BUCKET.match(bucket) or bad_prefix or set("?#") & set(prefix):
            raise StoreMisconfigured(detail=f"{text!r} is not of the form s3://bucket or s3://bucket/prefix")
        return cls(bucket, prefix)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"

    @property
    def root(self) -> str:
        """The prefix of every key of this store in the bucket: empty, or ends with `/`."""
        return f"{self.prefix}/" if self.prefix else ""


@dataclass(frozen=True, slots=True)
class Addressing:
    """The URL of the bucket: `origin` + `bucket_path`, the latter percent-encoded, without a slash at its end."""

    endpoint_url: str
    path_style: bool
    origin: str
    host: str
    bucket_path: str

    @classmethod
    def of(cls, location: S3Location, options: S3Options, endpoint: str) -> Addressing:
        """Returns the addressing. `endpoint`: that of the options or, without one, that of the region."""
        try:
            url = urlsplit(endpoint)
            port = url.port
        except ValueError as error:
            raise StoreMisconfigured(detail=f"endpoint {endpoint!r} is not a URL: {error}") from error
        if url.scheme not in _DEFAULT_PORTS or not url.hostname or url.query or url.fragment or url.username:
            raise StoreMisconfigured(
                detail=f"endpoint {endpoint!r} is not of the form https://host or https://host:port"
            )
        if url.scheme == "http" and not options.allow_http:
            advice = "use https, or set FHIRSTORE_S3_ALLOW_HTTP=true (S3Options.allow_http) in a trusted network"
            raise StoreMisconfigured(detail=f"endpoint {endpoint} would send data in clear text: {advice}")
        path_style = options.force_path_style
        if path_style is None:  # a dot in the bucket does not match Amazon's certificate `*.s3.…`
            path_style = bool(options.endpoint_url) or "." in location.bucket
        base = url.path.rstrip("/")
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        if port and port != _DEFAULT_PORTS[url.scheme]:
            host = f"{host}:{port}"
        if not path_style:
            host = f"{location.bucket}.{host}"
        bucket_path = quote(f"{base}/{location.bucket}" if path_style else base, safe="/-_.~")
        return cls(endpoint.rstrip("/"), path_style, f"{url.scheme}://{host}", host, bucket_path)
