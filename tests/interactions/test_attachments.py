"""Long data of attachments is taken out of a resource, and put back."""

from __future__ import annotations

import base64
import hashlib
from copy import deepcopy

import pytest

from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.interactions.attachments import MOST, binary_id, outside, take_out

LONG = bytes(range(256)) * 8
TEXT = base64.b64encode(LONG).decode()
R4 = definitions()


def attachment(**more: object) -> JsonObject:
    return {"contentType": "application/pdf", "data": TEXT, "title": "t", **more}


def document(*attachments: JsonObject) -> JsonObject:
    return {"resourceType": "DocumentReference", "content": [{"attachment": one} for one in attachments]}


def test_data_becomes_url_size_and_hash() -> None:
    """The hash is SHA-1 in base64, as R4 says; every other member stays."""
    one = attachment()
    (taken,) = take_out(document(one), R4, above=1000)
    taken.refer("x")
    sha1 = base64.b64encode(hashlib.sha1(LONG, usedforsecurity=False).digest()).decode()
    assert one == {
        "contentType": "application/pdf",
        "title": "t",
        "size": len(LONG),
        "hash": sha1,
        "url": "Binary/x",
    }
    assert (taken.data, taken.type, taken.sha256) == (LONG, "application/pdf", hashlib.sha256(LONG).hexdigest())
    assert "data" not in repr(taken)


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient", "photo": [attachment()]},
        {"resourceType": "Patient", "extension": [{"url": "http://x", "valueAttachment": attachment()}]},
        {"resourceType": "List", "contained": [{"resourceType": "Patient", "id": "p", "photo": [attachment()]}]},
        {"resourceType": "Communication", "payload": [{"contentAttachment": attachment()}]},
        document(attachment(url="Binary/old")),
    ],
)
def test_it_is_found_wherever_the_definitions_say(resource: JsonObject) -> None:
    """In lists, extensions, contained resources, choices; one that was read with its data put back, too."""
    assert len(take_out(resource, R4, above=1000)) == 1


@pytest.mark.parametrize(
    "resource",
    [
        document(attachment(data=base64.b64encode(LONG[:1000]).decode())),
        document(attachment(url="http://elsewhere/file.pdf")),
        document(attachment(_data={"id": "d"})),
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": document(attachment())}]},
        {"resourceType": "Binary", "contentType": "a/b", "data": TEXT},
        {"resourceType": "Patient", "text": {"data": TEXT}},
    ],
)
def test_other_data_stays(resource: JsonObject) -> None:
    """Short data, what has a URL elsewhere, what is in a Bundle, and what is no Attachment."""
    before = deepcopy(resource)
    assert take_out(resource, R4, above=1000) == []
    assert resource == before


def test_there_is_a_bound() -> None:
    """Of very many, the first are moved, and the rest stays in the resource."""
    resource = document(*[attachment() for _ in range(MOST + 3)])
    assert len(take_out(resource, R4, above=1000)) == MOST


def test_the_same_data_has_the_same_binary() -> None:
    """The id depends on the resource, the content and its type alone, and is a FHIR id."""
    (one,) = take_out(document(attachment()), R4, above=1000)
    (two,) = take_out(document(attachment(title="other")), R4, above=1000)
    (other,) = take_out(document(attachment(contentType="a/b")), R4, above=1000)
    ids = [
        binary_id("DocumentReference", id, taken) for id, taken in (("1", one), ("1", two), ("2", one), ("1", other))
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_data_is_put_back_where_it_is_the_same() -> None:
    """By a URL that is relative, below our own base, or of one version; never other bytes than the hash says."""
    resource = document(attachment(), attachment(), attachment())
    for n, taken in enumerate(take_out(resource, R4, above=1000)):
        taken.refer(("a", "b/_history/2", "c")[n])
    contents = resource["content"]
    assert isinstance(contents, list)
    contents[2]["attachment"]["url"] = "http://here/fhir/Binary/c"
    found = outside(resource, R4, base_url="http://here/fhir")
    assert [(one.id, one.version, one.size) for one in found] == [
        ("a", None, len(LONG)),
        ("b", 2, len(LONG)),
        ("c", None, len(LONG)),
    ]
    assert found[0].put_back(LONG)
    assert not found[1].put_back(LONG[::-1])
    assert contents[0]["attachment"]["data"] == TEXT
    assert "data" not in contents[1]["attachment"]
    assert outside(document(attachment(url="Binary/a")), R4) == []


def test_a_size_is_text_from_r5_on() -> None:
    """`integer64` is a string in JSON."""
    r5 = definitions("5.0")
    resource = document(attachment())
    (taken,) = take_out(resource, r5, above=1000)
    taken.refer("x")
    (found,) = outside(resource, r5)
    assert found.size == len(LONG)
    assert f"'size': '{len(LONG)}'" in str(resource)
