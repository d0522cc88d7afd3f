"""JSON becomes XML with elements in order and values escaped, or is refused with the place that is wrong."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.xml import read, write

R4 = definitions("4.0")
START = b'<?xml version="1.0" encoding="UTF-8"?>'


def test_elements_come_in_the_order_of_the_specification() -> None:
    """Whatever the order in JSON; `id` and `url` are attributes but for a resource's own id."""
    resource = json.parse(
        b'{"birthDate":"1974","name":[{"given":["A"],"id":"n","family":"B"}],"id":"p","resourceType":"Patient",'
        b'"extension":[{"valueDecimal":1.00,"url":"u"}],"_birthDate":{"id":"b"}}'
    )
    assert write(resource, R4) == START + (
        b'<Patient xmlns="http://hl7.org/fhir"><id value="p"/>'
        b'<extension url="u"><valueDecimal value="1.00"/></extension>'
        b'<name id="n"><family value="B"/><given value="A"/></name><birthDate id="b" value="1974"/></Patient>'
    )


def test_pretty_puts_an_element_on_a_line() -> None:
    """Two spaces a level; the narrative is left as it is."""
    div = '<div xmlns="http://www.w3.org/1999/xhtml">a\n b</div>'
    resource: json.JsonObject = {"resourceType": "Patient", "text": {"div": div}, "active": True}
    assert write(resource, R4, pretty=True).decode().splitlines() == [
        START.decode(),
        '<Patient xmlns="http://hl7.org/fhir">',
        "  <text>",
        '    <div xmlns="http://www.w3.org/1999/xhtml">a',
        " b</div>",
        "  </text>",
        '  <active value="true"/>',
        "</Patient>",
    ]


@pytest.mark.parametrize(
    "text", ["<&>\"'", "a\tb\nc\rd\r\ne", " lead and trail ", "é🙂\u2028\u00a0\ufffd", "]]>", "&amp;"]
)
def test_any_text_survives(text: str) -> None:
    """Markup characters and white space in attributes come back as they were."""
    resource: json.JsonObject = {"resourceType": "Patient", "name": [{"text": text}]}
    assert read(write(resource, R4), R4) == resource


def test_null_holds_a_place_only() -> None:
    """A null in an array of values, beside an id or extension, is an element without a value."""
    resource = json.parse(b'{"resourceType":"Patient","name":[{"given":["A",null],"_given":[null,{"id":"x"}]}]}')
    assert b'<given value="A"/><given id="x"/>' in write(resource, R4)
    assert read(write(resource, R4), R4) == resource


@pytest.mark.parametrize(
    ("body", "expression"),
    [
        ('{"resourceType":"Patient","bogus":1}', "Patient.bogus"),
        ('{"resourceType":"Patient","name":[{"family":"x"},{"bogus":1}]}', "Patient.name[1].bogus"),
        ('{"resourceType":"Patient","_name":[{"id":"x"}]}', "Patient._name"),
        ('{"resourceType":"Patient","name":{"family":"x"}}', "Patient.name"),
        ('{"resourceType":"Patient","name":["x"]}', "Patient.name[0]"),
        ('{"resourceType":"Patient","name":[null]}', "Patient.name[0]"),
        ('{"resourceType":"Patient","gender":["male"]}', "Patient.gender"),
        ('{"resourceType":"Patient","gender":"ma\\u0001le"}', "Patient.gender"),
        ('{"resourceType":"Patient","deceasedBoolean":{}}', "Patient.deceased"),
        ('{"resourceType":"Patient","_gender":"x"}', "Patient.gender"),
        ('{"resourceType":"Patient","_gender":{"value":"x"}}', "Patient.gender.value"),
        ('{"resourceType":"Patient","contained":[{"resourceType":"Nonsense"}]}', "Patient.contained[0].resourceType"),
        ('{"resourceType":"Patient","contained":[{"resourceType":"Basic","x":1}]}', "Patient.contained[0].x"),
        ('{"resourceType":"Patient","text":{"div":7}}', "Patient.text.`div`"),
        ('{"resourceType":"Patient","name":[{"resourceType":"HumanName"}]}', "Patient.name[0]"),
        ('{"resourceType":"Nonsense"}', "resourceType"),
        ("{}", "resourceType"),
    ],
)
def test_what_xml_cannot_say_is_refused_where_it_is(body: str, expression: str) -> None:
    """Only what validation would not have let in; the expression is FHIRPath."""
    with pytest.raises(InvalidResource) as caught:
        write(json.parse(body.encode()), R4)
    assert caught.value.issues[0].expression == (expression,)
