"""The cost of contents outside their records in storage requests and sequential round trips, exactly."""

from __future__ import annotations

from fhirstore import FhirStore, TenantStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import Measurement, MeteredStore
from fhirstore.tenancy import PrefixTenancy
from tests.uploads.contents import BINARY, LARGE, LONG, content_of, pieces, with_data

Count = tuple[dict[str, int], int]


def _clinic() -> tuple[TenantStore, MeteredStore]:
    objects = MeteredStore(_Apart())
    return FhirStore(PrefixTenancy(objects, None), inline_bytes=1_000).tenant("clinic"), objects


class _Apart(MemoryStore):
    """Decides each request by itself, as S3 does."""

    @property
    def decides_together(self) -> bool:
        return False


def _cost(measured: Measurement) -> Count:
    return dict(measured.requests), measured.round_trips


async def test_a_small_content_costs_three_puts_and_a_shared_one_two() -> None:
    """The entry before, the object, the entry after; shared: the entry, read and touched."""
    clinic, objects = _clinic()
    with objects.measure() as first:
        payload = await clinic.payloads.receive(pieces(LONG))
    with objects.measure() as again:
        await clinic.payloads.receive(pieces(LONG))
    assert _cost(first) == ({"PUT": 3}, 3)
    assert _cost(again) == ({"PUT": 2, "GET": 1}, 3)
    with objects.measure() as read:
        await content_of(clinic, payload)
    assert _cost(read) == ({"GET": 1}, 1)


async def test_a_large_content_costs_its_parts_and_four_requests_more() -> None:
    """Begin and complete the upload; the entry before and after."""
    clinic, objects = _clinic()
    with objects.measure() as cost:
        await clinic.payloads.receive(pieces(LARGE))
    assert sum(cost.requests.values()) == 2 + 2 + 2


async def test_a_write_with_a_payload_costs_a_put_and_a_get_more() -> None:
    """The reference when the events are there, then the entry; the bases are remembered here."""
    clinic, objects = _clinic()
    payload = await clinic.payloads.receive(pieces(LONG))
    with objects.measure() as create:
        made = await clinic.create_binary(BINARY, payload)
    assert _cost(create) == ({"PUT": 5, "GET": 1}, 4)
    with objects.measure() as update:
        await clinic.update(made.json())
    assert _cost(update) == ({"PUT": 5, "GET": 1}, 4)
    with objects.measure() as delete:
        await clinic.delete("Binary", made.id)
    assert _cost(delete) == ({"PUT": 4}, 2)
    entry = {"resource": with_data(LONG), "request": {"method": "POST", "url": "Binary"}}
    with objects.measure() as transaction:
        await clinic.transaction({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    # Slot, events, intent, reference, decision, and twice the entry; making it final comes after the answer.
    assert transaction.requests["PUT"] in (8, 9)
    assert transaction.requests["GET"] == 2


async def test_a_binary_without_a_payload_costs_what_every_resource_costs() -> None:
    """Nothing more than before."""
    clinic, objects = _clinic()
    with objects.measure() as create:
        made = await clinic.create(with_data(b"short"))
    assert _cost(create) == ({"PUT": 4}, 2)
    with objects.measure() as update:
        await clinic.update(made.json())
    assert _cost(update) == ({"PUT": 4}, 2)
    with objects.measure() as read:
        await clinic.read("Binary", made.id)
    assert _cost(read) == ({"GET": 1}, 1)
