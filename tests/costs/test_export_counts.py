"""A bulk export asks the store for each resource once, and for the keys page by page."""

from __future__ import annotations

from collections import Counter

from fhirstore import ExportRequest, FhirStore
from fhirstore.objects.base import Page, StoredObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from server.commands.cost.operations import OPERATIONS
from tests.export.reading import HURRIED, exported

COUNT = 1_500  # of each type: two pages of keys
_PAGE = 1_000  # keys in a page of S3


class Counting(MemoryStore):
    """Counts the GETs of each key, and the LISTs below each prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.got: Counter[str] = Counter()
        self.listed: Counter[str] = Counter()

    async def get(self, key: str) -> StoredObject:
        self.got[key] += 1
        return await super().get(key)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = _PAGE,
    ) -> Page:
        self.listed[prefix] += 1
        return await super().list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)


async def test_an_export_costs_one_get_a_resource() -> None:
    """The current version of each, once, and no other version; one LIST for a thousand keys, and one for the types."""
    objects = Counting()
    store = FhirStore(PrefixTenancy(objects, None), limits=HURRIED)
    clinic = store.tenant("default")
    kinds = ("Patient", "Basic")
    for n in range(COUNT):
        await clinic.update({"resourceType": "Patient", "id": f"r-{n}"})
        await clinic.update({"resourceType": "Basic", "id": f"r-{n}", "code": {"text": "x"}})
    objects.got.clear()
    objects.listed.clear()
    _, manifest = await exported(store, ExportRequest())
    assert {file.type: file.count for file in manifest.output} == dict.fromkeys(kinds, COUNT)
    promised = OPERATIONS["export of n resources of a type"].requests(COUNT)
    resources = {key: count for key, count in objects.got.items() if "/resources/" in key}
    assert resources == {f"default/resources/{kind}/r-{n}/current.json": 1 for kind in kinds for n in range(COUNT)}
    assert promised["GET"] == COUNT
    lists = {prefix: count for prefix, count in objects.listed.items() if "/resources/" in prefix}
    pages = dict.fromkeys((f"default/resources/{kind}/" for kind in kinds), promised["LIST"])
    assert lists == {"default/resources/": 1, **pages}
    await store.settle()
