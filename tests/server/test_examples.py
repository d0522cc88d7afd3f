"""Official examples of every resource type go in and come back as they were, to the digit."""

from __future__ import annotations

import json
from pathlib import Path

from tests.server.serving import FHIR_JSON, Served

EXAMPLES = Path(__file__).parent.parent / "data" / "r4-examples.ndjson"


def literally(content: bytes) -> dict[str, object]:
    """Parsed, with every number as it was written; without what the server sets."""
    resource: dict[str, object] = json.loads(content, parse_float=str, parse_int=str)
    resource.pop("id", None)
    meta = resource.pop("meta", {})
    assert isinstance(meta, dict)
    rest = {name: value for name, value in meta.items() if name not in ("versionId", "lastUpdated")}
    return resource | {"meta": rest}


async def test_examples_of_every_type_survive_put_and_post(served: Served) -> None:
    """PUT under their own id and POST under a new one, read back: equal apart from id, versionId, lastUpdated."""
    count = 0
    for line in EXAMPLES.read_bytes().splitlines():
        resource = json.loads(line)
        type_ = resource["resourceType"]
        put = await served.client.put(f"/fhir/{type_}/{resource['id']}", content=line, headers=FHIR_JSON)
        post = await served.client.post(f"/fhir/{type_}", content=line, headers=FHIR_JSON)
        for answer in (put, post):
            assert answer.status_code == 201, answer.text
            back = await served.client.get(answer.headers["location"], headers={"Accept": "application/fhir+json"})
            assert literally(back.content) == literally(line)
        count += 1
    assert count > 146
