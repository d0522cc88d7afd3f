"""Bundles as tests write and read them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tests.server.serving import FHIR_JSON, Served


def entry(
    method: str, url: str, resource: object = None, *, full_url: str | None = None, **request: object
) -> dict[str, object]:
    """One entry; `request`: its further members, such as ifMatch."""
    made: dict[str, object] = {} if full_url is None else {"fullUrl": full_url}
    if resource is not None:
        made["resource"] = resource
    return made | {"request": {"method": method, "url": url, **request}}


def patient(id_: str | None = None, /, **more: object) -> dict[str, object]:
    """A small Patient."""
    return {"resourceType": "Patient"} | ({} if id_ is None else {"id": id_}) | more


def binary(document: bytes, content_type: str = "application/json-patch+json") -> dict[str, object]:
    """A patch, as a Binary."""
    data = base64.b64encode(document).decode()
    return {"resourceType": "Binary", "contentType": content_type, "data": data}


async def send(
    served: Served, kind: str, entries: Sequence[object], headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """POST the Bundle to the base."""
    bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}
    return await served.client.post("/fhir", json=bundle, headers={**FHIR_JSON, **(headers or {})})


def statuses(answer: httpx.Response) -> list[int]:
    """The status of each entry of an answer."""
    assert answer.status_code == 200, answer.text
    return [int(one["response"]["status"].split()[0]) for one in answer.json().get("entry", [])]


def issue(answer: dict[str, Any]) -> tuple[str, str, list[str]]:
    """Code, diagnostics and expressions of the first issue of an OperationOutcome."""
    assert answer["resourceType"] == "OperationOutcome"
    first = answer["issue"][0]
    return first["code"], first["diagnostics"], first.get("expression", [])
