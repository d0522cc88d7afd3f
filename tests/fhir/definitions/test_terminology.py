"""What a value set allows is said exactly, or not at all."""

from __future__ import annotations

import pytest

from fhirstore.fhir.definitions.nodes import Node
from fhirstore.fhir.definitions.terminology import NotEnumerable, Terminology

HUES: Node = {
    "url": "urn:hue",
    "content": "complete",
    "concept": [
        {"code": "warm", "concept": [{"code": "red", "concept": [{"code": "pink"}]}]},
        {"code": "blue"},
        {"code": "navy", "property": [{"code": "subsumedBy", "valueCode": "blue"}]},
    ],
}


def _codes(*include: Node, exclude: tuple[Node, ...] = (), **others: Node) -> set[str]:
    """What a value set allows that includes and excludes these; `others`: value sets at hand."""
    value_sets = {f"urn:{name}": value_set for name, value_set in others.items()}
    value_sets["urn:x"] = {"url": "urn:x", "compose": {"include": list(include), "exclude": list(exclude)}}
    terminology = Terminology(value_sets, {"urn:hue": HUES})
    return {code for codes in terminology.codes("urn:x|1").values() for code in codes}


def _hues(op: str, value: str) -> Node:
    return {"system": "urn:hue", "filter": [{"property": "concept", "op": op, "value": value}]}


def test_includes_add_and_excludes_take_away() -> None:
    """Whole systems, lists, hierarchies nested or by property."""
    assert _codes({"system": "urn:hue"}) == {"warm", "red", "pink", "blue", "navy"}
    assert _codes({"system": "urn:a", "concept": [{"code": "1"}]}, _hues("is-a", "blue")) == {"1", "blue", "navy"}
    assert _codes(_hues("descendent-of", "warm")) == {"red", "pink"}
    assert _codes(_hues("is-not-a", "warm")) == {"blue", "navy"}
    assert _codes({"system": "urn:hue"}, exclude=(_hues("is-a", "warm"),)) == {"blue", "navy"}


def test_value_sets_in_one_include_intersect() -> None:
    """And with the system, too."""
    warm: Node = {"compose": {"include": [_hues("is-a", "warm")]}}
    few: Node = {"compose": {"include": [{"system": "urn:hue", "concept": [{"code": "red"}, {"code": "blue"}]}]}}
    assert _codes({"valueSet": ["urn:warm", "urn:few"]}, warm=warm, few=few) == {"red"}
    assert _codes({"system": "urn:hue", "valueSet": ["urn:few"]}, few=few) == {"red", "blue"}


def test_a_whole_expansion_counts() -> None:
    """Nested codes too, abstract ones not; a part of an expansion is none."""
    contains = [{"system": "urn:s", "code": "a", "abstract": True, "contains": [{"system": "urn:s", "code": "b"}]}]
    whole: Node = {"expansion": {"total": 2, "contains": contains}}
    part: Node = {"expansion": {"total": 3, "contains": contains}}
    assert _codes({"valueSet": ["urn:whole"]}, whole=whole) == {"b"}
    with pytest.raises(NotEnumerable):
        _codes({"valueSet": ["urn:part"]}, part=part)


def test_what_nobody_lists_is_not_guessed() -> None:
    """Unknown systems, unknown filters, value sets that are not at hand or include themselves."""
    for include in (
        {"system": "urn:ietf:bcp:13"},
        {"system": "urn:hue", "filter": [{"property": "parent", "op": "=", "value": "warm"}]},
        {"valueSet": ["urn:missing"]},
        {"valueSet": ["urn:x"]},
        {},
    ):
        with pytest.raises(NotEnumerable):
            _codes(include)


def test_value_sets_that_include_each_other_take_no_time() -> None:
    """Thirty that each include all others end at once."""
    urls = [f"urn:v{index}" for index in range(30)]
    terminology = Terminology(
        {url: {"compose": {"include": [{"valueSet": [other]} for other in urls]}} for url in urls}, {}
    )
    with pytest.raises(NotEnumerable):
        terminology.codes("urn:v0")
