"""A narrative passes to the letter, and is rewritten only where it cannot stand alone."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.xml import read, write

R4 = definitions("4.0")
XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


def div_of(resource: json.JsonObject) -> object:
    text = resource["text"]
    assert isinstance(text, dict)
    return text["div"]


def read_div(div: str, declarations: str = 'xmlns="http://hl7.org/fhir"', prefix: str = "") -> object:
    xml = f"<{prefix}Patient {declarations}><{prefix}text>{div}</{prefix}text></{prefix}Patient>"
    return div_of(read(xml.encode(), R4))


@pytest.mark.parametrize(
    "div",
    [
        f"<div {XHTML}/>",
        f"<div {XHTML}></div>",
        f"<div {XHTML}>plain</div>",
        f"<div {XHTML} >a <b>b</b> c<br/>d<br /> e</div >",
        f"<div {XHTML} title='a > b' class=\"x\">&lt;tag&gt; &#160;&#xA0;&amp; ' \"</div>",
        f"<div {XHTML}><!-- a comment <div> --></div>",
        f"<div {XHTML}>\n\t<p>tab</p>\r\n  <div>inner</div></div>",
        f"<div id='n' {XHTML} xml:lang='de'>Grüße, 你好, 🙂</div>",
        f"<div {XHTML}><p {XHTML}/><h:p xmlns:h='http://www.w3.org/1999/xhtml'/></div>",
    ],
)
def test_a_div_passes_to_the_letter(div: str) -> None:
    """Quotes, references, comments, sections and white space are the author's, both ways."""
    assert read_div(div) == div
    resource: json.JsonObject = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    assert div.encode() in write(resource, R4)
    assert read(write(resource, R4), R4) == resource
    assert read(write(resource, R4, pretty=True), R4) == resource


def test_a_div_with_a_prefix_is_rewritten() -> None:
    """In JSON a div stands alone, under its plain name; comments and references of characters keep their meaning."""
    declarations = 'xmlns:f="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"'
    div = "<h:div class='x'>a &lt; &#233;<h:br/><!-- c --><h:p xml:lang=\"de\"></h:p></h:div>"
    assert read_div(div, declarations, "f:") == (
        f'<div {XHTML} class="x">a &lt; é<br/><!-- c --><p xml:lang="de"></p></div>'
    )


def test_a_namespace_declared_further_out_is_written_into_the_div() -> None:
    """The default namespace may be XHTML's all along, with a prefix for FHIR."""
    declarations = f'xmlns:f="http://hl7.org/fhir" {XHTML}'
    assert read_div("<div>a<br></br></div>", declarations, "f:") == f"<div {XHTML}>a<br/></div>"


def test_sections_and_instructions_are_rewritten() -> None:
    """JSON's narrative has neither CDATA nor processing instructions: the one becomes text, the other is left out."""
    div = f"<div {XHTML}><?pi x?>a<![CDATA[<b> & ]]><hr/></div>"
    assert read_div(div) == f"<div {XHTML}>a&lt;b&gt; &amp; <hr/></div>"


def test_a_rewritten_div_is_xhtml_only() -> None:
    """What has no name in XHTML is refused where the div would have to be rewritten."""
    declarations = 'xmlns:f="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml" xmlns:x="urn:x"'
    for div in ("<h:div><x:y/></h:div>", "<h:div x:y='z'/>"):
        with pytest.raises(InvalidResource):
            read_div(div, declarations, "f:")


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        ("<div>no namespace</div>", f"<div {XHTML}>no namespace</div>"),
        (
            f"<div {XHTML}>a&nbsp;b &eacute; &amp; &bogus</div>".replace(" &bogus", ""),
            f"<div {XHTML}>a&#160;b &#233; &amp;</div>",
        ),
        ('<div class="x"/>', f'<div {XHTML} class="x"/>'),
    ],
)
def test_common_slips_in_stored_narratives_are_mended_on_the_way_out(stored: str, written: str) -> None:
    """A missing namespace and HTML's named entities, which other servers let in, do not stand in the way of XML."""
    resource: json.JsonObject = {"resourceType": "Patient", "text": {"div": stored}}
    assert div_of(read(write(resource, R4), R4)) == written
