"""Hostile XML reads no file, opens no connection and costs nothing: a document type ends the reading."""

from __future__ import annotations

import socket
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from fhirstore.errors import ContentTooLarge, InvalidResource, MalformedContent
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.xml import read, write
from tests.fhir.xml.examples import examples

R4 = definitions("4.0")
BODY = '<Patient xmlns="http://hl7.org/fhir"><name><text value="{0}"/></name></Patient>'
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE Patient>",
        "<!DOCTYPE Patient []>",
        '<!DOCTYPE Patient [<!ENTITY x "y">]>',
        '<!DOCTYPE Patient SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE Patient [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE Patient [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd">%p;]>',
        f'<!DOCTYPE Patient [<!ENTITY l0 "ha">{LAUGHS}<!ENTITY x "&l9;">]>',
        '<!DOCTYPE Patient PUBLIC "-//x//y" "http://127.0.0.1:9/x.dtd">',
        '<!-- first --><?pi?>\n<!DOCTYPE Patient [<!ATTLIST Patient id CDATA "injected">]>',
    ],
)
def test_a_document_type_is_refused_where_it_starts(doctype: str) -> None:
    """Entities of whatever kind cannot be declared, so there is nothing to expand or to fetch."""
    with pytest.raises(MalformedContent, match="document type declaration"):
        read((doctype + BODY.format("&x;")).encode(), R4)


def test_external_entities_open_nothing(tmp_path: Path) -> None:
    """A file and a listener that an entity points at are left alone."""
    secret = tmp_path / "secret"
    secret.write_text("TOP SECRET")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        port = listener.getsockname()[1]
        for target in (secret.as_uri(), f"http://127.0.0.1:{port}/"):
            with pytest.raises(MalformedContent) as caught:
                read(f'<!DOCTYPE P [<!ENTITY x SYSTEM "{target}">]>{BODY.format("&x;")}'.encode(), R4)
            assert "SECRET" not in str(caught.value)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_includes_are_not_followed() -> None:
    """XInclude is an element like any other: unknown."""
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/>'
    with pytest.raises(Exception, match="another namespace"):
        read(f'<Patient xmlns="http://hl7.org/fhir">{include}</Patient>'.encode(), R4)


@pytest.mark.parametrize(
    "div",
    [
        '<!DOCTYPE div [<!ENTITY x "y">]><div xmlns="http://www.w3.org/1999/xhtml">&x;</div>',
        '<?xml version="1.0"?><div xmlns="http://www.w3.org/1999/xhtml"/>',
        '<div xmlns="http://www.w3.org/1999/xhtml"/></text><active value="true"/><text>',
        '<div xmlns="http://www.w3.org/1999/xhtml"/><div xmlns="http://www.w3.org/1999/xhtml"/>',
        '<div xmlns="http://www.w3.org/1999/xhtml"><p></div>',
        '<p xmlns="http://www.w3.org/1999/xhtml">x</p>',
        "just text",
        "",
    ],
)
def test_a_stored_narrative_cannot_break_out(div: str) -> None:
    """A string from JSON goes into the XML only if it is one well-formed div on its own."""
    resource: json.JsonObject = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    with pytest.raises(Exception, match="well-formed XHTML div") as caught:
        write(resource, R4)
    assert getattr(caught.value, "issues")[0].expression == ("Patient.text.`div`",)  # noqa: B009 - any of its kinds


def test_a_hundred_thousand_attributes_or_namespaces_do_no_harm() -> None:
    """Large but flat input is refused or read, not suffered."""
    attributes = " ".join(f'a{n}="x"' for n in range(100_000))
    with pytest.raises(ContentTooLarge, match="256 attributes"):
        read(f'<Patient xmlns="http://hl7.org/fhir"><name {attributes}/></Patient>'.encode(), R4)
    namespaces = " ".join(f'xmlns:a{n}="urn:{n}"' for n in range(2_000))
    with pytest.raises(MalformedContent, match="namespaces"):
        read(f'<Patient xmlns="http://hl7.org/fhir" {namespaces}/>'.encode(), R4)


PLAIN = (
    b'< > /> " & &#0; &lt; <!-- --> <![CDATA[ ]]> <?x?> <!DOCTYPE \xff \0 \xed\xa0\x80 <extension value= <contained>'
)
TOKENS = (
    *PLAIN.split(),
    b' id="x"',
    b' value="1"',
    b' xmlns="u"',
    b' xmlns:a="http://hl7.org/fhir"',
    b'<div xmlns="http://www.w3.org/1999/xhtml"/>',
)


def test_damaged_xml_is_read_or_refused() -> None:
    """Bytes put in, taken out and doubled at random raise nothing but the two errors; what is read can be stored."""
    random = Random(20)
    whole = [write(resource, R4) for _, _, resource in islice(examples(), 40)]
    for _ in range(3_000):
        xml = bytearray(random.choice(whole)[:4_000] if random.random() < 0.1 else random.choice(whole))
        for _ in range(random.randint(1, 4)):
            at, length = random.randrange(len(xml)), random.randint(1, 40)
            new = random.choice((random.choice(TOKENS), b"", bytes(xml[at : at + 2 * length]), random.randbytes(1)))
            xml[at : at + random.choice((0, length))] = new
        try:
            resource = read(bytes(xml), R4)
        except (MalformedContent, InvalidResource):
            continue
        assert json.parse(json.encode(resource)) == resource
        assert read(write(resource, R4), R4) == resource


def test_a_deep_narrative_is_carried_not_suffered() -> None:
    """A narrative may nest as it likes: it is text to us, and no stack grows with it."""
    deep = "<b>" * 50_000 + "</b>" * 50_000
    xml = f'<Patient xmlns="http://hl7.org/fhir"><text><div xmlns="http://www.w3.org/1999/xhtml">{deep}</div></text>'
    resource = read(f"{xml}</Patient>".encode(), R4)
    assert read(write(resource, R4), R4) == resource
