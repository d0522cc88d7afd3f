"""Long base64 values pass the XML parser by, and come out as if they had gone through it; other long tags are refused.

What is bounded is what expat is given in one call.
"""

from __future__ import annotations

import pytest

from fhirstore.errors import ContentTooLarge, InvalidResource, MalformedContent
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.xml.long_values import set_apart
from fhirstore.fhir.xml.reading import read

R4 = definitions("4.0")
DATA = b"QUJD" * 400_000
WRAPPED = b"\r\n".join([b"A" * 76] * 20_000)


def binary(data: bytes, after: bytes = b"", before: bytes = b"") -> bytes:
    """A Binary."""
    head = b'<Binary xmlns="http://hl7.org/fhir">' + before + b'<contentType value="a/b"/>\n<data value="'
    return head + data + b'"/>' + after + b"</Binary>"


@pytest.mark.parametrize("data", [DATA, WRAPPED, b"\t" + DATA + b"\n"], ids=["plain", "wrapped", "in white space"])
def test_a_long_value_is_read_as_a_short_one(data: bytes) -> None:
    """The parser sees less than 100 KB of it; line ends and tabs become spaces, as in every attribute."""
    document = binary(data)
    assert len(set_apart(document).document) < 100_000
    expected = data.replace(b"\r\n", b" ").replace(b"\n", b" ").replace(b"\t", b" ").decode()
    assert read(document, R4)["data"] == expected


def test_several_long_values_keep_their_places() -> None:
    """Each attachment has its own."""
    one, two = b"A" * 1_500_000, b"B" * 3_000_000
    contents = b"".join([b'<content><attachment><data value="%s"/></attachment></content>' % x for x in (one, two)])
    head = b'<DocumentReference xmlns="http://hl7.org/fhir"><status value="current"/>'
    found = read(head + contents + b"</DocumentReference>", R4)["content"]
    assert isinstance(found, list)
    assert [len(one["attachment"]["data"]) for one in found] == [1_500_000, 3_000_000]
    assert found[0]["attachment"]["data"][0] == "A"


def test_what_looks_like_one_in_a_narrative_or_a_comment_stays() -> None:
    """To the letter."""
    div = b'<div xmlns="http://www.w3.org/1999/xhtml"><p title="x">value="%s"</p></div>' % DATA
    text = b'<text><status value="generated"/>%s</text>' % div
    patient = b'<Patient xmlns="http://hl7.org/fhir"><!-- value="%s" -->%s</Patient>' % (DATA, text)
    found = read(patient, R4)["text"]
    assert isinstance(found, dict)
    assert DATA.decode() in str(found["div"])


def test_errors_behind_a_long_value_say_where_they_are() -> None:
    """The line, and the byte in the document as it was sent."""
    wrong = binary(WRAPPED.replace(b"\r\n", b"\n"), after=b"\n<broken")
    with pytest.raises(MalformedContent) as malformed:
        read(wrong, R4)
    assert "line 20002" in str(malformed.value)
    assert malformed.value.offset is not None
    assert malformed.value.offset > len(WRAPPED.replace(b"\r\n", b"\n"))
    with pytest.raises(InvalidResource, match=r"line 20002"):
        read(binary(WRAPPED.replace(b"\r\n", b"\n"), after=b'\n<bogus value="1"/>'), R4)


@pytest.mark.parametrize("data", [b"&amp;" * 2_500_000, "é".encode() * 6_000_000], ids=["entities", "letters"])
def test_any_other_tag_is_short(data: bytes) -> None:
    """6 MB: a string of a million characters fits in."""
    with pytest.raises(ContentTooLarge, match="6,291,456"):
        read(binary(data), R4)
    assert read(binary(b"&amp;" * 1_048_576), R4)["data"] == "&" * 1_048_576
