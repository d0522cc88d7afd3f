"""XML as others write it becomes the JSON it stands for, or is refused with the place that is wrong."""

from __future__ import annotations

import pytest

from fhirstore.errors import FhirError, InvalidResource, MalformedContent
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.xml import read

R4 = definitions("4.0")


def patient(content: str) -> bytes:
    return f'<Patient xmlns="http://hl7.org/fhir">{content}</Patient>'.encode()


def as_json(xml: bytes) -> str:
    return json.encode(read(xml, R4)).decode()


def refusal(xml: bytes) -> FhirError:
    with pytest.raises((InvalidResource, MalformedContent)) as caught:
        read(xml, R4)
    return caught.value


def test_a_patient_by_hand() -> None:
    """Declaration, comments, processing instructions and white space around; prefixes in place of a default."""
    xml = b"""\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8"?>
    <!-- from somewhere --><?xml-stylesheet href="x.xsl"?>
    <f:Patient xmlns:f="http://hl7.org/fhir">
      <f:id value="p1"/>
      <!-- names -->
      <f:name><f:family value="Chalmers"/><f:given value="Peter"></f:given><f:given value="James"/></f:name>
      <?php nothing ?>
      <f:birthDate value=" 1974-12-25 "/>
      <f:deceasedBoolean value="false"/>
      <f:multipleBirthInteger value="2"/>
    </f:Patient> <!-- the end -->
    """
    assert as_json(xml) == (
        '{"resourceType":"Patient","id":"p1","name":[{"family":"Chalmers","given":["Peter","James"]}],'
        '"birthDate":"1974-12-25","deceasedBoolean":false,"multipleBirthInteger":2}'
    )


def test_ids_and_extensions_of_primitives_are_siblings() -> None:
    """`_birthDate` beside its value; in arrays null holds the place of what is not there."""
    xml = patient(
        '<name><given value="A"/><given id="g"><extension url="u"><valueCode value="x"/></extension></given>'
        '<given value="C"/></name>'
        '<birthDate><extension url="u"><valueString value="?"/></extension></birthDate>'
    )
    assert as_json(xml) == (
        '{"resourceType":"Patient","name":[{"given":["A",null,"C"],'
        '"_given":[null,{"id":"g","extension":[{"url":"u","valueCode":"x"}]},null]}],'
        '"_birthDate":{"extension":[{"url":"u","valueString":"?"}]}}'
    )


def test_an_array_of_extensions_only_has_no_values() -> None:
    """A repeating primitive without any value is the member with the underscore alone."""
    xml = patient('<name><given><extension url="u"><valueString value="?"/></extension></given></name>')
    assert as_json(xml) == (
        '{"resourceType":"Patient","name":[{"_given":[{"extension":[{"url":"u","valueString":"?"}]}]}]}'
    )


@pytest.mark.parametrize("literal", ["1.00", "1E2", "-0", "0.0", "1", "-7", "9" * 30, "9" * 5000, "1.0e-10"])
def test_decimals_keep_their_digits(literal: str) -> None:
    """A decimal is the literal that was written, and equal to what JSON with this literal is parsed to."""
    xml = f'<Observation xmlns="http://hl7.org/fhir"><valueQuantity><value value="{literal}"/></valueQuantity>'
    body = f"{xml}</Observation>".encode()
    assert read(body, R4) == json.parse(
        f'{{"resourceType":"Observation","valueQuantity":{{"value":{literal}}}}}'.encode()
    )


@pytest.mark.parametrize("text", ["yes", "TRUE", ""])
def test_what_is_no_boolean_stays_text_for_validation(text: str) -> None:
    """A value of the wrong form is named by validation, as it is in JSON."""
    assert read(patient(f'<active value="{text}"/>'), R4)["active"] == text


def test_blanks_in_strings_stay() -> None:
    """Strings keep their white space, line ends included; the other primitives are trimmed."""
    xml = patient('<text><status value=" generated "/></text><name><text value=" a&#10;b&#9; "/></name>')
    assert read(xml, R4) == {
        "resourceType": "Patient",
        "text": {"status": "generated"},
        "name": [{"text": " a\nb\t "}],
    }


def test_resources_inside_resources() -> None:
    """`contained` and `Bundle.entry.resource` hold a resource each."""
    xml = b"""<Bundle xmlns="http://hl7.org/fhir"><type value="collection"/>
      <entry><resource><Patient>
        <contained><Organization><id value="o"/></Organization></contained>
        <contained><Organization><id value="q"/></Organization></contained>
        <active value="true"/></Patient></resource></entry></Bundle>"""
    assert as_json(xml) == (
        '{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient",'
        '"contained":[{"resourceType":"Organization","id":"o"},{"resourceType":"Organization","id":"q"}],'
        '"active":true}}]}'
    )


def test_integer64_is_a_string_in_json() -> None:
    """R5's integer64 keeps its digits as a string (https://hl7.org/fhir/R5/json.html#primitive)."""
    r5 = definitions("5.0")
    xml = b'<Patient xmlns="http://hl7.org/fhir"><photo><size value="9007199254740993"/></photo></Patient>'
    assert read(xml, r5)["photo"] == [{"size": "9007199254740993"}]


def test_schema_hints_are_passed_over() -> None:
    """xsi:schemaLocation on the root says nothing about the resource; further in it is refused."""
    hint = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir x.xsd"'
    assert as_json(f'<Patient xmlns="http://hl7.org/fhir" {hint}/>'.encode()) == '{"resourceType":"Patient"}'
    assert isinstance(refusal(patient(f"<name {hint}/>")), InvalidResource)


