"""Resources go in and come out as a caller would expect, whatever form they have."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from fhirstore import (
    FhirError,
    Gone,
    InvalidResource,
    JsonPatch,
    MalformedContent,
    NotFound,
    TenantStore,
    UnknownType,
    ValidateRequest,
    Version,
    VersionConflict,
    VersionIds,
    dump,
)

OBSERVATION = """{"resourceType":"Observation","status":"final","code":{"text":"Body weight"},
    "valueQuantity":{"value":72.50,"unit":"kg"}, "component":[{"code":{"text":"n"},"valueInteger":3}]}"""


def weight(version: Version) -> Any:  # noqa: ANN401 - what a caller without types has
    """The number in OBSERVATION."""
    return cast("Any", version.json())["valueQuantity"]["value"]


@pytest.mark.parametrize("given", [OBSERVATION, OBSERVATION.encode()], ids=["text", "bytes"])
async def test_json_goes_in_as_text_or_bytes(clinic: TenantStore, given: str | bytes) -> None:
    """create, update and a Bundle take either."""
    made = await clinic.create(given)
    assert (made.type, made.version_id, made.created) == ("Observation", 1, True)
    updated = await clinic.update(made.content.decode())
    assert updated.version_id == 2
    bundle = json.dumps(
        {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [{"request": {"method": "GET", "url": f"Observation/{made.id}"}}],
        }
    )
    done = await clinic.batch(bundle)
    assert done.results[0].version is not None


async def test_numbers_are_numbers(clinic: TenantStore) -> None:
    """A decimal can be calculated with, and keeps its digits; an integer is an int."""
    made = await clinic.create(OBSERVATION)
    assert weight(made) == Decimal("72.5")
    assert str(weight(made)) == "72.50"
    assert weight(made) + 1 == Decimal("73.50")
    assert cast("Any", made.json())["component"][0]["valueInteger"] + 1 == 4
    assert b'"value":72.50' in made.content


async def test_what_comes_out_goes_in_again(clinic: TenantStore) -> None:
    """As it is, with its digits: so it makes no new version with `skip_unchanged`."""
    made = await clinic.create(OBSERVATION)
    same = await clinic.update(made.json(), skip_unchanged=True)
    assert same.version_id == 1
    changed: Any = made.json()
    changed["valueQuantity"]["value"] += Decimal("0.050")
    assert b'"value":72.550' in (await clinic.update(changed)).content
    changed["valueQuantity"]["value"] = 0.1 + 0.2
    assert b'"value":0.30000000000000004' in (await clinic.update(changed)).content


async def test_json_of_what_came_out(clinic: TenantStore) -> None:
    """`dump` writes it exactly; `json.dumps` needs to be told how."""
    made = await clinic.create(OBSERVATION)
    assert dump(made.json()) == made.content
    assert json.loads(json.dumps(made.json(), default=float)) == json.loads(made.content)


async def test_times_are_datetimes(clinic: TenantStore) -> None:
    """Aware, in UTC, with milliseconds, as in `meta.lastUpdated`."""
    made = await clinic.create(OBSERVATION)
    assert made.last_updated.tzinfo is UTC
    assert abs(datetime.now(UTC) - made.last_updated) < timedelta(minutes=1)
    meta = cast("Any", made.json())["meta"]
    assert datetime.fromisoformat(meta["lastUpdated"]) == made.last_updated
    since = [version async for version in clinic.history(since=made.last_updated)]
    assert since == [made]
    assert [version async for version in clinic.history(since=made.last_updated + timedelta(hours=1))] == []
    with pytest.raises(InvalidResource, match="time zone"):
        await clinic.history_page(since=datetime(2026, 1, 1))


async def test_version_ids_are_numbers_or_text(clinic: TenantStore) -> None:
    """As they come: a number from a Version, text from `meta.versionId`, an entity tag from an HTTP client."""
    made = await clinic.create(OBSERVATION)
    for version_id in (1, "1"):
        assert await clinic.vread("Observation", made.id, version_id) == made.__class__(
            made.type, made.id, 1, made.last_updated_ms, "POST", made.content
        )
    conditions: list[int | str | VersionIds] = [1, "2", 'W/"3"', '"4"', "*", VersionIds(frozenset({6}))]
    for number, if_match in enumerate(conditions, 2):
        assert (await clinic.update(made.json(), if_match=if_match)).version_id == number
    for stale in (1, "1", 'W/"1"', '"1", "2"', "0x7"):
        with pytest.raises(InvalidResource if stale == "0x7" else VersionConflict):
            await clinic.update(made.json(), if_match=stale)
    for if_none_match in (7, "7", 'W/"7"', "*"):
        with pytest.raises(VersionConflict):
            await clinic.delete("Observation", made.id, if_none_match=if_none_match)
    assert (await clinic.update({**made.json(), "id": "new"}, if_none_match="*")).created


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("", MalformedContent),
        ("{", MalformedContent),
        ("[]", MalformedContent),
        ("\ud800", MalformedContent),
        (b"\xff", MalformedContent),
        ({}, InvalidResource),
        ([{"resourceType": "Patient"}], InvalidResource),
        (None, InvalidResource),
        (7, InvalidResource),
        ({"resourceType": "Patient", "birthDate": datetime(2026, 1, 1, tzinfo=UTC)}, InvalidResource),
        ({"resourceType": "Patient", "extension": {1, 2}}, InvalidResource),
    ],
    ids=repr,
)
async def test_what_is_no_resource(clinic: TenantStore, wrong: Any, error: type[FhirError]) -> None:  # noqa: ANN401
    """An error of this library, never a TypeError or an AttributeError."""
    for write in (
        clinic.create(wrong),
        clinic.update(wrong),
        clinic.conditional_create(wrong, "identifier=s|1"),
        clinic.conditional_update(wrong, "identifier=s|1"),
        clinic.process(wrong),
    ):
        with pytest.raises(error):
            await write


async def test_arguments_of_other_types(clinic: TenantStore) -> None:
    """InvalidResource for ids, version ids, conditions, patches and parameters that cannot be ones."""
    loose = cast("Any", clinic)
    made = await clinic.create(OBSERVATION)
    calls = [
        loose.read("Observation", 5),
        loose.read("Observation", None),
        loose.vread("Observation", made.id, "one"),
        loose.vread("Observation", made.id, None),
        loose.vread("Observation", made.id, True),
        loose.update(made.content, if_match="one"),
        loose.update(made.content, if_match=[1]),
        loose.update(made.content, if_none_match=object()),
        loose.delete("Observation", None),
        loose.delete("Observation", made.id, if_match="'1'"),
        loose.patch("Observation", made.id, [{"op": "remove", "path": "/status"}]),
        loose.patch("Observation", made.id, b"[]"),
        loose.conditional_patch("Observation", "identifier=s|1", {}),
        loose.conditional_delete("Observation", 7),
        loose.search("Observation", 7),
        loose.search("Observation", _id={"a"}),
        loose.search("Observation", _count="many"),
    ]
    for call in calls:
        with pytest.raises(InvalidResource):
            await call
    for missing in (0, -1, 2, 10**30):
        with pytest.raises(NotFound):
            await clinic.vread("Observation", made.id, missing)
    with pytest.raises(UnknownType):
        await loose.read("Observaton", made.id)


async def test_validation_takes_the_same(clinic: TenantStore) -> None:
    """A dict, text or bytes."""
    for body in ({"resourceType": "Patient", "gender": "x"}, '{"resourceType":"Patient","gender":"x"}'):
        issues = await clinic.validate(ValidateRequest("Patient"), body)
        assert issues[0].severity == "error"


async def test_a_tombstone_has_no_json(clinic: TenantStore) -> None:
    """An empty dict; what was deleted is Gone, and its version is told."""
    made = await clinic.create(OBSERVATION)
    deleted = await clinic.delete("Observation", made.id)
    assert deleted is not None
    assert (deleted.deleted, deleted.json(), deleted.version_id) == (True, {}, 2)
    with pytest.raises(Gone) as gone:
        await clinic.patch("Observation", made.id, JsonPatch.parse([{"op": "remove", "path": "/status"}]))
    assert gone.value.version == 2
