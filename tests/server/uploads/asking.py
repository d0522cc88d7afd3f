"""Requests of direct transfer, as a client makes them, and a server of each kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from conformance.s3servers import S3Server
from fhirstore.objects import S3Options, open_objects
from server.settings import Settings
from tests.server.serving import Served, serving

JSON = {"Content-Type": "application/fhir+json"}


@asynccontextmanager
async def serving_on(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, settings: Settings | None = None
) -> AsyncIterator[Served]:
    """Serves an empty store of this kind."""
    s3, location = None, f"file:{request.getfixturevalue('tmp_path') / 'store'}" if kind == "embedded" else "memory:"
    if kind in ("ministack", "seaweedfs", "minio"):
        server: S3Server = request.getfixturevalue(kind)
        server.use(monkeypatch)
        location, s3 = server.location(), S3Options(endpoint_url=server.endpoint_url, allow_http=True)
    objects = await open_objects(location, s3=s3)
    try:
        async with serving(settings, objects) as served:
            yield served
    finally:
        await objects.aclose()


def parameters(**given: Mapping[str, object]) -> dict[str, object]:
    """Returns a Parameters resource."""
    return {"resourceType": "Parameters", "parameter": [{"name": name, **value} for name, value in given.items()]}


class Told:
    """An answer that is a Parameters resource."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.body: dict[str, Any] = answer.json()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - JSON
        one = next(each for each in self.body["parameter"] if each["name"] == name)
        return next(value for key, value in one.items() if key.startswith("value"))

    def pairs(self, name: str) -> dict[str, str]:
        """Returns the headers or the fields."""
        found = [each["part"] for each in self.body["parameter"] if each["name"] == name]
        return {part[0]["valueString"]: part[1]["valueString"] for part in found}

    def gaps(self) -> list[tuple[int, int]]:
        """Returns the missing bytes."""
        found = [each["part"] for each in self.body["parameter"] if each["name"] == "missing"]
        return [(part[0]["valueDecimal"], part[1]["valueDecimal"]) for part in found]


async def begun(client: httpx.AsyncClient, method: str, content: bytes, **given: Mapping[str, object]) -> Told:
    """Begins an upload of this content. Returns the answer."""
    facts: dict[str, Mapping[str, object]] = {
        "method": {"valueCode": method},
        "contentType": {"valueCode": "application/pdf"},
        "size": {"valueDecimal": len(content)},
    }
    asked = parameters(**{**facts, **given})
    answer = await client.post("/fhir/Binary/$presign-upload", json=asked, headers=JSON)
    assert answer.status_code == 200, answer.text
    return Told(answer)


async def completed(client: httpx.AsyncClient, id: str, **given: Mapping[str, object]) -> httpx.Response:
    """Completes an upload. Returns the answer."""
    asked = parameters(uploadId={"valueString": id}, **given)
    return await client.post("/fhir/Binary/$complete-upload", json=asked, headers=JSON)