@pytest.mark.parametrize(
    ("content", "expression"),
    [
        ('<bogus value="x"/>', "Patient.bogus"),
        ('<name><bogus value="x"/></name>', "Patient.name[0].bogus"),
        ('<name><use value="usual"/></name><name><family><wrong/></family></name>', "Patient.name[1].family.wrong"),
        ('<name><given value="a"/><given value="b" x="y"/></name>', "Patient.name[0].given[1]"),
        ('<name value="x"/>', "Patient.name[0]"),
        ("<name/>", "Patient.name[0]"),
        ("<gender/>", "Patient.gender"),
        ("<gender>male</gender>", "Patient.gender"),
        ('<gender value="male"/><gender value="male"/>', "Patient.gender"),
        ('<birthDate value="1974"/><gender value="male"/>', "Patient.gender"),
        ('<name id="a"/><gender value="male"/><name id="b"/>', "Patient.name"),
        ('<contact><name/><organization xmlns="urn:x"/></contact>', "Patient.contact[0].name"),
        ('<gender xmlns="" value="male"/>', "Patient"),
        ('<gender xmlns="urn:other" value="male"/>', "Patient"),
        ('<h:gender xmlns:h="http://www.w3.org/1999/xhtml"/>', "Patient"),
        ('<div xmlns="http://www.w3.org/1999/xhtml">x</div>', "Patient.`div`"),
        ("<text><div>x</div></text>", "Patient.text.`div`"),
        ("<contained/>", "Patient.contained[0]"),
        ("<contained><Nonsense/></contained>", "Patient.contained[0]"),
        ("<contained><Basic/><Basic/></contained>", "Patient.contained[0]"),
        ('<contained id="x"><Basic/></contained>', "Patient.contained[0]"),
        ("<contained><Basic><code><text><x/></text></code></Basic></contained>", "Patient.contained[0].code.text.x"),
        ('<deceasedString value="x"/>', "Patient.deceasedString"),
        ('<deceasedBoolean value="true"><y/></deceasedBoolean>', "Patient.deceased.y"),
        ('<extension><url value="u"/></extension>', "Patient.extension[0].url"),
        ('<name><id value="u"/></name>', "Patient.name[0].id"),
    ],
)
def test_what_has_no_place_is_refused_where_it_is(content: str, expression: str) -> None:
    """Unknown, repeated, misplaced, empty and foreign elements and attributes; the expression is FHIRPath."""
    error = refusal(patient(content))
    assert isinstance(error, InvalidResource)
    assert error.issues[0].expression == (expression,)
    assert error.issues[0].code in ("structure", "value")


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"  \n",
        b"{}",
        b"<Patient",
        b'<Patient xmlns="http://hl7.org/fhir"><name></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir"/><Patient/>',
        b'<Patient xmlns="http://hl7.org/fhir"><name text="a" text="b"/></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir"><p:name/></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir"><language value="\xff"/></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir"><language value="&#1;"/></Patient>',
        b'<Patient xmlns="http://hl7.org/fhir"><language value="\xed\xa0\x80"/></Patient>',
        b'<?xml version="1.0" encoding="ISO-8859-1"?><Patient xmlns="http://hl7.org/fhir"/>',
        '<?xml version="1.0" encoding="UTF-16"?><Patient xmlns="http://hl7.org/fhir"/>'.encode("utf-16"),
        '<Patient xmlns="http://hl7.org/fhir"/>'.encode("utf-16-le"),
        b'<Patient xmlns="http://hl7.org/fhir"><language value="&nbsp;"/></Patient>',
    ],
)
def test_what_is_not_utf8_xml_is_malformed(xml: bytes) -> None:
    """Broken syntax and other encodings are MalformedContent, by name of what is wrong."""
    assert isinstance(refusal(xml), MalformedContent)


@pytest.mark.parametrize(
    "xml",
    [
        b"<Patient/>",
        b'<Patient xmlns="http://hl7.org/fhir/"/>',
        b'<div xmlns="http://www.w3.org/1999/xhtml"/>',
        b'<Nonsense xmlns="http://hl7.org/fhir"/>',
        b'<HumanName xmlns="http://hl7.org/fhir"/>',
        b'<DomainResource xmlns="http://hl7.org/fhir"/>',
        b'<patient xmlns="http://hl7.org/fhir"/>',
        b'<Patient xmlns="http://hl7.org/fhir" id="x"/>',
    ],
)
def test_a_root_that_is_no_resource_is_refused(xml: bytes) -> None:
    """The root is a resource type in FHIR's namespace, without attributes of its own."""
    assert isinstance(refusal(xml), InvalidResource)


def test_messages_hold_no_content() -> None:
    """Values, and names that are no names of elements, are not repeated."""
    for xml in (patient("<gender>Chalmers</gender>"), patient('<name Chalmers="x"/>'.replace("Chalmers", "Ch-lmers"))):
        error = refusal(xml)
        assert "lmers" not in str(error) + str(error.issues)


def nested(levels: int) -> bytes:
    extension = '<extension url="u">' * levels + '<valueCode value="x"/>' + "</extension>" * levels
    return patient(extension)


def test_depth_is_bounded_as_in_json() -> None:
    """What is accepted can be stored and parsed as JSON; a level deeper is refused, however deep."""
    deepest = max(levels for levels in range(20, 40) if not _is_refused(nested(levels)))
    json.parse(json.encode(read(nested(deepest), R4)))
    assert isinstance(refusal(nested(deepest + 1)), MalformedContent)
    assert isinstance(refusal(nested(100_000)), MalformedContent)


def _is_refused(xml: bytes) -> bool:
    try:
        read(xml, R4)
    except MalformedContent:
        return True
    return False
