"""Narratives are basic XHTML, and nothing in them runs."""

from __future__ import annotations

import pytest

from fhirstore.fhir.validation.narrative import NAMESPACE, faults, has_content, is_narrative

RIGHT = (
    "",
    "text",
    "<p>a &lt; b &amp; &#160; &#x1F600;</p>",
    '<table class="grid"><tr><td colspan="2" style="color: red">x<br/></td></tr></table>',
    '<a href="https://example.org/?a=b&amp;c" title="x">x</a><a name="y"/>',
    '<img src="data:image/png;base64,AAAA" alt="x"/><img src="#pic"/>',
    "<!-- a comment - of a kind -->",
    '<p lang="de" xml:lang="de">ß</p>',
    "<h1>x</h1><hr/><ul><li>y</li></ul><pre> z </pre>",
)
WRONG = (
    "<p>",
    "</p>",
    "<b><i>x</b></i>",
    "a & b",
    "&nbsp;",
    "<br>",
    "<script>x</script>",
    "<style>x</style>",
    "<iframe/>",
    "<form/>",
    "<input/>",
    "<object/>",
    "<svg/>",
    '<p onclick="x()">x</p>',
    '<p ONCLICK="x()">x</p>',
    '<a href="javascript:x()">x</a>',
    '<a href=" JaVa&#10;Script:x()">x</a>',
    '<a href="data:text/html,x">x</a>',
    '<img src="vbscript:x"/>',
    "<![CDATA[x]]>",
    "<!--> x -->",
    "<!---> x -->",
    "<?php x ?>",
    '<x:p xmlns:x="urn:x">x</x:p>',
    '<p xmlns="urn:x">x</p>',
    "<P>x</P>",
    "\x00",
)


def _div(content: str) -> str:
    return f'<div xmlns="{NAMESPACE}">{content}</div>'


@pytest.mark.parametrize("content", RIGHT)
def test_basic_xhtml_is_accepted(content: str) -> None:
    """Text, tables, lists, links, images."""
    assert is_narrative(_div(content))
    assert not faults(_div(content))


@pytest.mark.parametrize("content", WRONG)
def test_everything_else_is_refused(content: str) -> None:
    """What is active, what is not well-formed, what HTML reads in another way than XML; no fault quotes the text."""
    assert not is_narrative(_div(content))
    assert faults(_div(content))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "<p/>",
        "<div/>",
        "<div>x</div>",
        f'<p xmlns="{NAMESPACE}">x</p>',
        f"{_div('x')}{_div('y')}",
        f"{_div('x')}x",
        f'<div xmlns="{NAMESPACE}" onload="x()">x</div>',
        f'<!DOCTYPE div [<!ENTITY a "b">]>{_div("&a;")}',
        f'<?xml version="1.0"?>{_div("x")}',
        f'<divx xmlns="{NAMESPACE}">x</divx>',
    ],
)
def test_the_root_is_one_div(text: str) -> None:
    """In the namespace of XHTML, with nothing around it."""
    assert not is_narrative(text)
    assert faults(text)


def test_a_string_it_is() -> None:
    """Other values are none."""
    assert not is_narrative(None)
    assert not is_narrative(1)


def test_content_is_text_or_an_image() -> None:
    """txt-2."""
    assert has_content(_div("x"))
    assert has_content(_div('<p><img src="#a"/></p>'))
    assert not has_content(_div(" <p>\n</p><br/> "))


def test_entities_do_not_multiply() -> None:
    """A DOCTYPE is refused before it is read."""
    entities = "".join(f'<!ENTITY e{n} "&e{n - 1};&e{n - 1};">' for n in range(1, 60))
    assert faults(f'<!DOCTYPE div [<!ENTITY e0 "x">{entities}]>{_div("&e59;")}')


@pytest.mark.parametrize(
    "content",
    [
        "<b>x</b>" * 20_000 + "<p>",
        "<b><i><u><p><span><a>x</a></span></p></u></i></b>" * 5_000 + "<p>",
        "<b>" * 50_000,
        ("<b>" + "<i>x</i>" * 100 + "</b>") * 500 + "<x>",
        "<p><b><i><u><s>" + "<q>x</q>" * 30_000,
    ],
)
def test_long_narratives_take_linear_time(content: str) -> None:
    """However they go wrong at their end (were it not linear, this would take for ever)."""
    assert not is_narrative(_div(content))
