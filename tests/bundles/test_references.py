"""Links between entries are replaced wherever http.html says, and nothing else is touched."""

from __future__ import annotations

import json
import time

import pytest

from fhirstore.bundles.references import Target, base_of, find_links, rewrite
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject, encode, parse

URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
OID = "urn:oid:1.2.3.4"
HTTP = "http://example.org/fhir/Patient/123"
KNOWN = {URN: Target("Patient/new", 1), OID: Target("Practitioner/o", 1), HTTP: Target("Patient/123")}
SEARCH = "Practitioner?identifier=http://x|1"


def rewritten(resource: JsonObject, *, full_url: str | None = None) -> JsonObject:
    base = base_of(full_url)
    targets = {**KNOWN, SEARCH: Target("Practitioner/found")}
    for link in list(find_links(resource, full_urls=KNOWN, base=base, definitions=definitions("4.0"))):
        rewrite(link, targets.get, base=base)
    return resource


def reference(text: str, *, full_url: str | None = None) -> object:
    resource: JsonObject = {"resourceType": "Observation", "subject": {"reference": text}}
    subject = rewritten(resource, full_url=full_url)["subject"]
    assert isinstance(subject, dict)
    return subject["reference"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (URN, "Patient/new"),
        (OID, "Practitioner/o"),
        (HTTP, "Patient/123"),
        (f"{URN}#part", "Patient/new#part"),
        (f"{HTTP}/_history/7", "Patient/123/_history/7"),
        (f"{URN}/_history/7", "Patient/new/_history/1"),
        (SEARCH, "Practitioner/found"),
        ("#contained", "#contained"),
        ("Patient/123", "Patient/123"),
        ("urn:uuid:00000000-0000-0000-0000-000000000000", "urn:uuid:00000000-0000-0000-0000-000000000000"),
        ("http://elsewhere.org/fhir/Patient/123", "http://elsewhere.org/fhir/Patient/123"),
        ("Patient?identifier=unknown", "Patient?identifier=unknown"),
    ],
)
def test_references_are_replaced(before: str, after: str) -> None:
    """By fullUrl or by search; a fragment stays, and a version stays a version."""
    assert reference(before) == after


def test_a_relative_reference_is_relative_to_its_entrys_full_url() -> None:
    """`Patient/123` in an entry from example.org is that server's; in one named by a urn it is ours."""
    there = {"http://example.org/fhir/Patient/9": Target("Patient/new9")}
    for full_url, after in (("http://example.org/fhir/Observation/1", "Patient/new9"), (URN, "Patient/9")):
        resource: JsonObject = {"resourceType": "Observation", "subject": {"reference": "Patient/9"}}
        base = base_of(full_url)
        for link in list(find_links(resource, full_urls=there, base=base, definitions=definitions("4.0"))):
            rewrite(link, there.get, base=base)
        assert resource["subject"] == {"reference": after}


def test_uri_and_url_elements_are_replaced() -> None:
    """Wherever they are: in lists, backbone elements, extensions of primitives, contained resources; no uuid becomes
    what is none."""
    resource = rewritten(
        {
            "resourceType": "DocumentReference",
            "contained": [{"resourceType": "Observation", "subject": {"reference": URN}}],
            "content": [{"attachment": {"url": URN}}, {"attachment": {"url": f"{URN}#page"}}],
            "extension": [{"url": "http://x", "valueUri": OID}, {"url": "http://x", "valueUuid": URN}],
            "_description": {"extension": [{"url": "http://x", "valueReference": {"reference": URN}}]},
        }
    )
    assert resource == {
        "resourceType": "DocumentReference",
        "contained": [{"resourceType": "Observation", "subject": {"reference": "Patient/new"}}],
        "content": [{"attachment": {"url": "Patient/new"}}, {"attachment": {"url": "Patient/new#page"}}],
        "extension": [
            {"url": "http://x", "valueUri": "Practitioner/o"},
            {"url": "http://x", "valueUuid": URN},
        ],
        "_description": {"extension": [{"url": "http://x", "valueReference": {"reference": "Patient/new"}}]},
    }


