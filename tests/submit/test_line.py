"""A line of a file: which resources it writes, under which ids, with which references, by which mode."""

from __future__ import annotations

import json

import pytest

from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from fhirstore.format.record import Record
from fhirstore.submit.line import Read, Refused, Rules, decision, read_line
from fhirstore.submit.submitters import MODES, Mode
from tests.submit.providing import ACME, BASE, patient

VALIDATOR = Validator(definitions(), "structure")


def _rules(**members: object) -> Rules:
    return Rules(VALIDATOR, BASE, ACME, **members)  # type: ignore[arg-type]


def _read(resource: object, rules: Rules | None = None, **members: object) -> Read:
    asked: dict[str, object] = {"type": None, "deleted": False, "organized": False, **members}
    line = resource if isinstance(resource, bytes) else json.dumps(resource).encode()
    return read_line(line, rules or _rules(), **asked)  # type: ignore[arg-type]


def _content(read: Read) -> dict[str, object]:
    (item,) = read.items
    assert item.template is not None
    content: dict[str, object] = json.loads(item.template.fill(id=item.id, version=1, last_updated=0))
    return content


def _observation(*references: str) -> dict[str, object]:
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": references[0]},
        "performer": [{"reference": one} for one in references[1:]],
    }


def test_references_to_the_source_are_local_afterwards_and_others_stay() -> None:
    """By its base URL; ids as they are."""
    others = ["https://else/fhir/Patient/1", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "#p"]
    read = _read(
        {
            **_observation(f"{BASE}/Patient/1", "Practitioner/2", *others),
            "contained": [{"resourceType": "Practitioner", "id": "p"}],
        }
    )
    content = _content(read)
    assert content["subject"] == {"reference": "Patient/1"}
    assert content["performer"] == [{"reference": one} for one in ("Practitioner/2", *others)]


def test_remapped_ids_are_the_same_for_the_resource_and_whatever_refers_to_it() -> None:
    """And differ from source to source; versions of references are left out."""
    rules = _rules(ids="remap")
    (item,) = _read(patient("1"), rules).items
    assert item.id != "1" and len(item.id) == 32 and item.source == "Patient/1"
    content = _content(_read(_observation(f"{BASE}/Patient/1/_history/3", "Practitioner/2"), rules))
    assert content["subject"] == {"reference": f"Patient/{item.id}"}
    assert content["performer"] == [{"reference": f"Practitioner/{rules.id('Practitioner', '2')}"}]
    assert Rules(VALIDATOR, "https://else", ACME, ids="remap").id("Patient", "1") != item.id


def test_an_attachment_in_a_binary_of_the_source_is_local_afterwards() -> None:
    """Its URL is resolved like a reference."""
    document = {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "content": [{"attachment": {"url": f"{BASE}/Binary/b"}}, {"attachment": {"url": f"{BASE}/files/b"}}],
    }
    content = _content(_read(document))
    assert content["content"] == [{"attachment": {"url": "Binary/b"}}, {"attachment": {"url": f"{BASE}/files/b"}}]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"resourceType":"Nothing","id":"a"}',
        b'{"id":"a"}',
        b'{"resourceType":"Patient"}',
        b'{"resourceType":"Patient","id":"not an id"}',
        b'{"resourceType":"Patient","id":"a","birthDate":"never"}',
        b'{"resourceType":"Patient","id":"a","id":"b"}',
    ],
)
def test_a_wrong_line_is_refused(line: bytes) -> None:
    """By the rules for everything that is written; nothing of it is repeated."""
    with pytest.raises(Refused) as refused:
        _read(line)
    assert refused.value.issues


def test_another_type_than_the_manifest_says_is_told_and_stored() -> None:
    """A warning."""
    read = _read(patient("a"), type="Observation")
    assert len(read.items) == 1
    assert [issue.severity for issue in read.notes] == ["warning"]


def test_a_header_of_a_block_is_not_stored() -> None:
    """But only in files that have blocks; other Parameters are resources."""
    header = {
        "resourceType": "Parameters",
        "id": "h",
        "parameter": [{"name": "header", "valueReference": {"reference": "Patient/a"}}],
    }
    assert _read(header, organized=True) == Read()
    assert len(_read(header).items) == 1


def test_deletions_are_read_from_bundles() -> None:
    """Each entry is a write of its own."""

    def bundle(*urls: object) -> dict[str, object]:
        return {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": one}} for one in urls],
        }

    items = _read(bundle("Patient/a", f"{BASE}/Patient/b"), deleted=True).items
    assert [(one.entry, one.id, one.template) for one in items] == [(0, "a", None), (1, "b", None)]
    for wrong in (
        bundle(),
        bundle("Patient?name=x"),
        bundle("Nothing/a"),
        bundle(1),
        patient("a"),
        bundle(*["Patient/a"] * 1_001),
    ):
        with pytest.raises(Refused):
            _read(wrong, deleted=True)


def _record(content: dict[str, object] | None) -> Record:
    body = None if content is None else json.dumps(content).encode()
    return Record(1, 0, "op", "PUT" if content else "DELETE", body)


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_says_what_becomes_of_a_resource_that_is_there(mode: Mode) -> None:
    """Replaced, merged, left alone, or replaced unless it is the same."""
    rules = _rules(mode=mode)
    (item,) = _read(
        {**patient("a", gender="male"), "active": None} if mode == "merge-patch" else patient("a", gender="male"), rules
    ).items
    there = {"resourceType": "Patient", "id": "a", "active": True, "birthDate": "2000-01-01"}
    draft = decision(item, rules)(_record(there))
    if mode == "create-only":
        assert draft is None
        assert decision(item, rules)(_record(None)) is not None
        return
    assert draft is not None and draft.build is not None
    made = json.loads(draft.build(2, 0))
    made.pop("meta")
    merged = {"birthDate": "2000-01-01"} if mode == "merge-patch" else {}
    assert made == {"resourceType": "Patient", "id": "a", "gender": "male", **merged}
    same = decision(item, rules)(
        _record({**made, "meta": {"versionId": "1", "lastUpdated": "1970-01-01T00:00:00.000Z"}})
    )
    assert (same is None) == (mode == "skip-unchanged")


def test_what_a_merge_makes_is_validated() -> None:
    """Not the line by itself, which may have nulls."""
    rules = _rules(mode="merge-patch")
    (item,) = _read({**patient("a"), "gender": "unheard-of"}, rules).items
    with pytest.raises(Exception, match="gender"):
        decision(item, rules)(None)
