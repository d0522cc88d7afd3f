"""Rows that are made member by member, and remembered, are those of the resource read as a whole."""

from __future__ import annotations

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import RELEASES, definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.extract import Extracted, Extractor
from fhirstore.index.local.hashing import hashing
from fhirstore.index.local.rows import Rows, rows_of
from tests.fhir.validation.examples import of
from tests.search.matching.asking import HERE

HASHED = hashing(b"k" * 16)
R4 = Catalogue.of(definitions("4.0"), HERE)


def together(found: Extracted) -> Rows:
    """All parts as one."""
    rows = Rows(shape=tuple(sorted(member for part in found.parts for member in part.rows.shape)), cut=found.cut)
    for part in found.parts:
        for kind in ("tokens", "references", "uris", "strings", "texts", "words", "dates", "numbers", "codes"):
            assert not getattr(rows, kind) & getattr(part.rows, kind), "the rows of a parameter are in one part"
            getattr(rows, kind).update(getattr(part.rows, kind))
    return rows


def whole(catalogue: Catalogue, resource: JsonObject) -> Rows:
    """The rows of a parsed resource."""
    rows = rows_of(catalogue, HASHED, str(resource["resourceType"]), resource)
    rows.shape = tuple(sorted(rows.shape))
    return rows


def check(extractor: Extractor, body: bytes) -> Rows:
    """Compares the rows of a resource that is met for the first time, and of one that is met again."""
    resource = json.parse(body)
    expected = whole(extractor.catalogue, resource)
    for _ in range(2):
        assert together(extractor.extract(str(resource["resourceType"]), body)) == expected
    return expected


@pytest.mark.parametrize("release", RELEASES)
def test_rows_are_those_of_the_whole_resource(release: str) -> None:
    """Every tenth official example of each release, also when its members were met before in other resources."""
    extractor = Extractor(Catalogue.of(definitions(release), HERE, texts="all"), HASHED)
    for _, body in list(of(release))[::10]:
        check(extractor, body)


def test_a_reference_to_what_is_contained_is_not_remembered() -> None:
    """The same `subject` leads to a Patient in one resource, to a Group in another."""
    extractor = Extractor(R4, HASHED)
    rows = []
    for type_ in ("Patient", "Group"):
        for hash_ in ("#", "\\u0023"):
            contained = f'[{{"resourceType":"{type_}","id":"c"}}]'
            subject = f'{{"reference":"{hash_}c"}}'
            body = f'{{"resourceType":"Observation","contained":{contained},"subject":{subject},"status":"final"}}'
            rows.append(check(extractor, body.encode()))
    assert rows[0].shape == rows[1].shape != rows[2].shape == rows[3].shape


def test_a_url_is_found_with_the_version_of_its_resource() -> None:
    """So two resources with one URL and different versions have different rows."""
    extractor = Extractor(R4, HASHED)
    bodies = [b'{"resourceType":"ValueSet","url":"http://x/v","version":"%d"}' % number for number in (1, 2)]
    one, other = (check(extractor, body) for body in bodies)
    assert one.uris != other.uris


def test_what_servers_write_into_meta_does_not_keep_its_rows_from_being_remembered() -> None:
    """Versions that differ only in that share the rows of `meta`; another profile has others."""
    extractor = Extractor(R4, HASHED)
    body = '{"resourceType":"Basic","meta":{"versionId":"%d","lastUpdated":"2026-01-0%dT00:00:00Z","profile":["%s"]}}'
    one, same, other = (
        extractor.extract("Basic", (body % (number, number, url)).encode())
        for number, url in ((1, "http://x/a"), (2, "http://x/a"), (3, "http://x/b"))
    )
    assert one.parts[0] is same.parts[0]
    assert one.parts[0].rows.uris != other.parts[0].rows.uris


@pytest.mark.parametrize(
    "body",
    [
        b'{"resourceType":"Patient"}',
        b'{"resourceType":"Patient","meta":7,"name":{"family":3},"birthDate":[],"active":null,"deceasedBoolean":true}',
        b'{"resourceType":"Observation","valueQuantity":{"value":-0},"component":[null,{"valueQuantity":{"value":1e2}}]}',
        b'{"resourceType":"Observation","valueQuantity":{"value":%s}}' % (b"9" * 5_000),
        b'{"resourceType":"Patient","name":[%s]}' % b",".join(b'{"family":"N%d"}' % one for one in range(9_000)),
    ],
)
def test_odd_content_is_read_alike(body: bytes) -> None:
    """Nothing there, other types than defined, long numbers, large resources."""
    check(Extractor(R4, HASHED), body)


def test_a_memory_of_rows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is forgotten when there is too much of it; the rows stay right."""
    monkeypatch.setattr("fhirstore.index.local.extract._MOST", 20)
    monkeypatch.setattr("fhirstore.index.local.extract._MOST_OF_SECTION", 8)
    extractor = Extractor(R4, HASHED)
    for number in range(200):
        gender = ("male", "female", "other", "unknown")[number % 4]
        body = f'{{"resourceType":"Patient","birthDate":"{1900 + number % 120}","gender":"{gender}"}}'
        check(extractor, body.encode())
        assert extractor.remembered <= 20