def test_links_of_the_narrative_are_replaced() -> None:
    """href and src, in either kind of quotes; the text around them stays."""
    div = f"""<div><a href="{URN}">{URN}</a><img alt="x" src = '{OID}'/><a href="http://x">y</a></div>"""
    resource = rewritten({"resourceType": "Patient", "text": {"status": "generated", "div": div}})
    after = (
        f"""<div><a href="Patient/new">{URN}</a><img alt="x" src = 'Practitioner/o'/><a href="http://x">y</a></div>"""
    )
    assert resource["text"] == {"status": "generated", "div": after}


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient", "identifier": [{"system": "urn:ietf:rfc:3986", "value": URN}]},
        {"resourceType": "Observation", "note": [{"text": URN}], "valueString": URN},
        {"resourceType": "Observation", "extension": [{"url": URN, "valueString": URN}]},
        {"resourceType": "Observation", "extension": [{"url": "http://x", "valueCanonical": URN}]},
        {"resourceType": "ValueSet", "url": URN, "compose": {"include": [{"valueSet": [URN]}]}},
        {"resourceType": "Patient", "meta": {"profile": [URN]}},
        {"resourceType": "Bundle", "entry": [{"fullUrl": URN, "resource": {"subject": {"reference": URN}}}]},
        {"resourceType": "Observation", "valueQuantity": {"unit": SEARCH}, "subject": {"display": URN}},
        {"resourceType": "Observation", "unheardOf": {"reference": URN}, "subject": [{"reference": [URN]}]},
    ],
)  # fmt: skip
def test_what_is_no_link_is_left_alone(resource: JsonObject) -> None:
    """Identifiers, texts, canonicals and what they point to, the inside of a Bundle, and what FHIR does not know."""
    before = json.dumps(resource)
    assert json.dumps(rewritten(resource)) == before


def test_numbers_keep_their_digits() -> None:
    """1.00 stays 1.00 beside a reference that is replaced."""
    body = b'{"resourceType":"Observation","subject":{"reference":"%s"},"valueQuantity":{"value":1.00}}' % URN.encode()
    after = body.replace(URN.encode(), b"Patient/new")
    assert encode(rewritten(parse(body))) == after


def test_the_parameters_of_a_fhirpath_patch_are_a_resource_like_others() -> None:
    """valueReference in a Parameters resource is replaced, so a patch may point to a new resource."""
    parameter = {"name": "value", "valueReference": {"reference": URN}}
    resource = rewritten({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [parameter]}]})
    assert URN not in json.dumps(resource)


def test_thousands_of_entries_take_a_moment() -> None:
    """The walk is linear: ten times the entries take about ten times as long, whatever their links."""

    def seconds(entries: int) -> float:
        known = {f"urn:uuid:{n}": Target(f"Patient/{n}") for n in range(entries)}
        resources: list[JsonObject] = [
            {"resourceType": "Observation", "subject": {"reference": f"urn:uuid:{n}"}, "code": {"text": "x" * 50}}
            for n in range(entries)
        ]
        begin = time.perf_counter()
        found = 0
        for resource in resources:
            found += len(list(find_links(resource, full_urls=known, base="", definitions=definitions("4.0"))))
        assert found == entries
        return time.perf_counter() - begin

    seconds(10)
    assert seconds(5_000) < 40 * seconds(500)


def test_systems_are_names_and_stay() -> None:
    """A Bundle of definitions has fullUrls that are the names of code systems, which codes go by."""
    resource = rewritten(
        {"resourceType": "Patient", "maritalStatus": {"coding": [{"system": URN}]}, "identifier": [{"system": URN}]}
    )
    assert resource["maritalStatus"] == {"coding": [{"system": URN}]}
    assert resource["identifier"] == [{"system": URN}]
