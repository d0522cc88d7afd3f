"""Arrays of primitives with fewer ids and extensions than values, or more, are padded with null if that is right."""

from __future__ import annotations

import pytest

from fhirstore import FhirStore
from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.xml import read, write
from fhirstore.tenant import TenantStore

EXTENSION = '{"extension":[{"url":"u","valueCode":"x"}]}'
UNEVEN = {
    f'"given":["\\u00e9","b","c"],"_given":[{EXTENSION}]': (
        f'"given":["\\u00e9","b","c"],"_given":[{EXTENSION},null,null]'
    ),
    f'"given":["a"],"_given":[null,{EXTENSION}]': f'"given":["a",null],"_given":[null,{EXTENSION}]',
    f'"_given":[{EXTENSION},null,{EXTENSION}],"given":["a","b"]': (
        f'"_given":[{EXTENSION},null,{EXTENSION}],"given":["a","b",null]'
    ),
}


def _patient(members: str) -> bytes:
    return f'{{"resourceType":"Patient","name":[{{{members}}}],"multipleBirthInteger":1}}'.encode()


@pytest.mark.parametrize("members", UNEVEN)
async def test_the_stored_form_is_padded_and_otherwise_as_it_came(members: str) -> None:
    """By create, update and a transaction; the order of members and what else is there stay."""
    async with FhirStore.open("memory:") as store:
        tenant = store.tenant("default")
        expected = json.encode(json.parse(_patient(UNEVEN[members])))
        version = await tenant.create(_patient(members))
        assert _as_sent(version.content) == expected
        with_id = b'{"id":"p",' + _patient(members)[1:]
        assert _as_sent((await tenant.update(with_id)).content) == expected
        assert await _in_a_transaction(tenant, json.parse(_patient(members))) == expected


def _as_sent(content: bytes) -> bytes:
    resource = json.parse(content)
    return json.encode({name: value for name, value in resource.items() if name not in ("id", "meta")})


async def _in_a_transaction(tenant: TenantStore, resource: json.JsonObject) -> bytes:
    entry = {"resource": resource, "request": {"method": "POST", "url": "Patient"}}
    result = await tenant.process({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    version = result.results[0].version
    assert version is not None
    return _as_sent(version.content)


@pytest.mark.parametrize("members", UNEVEN)
def test_what_is_padded_goes_through_xml(members: str) -> None:
    """XML has one element for each pair, so it says the same."""
    resource = json.parse(_patient(members))
    assert Validator(definitions()).check(resource) is True
    assert Validator(definitions()).check(resource) is False
    assert read(write(resource, definitions()), definitions()) == resource


def test_what_would_be_wrong_when_padded_is_refused() -> None:
    """A null beside nothing, an id alone without a value."""
    for members in ('"given":["a"],"_given":[{"id":"x"},null]', '"given":["a"],"_given":[null,{"id":"x"}]'):
        with pytest.raises(InvalidResource) as refused:
            Validator(definitions()).check(json.parse(_patient(members)))
        assert refused.value.issues[0].expression == ("Patient.name[0].given[1]",)


def test_padding_is_no_error_for_whoever_asks() -> None:
    """$validate takes it as a write does."""
    assert Validator(definitions()).issues(json.parse(_patient(next(iter(UNEVEN))))) == ()


async def test_even_arrays_keep_their_bytes() -> None:
    """Escapes that a string can do without are there after a write that pads nothing."""
    async with FhirStore.open("memory:") as store:
        body = _patient(f'"given":["a\\u0062"],"_given":[{EXTENSION}]')
        version = await store.tenant("default").create(body)
        assert b"a\\u0062" in version.content
