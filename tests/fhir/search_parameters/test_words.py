"""What is text in XHTML and in resources, and what its words are."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.words import LONGEST, text_of_div, texts_of_resource, words_in


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Métastases: BONE, liver.", ["metastases", "bone", "liver"]),
        ("x-ray 120/80 O'Brien", ["x", "ray", "120", "80", "o", "brien"]),
        ("Straße ﬁbrosis ②", ["strasse", "fibrosis", "2"]),
        ("li\u00adver zero\u200bwidth", ["liver", "zero", "width"]),
        ("日本語 text", ["日本語", "text"]),
        ("snake_case", ["snake", "case"]),
        ("x" * LONGEST + " " + "y" * (LONGEST + 1), ["x" * LONGEST]),
        ("&<>", []),
    ],
)
def test_words_have_neither_case_nor_accents(text: str, words: list[str]) -> None:
    """Letters and digits that stand together."""
    assert words_in(text) == words


@pytest.mark.parametrize(
    ("div", "text"),
    [
        ("<div>a<b>b</b>c</div>", " abc "),
        ("<p>a</p><p>b</p>", " a  b "),
        ("a<br/>b", "a b"),
        ('<img alt="a > b"/>c', " c"),
        ("a<!-- b <p> -->c", "ac"),
        ("&lt;p&gt;&nbsp;&eacute;&#233;&#xe9;", "<p>\xa0ééé"),
        ("a &nothing; & b", "a &nothing; & b"),
        ("1 < 2 <b>x</b>", "1 < 2 <b>x</b>"),
        ("<a href='x'>y", "y"),
        ("a <!-- b", "a <!-- b"),
    ],
)
def test_the_text_of_a_div(div: str, text: str) -> None:
    """Without tags and comments, with what entities stand for; what is no XHTML is text."""
    assert text_of_div(div) == text


@pytest.mark.parametrize("part", ["<", '<a "', "<!--", "<a '", "&#", "&", "<a>", "<a b=", "&#9", "<!-- -->"])
def test_hostile_narratives_take_no_time(part: str) -> None:
    """A megabyte of what begins and does not end, in seconds at most: time grows with the length alone."""
    start = time.process_time()
    text_of_div(part * (1_000_000 // len(part)))
    text_of_div(part + "9" * 1_000_000)
    assert time.process_time() - start < 10


@given(st.text(alphabet="<>ab/!-\"'&;#x ", max_size=40))
def test_any_text_has_a_text(div: str) -> None:
    """Nothing raises, and nothing without markup changes."""
    text_of_div(div)
    assert text_of_div(div.replace("<", "").replace("&", "")) == div.replace("<", "").replace("&", "")


def test_the_strings_of_a_resource() -> None:
    """All of them, of what is contained, too; not data, types and what servers write."""
    resource: JsonObject = {
        "resourceType": "Patient",
        "id": "p",
        "meta": {"versionId": "v", "lastUpdated": "2020", "source": "urn:s", "tag": [{"code": "t"}]},
        "text": {"status": "generated", "div": "<div>nar<b>rative</b></div>"},
        "contained": [{"resourceType": "Basic", "meta": {"versionId": "w"}, "code": {"text": "in"}}],
        "photo": [{"data": "AAAA", "title": "face"}],
        "extension": [
            {"url": "urn:e", "valueBase64Binary": "BBBB"},
            {"valueSampledData": {"origin": {}, "data": "E U"}},
        ],
        "active": True,
        "name": [{"given": ["Ann", None]}],
    }
    found = sorted(text.strip() for text in texts_of_resource(resource))
    assert found == sorted(["p", "urn:s", "t", "generated", "narrative", "w", "in", "face", "urn:e", "E U", "Ann"])
