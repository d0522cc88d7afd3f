"""The server under test as a check sees it: requests, and answers that complain when they are not as expected."""

from __future__ import annotations

import itertools
import json
import re
import secrets
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TypeAlias

import httpx

Json: TypeAlias = dict[str, object]
FHIR_JSON = "application/fhir+json"
_VERSION = re.compile(r'W/"([A-Za-z0-9.-]{1,64})"')
_LOCATION = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})/_history/([A-Za-z0-9.-]{1,64})$")


class Broken(Exception):
    """The server does not do what the sentence says; the text tells what it did instead."""


def must(holds: object, otherwise: str) -> None:
    """Raises Broken, saying `otherwise`, unless it holds."""
    if not holds:
        raise Broken(otherwise)


def member(value: object, *path: str | int) -> object:
    """What lies at `path` below `value`; None where there is nothing."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


class Answer:
    """An HTTP response. Its methods raise Broken when it is not what they are asked for."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers = response.headers
        self.body = response.content
        self.asked = f"{response.request.method} {response.request.url.raw_path.decode('ascii', 'replace')}"

    def expect(self, *statuses: int) -> Answer:
        """One of these statuses."""
        wanted = " or ".join(map(str, statuses))
        must(self.status in statuses, f"{self.asked} answered {self.status}, not {wanted}")
        return self

    def json(self) -> Json:
        """The body, an object in JSON."""
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise Broken(f"{self.asked} ({self.status}) has a body that is not JSON") from error
        must(isinstance(value, dict), f"{self.asked} has a body that is not a JSON object")
        return dict(value)

    def at(self, *path: str | int) -> object:
        """What lies at `path` in the body; None where there is nothing."""
        return member(self.json(), *path)

    def resource(self, type: str) -> Json:
        """The body, a resource of this type."""
        resource = self.json()
        found = resource.get("resourceType")
        must(found == type, f"{self.asked} ({self.status}) answered with a {found}, not a {type}")
        return resource

    def outcome(self) -> Json:
        """The body, an OperationOutcome with at least one issue that has a severity and a code."""
        outcome = self.resource("OperationOutcome")
        issues = outcome.get("issue")
        must(isinstance(issues, list) and issues, f"{self.asked}: the OperationOutcome has no issue")
        must(
            member(issues, 0, "severity") and member(issues, 0, "code"),
            f"{self.asked}: an issue of the OperationOutcome lacks severity or code",
        )
        return outcome

    def bundle(self, type: str) -> list[Json]:
        """The entries of the body, a Bundle of this type."""
        bundle = self.resource("Bundle")
        must(bundle.get("type") == type, f"{self.asked}: Bundle.type is {bundle.get('type')}, not {type}")
        entries = bundle.get("entry", [])
        return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []

    def link(self, relation: str) -> str | None:
        """The URL of the Bundle's link with this relation."""
        links = self.at("link")
        for link in links if isinstance(links, list) else []:
            if member(link, "relation") == relation:
                return str(member(link, "url"))
        return None

    def header(self, name: str) -> str:
        """A header that has to be there."""
        value = self.headers.get(name)
        must(value is not None, f"{self.asked} ({self.status}) has no {name} header")
        return str(value)

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    @property
    def version(self) -> str:
        """The version id in the weak ETag."""
        found = _VERSION.fullmatch(self.header("ETag"))
        must(found, f"{self.asked}: the ETag is not W/ and a version id in quotes")
        return found[1] if found else ""

    @property
    def content_version(self) -> str:
        """The version id in the ETag of a Binary's content, which may be strong: its bytes never change."""
        etag = self.header("ETag")
        found = _VERSION.fullmatch(etag if etag.startswith("W/") else f"W/{etag}")
        must(found, f"{self.asked}: the ETag is not a version id in quotes")
        return found[1] if found else ""

    @property
    def location(self) -> tuple[str, str, str]:
        """Type, id and version id in the Location header."""
        found = _LOCATION.search(self.header("Location"))
        must(found, f"{self.asked}: the Location does not end with [type]/[id]/_history/[vid]")
        return (found[1], found[2], found[3]) if found else ("", "", "")

    @property
    def last_modified(self) -> float:
        """Last-Modified in epoch seconds."""
        return http_date(self.header("Last-Modified"))


def http_date(text: str) -> float:
    """An HTTP date in epoch seconds."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError as error:
        raise Broken("A header holds no HTTP date") from error


class Server:
    """A FHIR API at a base URL. Content is FHIR JSON unless `headers` say otherwise. `token`: sent as a bearer's."""

    def __init__(self, base: str, *, token: str = "") -> None:
        self.base = base.rstrip("/")
        self._token = token
        self._client = httpx.AsyncClient(timeout=60, headers={"Accept": FHIR_JSON}, follow_redirects=False)
        self._run = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    def fresh(self) -> str:
        """Text that nobody has used, and that may be an id or an identifier's value."""
        return f"check-{self._run}-{next(self._numbers)}"

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        anonymous: bool = False,
    ) -> Answer:
        """Send `body` as FHIR JSON, or `content` as it is. `path`: below the base, or an absolute URL.

        `anonymous`: without the token.
        """
        sent = dict(headers or {})
        if self._token and not anonymous:
            sent.setdefault("Authorization", f"Bearer {self._token}")
        if body is not None:
            content = json.dumps(body, ensure_ascii=False).encode()
            sent.setdefault("Content-Type", FHIR_JSON)
        url = path if path.startswith("http") else f"{self.base}/{path}" if path else self.base
        return Answer(await self._client.request(method, url, content=content, headers=sent))

    async def get(self, path: str, headers: Mapping[str, str] | None = None, *, anonymous: bool = False) -> Answer:
        """GET."""
        return await self.request("GET", path, headers=headers, anonymous=anonymous)

    async def head(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """HEAD."""
        return await self.request("HEAD", path, headers=headers)

    async def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a resource."""
        return await self.request("POST", path, body, headers=headers)

    async def put(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Answer:
        """PUT a resource."""
        return await self.request("PUT", path, body, headers=headers)

    async def patch(self, path: str, body: object, kind: str, headers: Mapping[str, str] | None = None) -> Answer:
        """PATCH with a document of this media type."""
        return await self.request("PATCH", path, body, headers={"Content-Type": kind, **(headers or {})})

    async def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """DELETE."""
        return await self.request("DELETE", path, headers=headers)

    async def created(self, resource: Json) -> Created:
        """Create a resource that has to be accepted."""
        answer = (await self.post(str(resource["resourceType"]), resource)).expect(201)
        return Created(*answer.location)


class Created:
    """A resource that a check made: `path` is `[type]/[id]`."""

    def __init__(self, type: str, id: str, version: str) -> None:
        self.type = type
        self.id = id
        self.version = version
        self.path = f"{type}/{id}"


def patient(**members: object) -> Json:
    """A small Patient with these members."""
    return {"resourceType": "Patient", "active": True, "name": [{"family": "Check", "given": ["One"]}], **members}


def identified(value: str) -> Json:
    """A Patient with this identifier in the system of the checks."""
    return patient(identifier=[{"system": SYSTEM, "value": value}])


SYSTEM = "http://example.org/conformance-checks"
