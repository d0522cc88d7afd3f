"""URLs that may be fetched, by their text alone: well-formed beyond doubt, and on the submitter's list.

Two programs that read one URL differently are how a check is passed by; so everything is refused that has a second
reading: user-info, backslashes, fragments, names that are not ASCII or end with a dot, numbers that are no address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urljoin

from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.addresses import is_allowed, parse
from fhirstore.submit.submitters import Submitter

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?][!-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_BUCKET_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>[ -~]+)")
_LONGEST = 8_000


@dataclass(frozen=True, slots=True)
class Target:
    """A URL of http or https that may be fetched. `host`: lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int
    url: str = field(repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are bound to. https://www.rfc-editor.org/rfc/rfc6454"""
        return self.scheme, self.host, self.port

    @classmethod
    def of(cls, url: str, submitter: Submitter) -> Target:
        """Raises SourceFailed where the URL is refused."""
        found = _parsed(url)
        if found.scheme == "http" and not submitter.plain_http:
            raise SourceFailed("This submitter's files are fetched by https only", code="forbidden")
        if not any(found._is(allowed) for allowed in submitter.hosts):
            raise SourceFailed("The host of the URL is not on this submitter's list", code="forbidden")
        address = parse(found.host)
        if address is not None and not is_allowed(address, private=submitter.private_addresses):
            raise SourceFailed("The address of the URL is not a public one", code="forbidden")
        return found

    def redirected(self, location: str, submitter: Submitter) -> Target:
        """Returns where an answer from here sends to. Raises SourceFailed where that is refused."""
        try:
            found = Target.of(urljoin(self.url, location), submitter)
        except ValueError:
            raise _malformed() from None
        except SourceFailed as error:
            told = error.issues[0]
            raise SourceFailed(f"The URL redirects: {told.diagnostics}", code=told.code) from None
        if self.scheme == "https" and found.scheme != "https":
            raise SourceFailed("The URL redirects from https to http", code="forbidden")
        return found

    def _is(self, allowed: str) -> bool:
        """Returns whether an entry of the list, `host`, `*.host` or either with `:port`, allows this target."""
        name, port = _entry(allowed.lower())
        if port is None:
            port = _PORTS[self.scheme]
        if port != self.port:
            return False
        if name.startswith("*."):
            return parse(self.host) is None and len(name) > 2 and self.host.endswith(name[1:])
        return self.host == name


@dataclass(frozen=True, slots=True)
class BucketObject:
    """An object of a bucket, as a URL `s3://bucket/key` names it; nothing in it is percent-encoded."""

    bucket: str
    key: str = field(repr=False)

    @classmethod
    def of(cls, url: str, submitter: Submitter) -> BucketObject:
        """Raises SourceFailed where the URL is refused."""
        match = _BUCKET_URL.fullmatch(url)
        if match is None or any(one in ("", ".", "..") for one in match["key"].split("/")):
            raise SourceFailed("The URL is not of the form s3://bucket/key", code="value")
        for allowed in submitter.buckets:
            bucket, _, prefix = allowed.removeprefix("s3://").partition("/")
            prefix = prefix.rstrip("/")
            if match["bucket"] == bucket and (not prefix or match["key"].startswith(f"{prefix}/")):
                return cls(bucket, match["key"])
        raise SourceFailed("The bucket of the URL is not on this submitter's list", code="forbidden")


def _parsed(url: str) -> Target:
    match = _URL.fullmatch(url)
    if match is None or len(url) > _LONGEST or "\\" in url or "#" in url:
        raise _malformed()
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port = int(match["port"]) if match["port"] else _PORTS[scheme]
    if not 0 < port < 65_536:
        raise _malformed()
    if host.startswith("["):
        address = parse(host[1:-1])
        if address is None:
            raise _malformed()
        host = str(address)
    elif _NUMERIC.fullmatch(host.rpartition(".")[2]):
        if str(parse(host)) != host:  # the old forms of an IPv4 address: one number, octal, hexadecimal
            raise _malformed()
    elif len(host) > 253 or not _NAME.fullmatch(host):
        raise _malformed()
    shown = f"[{host}]" if ":" in host else host
    rest = match["rest"] or "/"
    rest = rest if rest.startswith("/") else f"/{rest}"
    return Target(
        scheme, host, port, f"{scheme}://{shown}:{port}{rest}" if match["port"] else f"{scheme}://{shown}{rest}"
    )


def _malformed() -> SourceFailed:
    return SourceFailed(
        "The URL is no plain URL of http, https, file or s3, without user-info and fragment", code="value"
    )


def _entry(allowed: str) -> tuple[str, int | None]:
    """Returns name and port of an entry of the list of hosts."""
    if allowed.startswith("["):
        inside, _, port = allowed[1:].partition("]")
        address = parse(inside)
        return str(address or inside), int(port[1:]) if port[1:].isdecimal() else None
    name, _, port = allowed.partition(":")
    return name, int(port) if port.isdecimal() else None
