"""JSON Patch agrees with a model of the RFC's words, which works on deep copies of ordinary Python values.

https://www.rfc-editor.org/rfc/rfc6902#section-4
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirstore.errors import PatchFailed
from fhirstore.fhir.patch import JsonPatch

Json: TypeAlias = Any  # what json.loads gives, with floats left out

_NAMES = st.sampled_from(["a", "b", "~", "/", "0", "-"])
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "é"]))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3), st.dictionaries(_NAMES, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)
_TOKENS = st.lists(st.one_of(_NAMES, st.sampled_from(["0", "1", "2", "-"])), max_size=3)
_OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": _TOKENS,
        "from": _TOKENS,
        "value": _VALUES,
    }
)


class _NoFit(Exception):
    """The model cannot do this."""


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=4), st.lists(_OPERATIONS, max_size=4))
@pytest.mark.slow
def test_patches_do_what_the_model_does(document: dict[str, Json], operations: list[dict[str, Json]]) -> None:
    """On results and on what fails, but for what a removal leaves empty."""
    patch = JsonPatch.parse([{**o, "path": _pointer(o["path"]), "from": _pointer(o["from"])} for o in operations])
    before = copy.deepcopy(document)
    expected: Json = document
    try:
        for operation in operations:
            expected = _done(expected, operation)
    except _NoFit:
        expected = None
    result: Json = None
    try:
        result = patch.apply(document)
    except PatchFailed:
        assert not isinstance(expected, dict)
    assert document == before
    if isinstance(expected, dict):
        assert _full(result)
        assert not _full(expected) or _equal(result, expected)
    else:
        assert result is None


def _done(document: Json, operation: Mapping[str, Json]) -> Json:
    """A new document with one operation done."""
    op, path, source, value = (copy.deepcopy(operation[name]) for name in ("op", "path", "from", "value"))
    document = copy.deepcopy(document)
    if op == "test":
        if not _equal(_get(document, path), value):
            raise _NoFit
    elif op == "copy":
        return _done(document, {**operation, "op": "add", "value": _get(document, source)})
    elif op == "move":
        value = _get(document, source)
        if path[: len(source)] == source and path != source:
            raise _NoFit
        if path != source:
            document = _done(document, {**operation, "op": "remove", "path": source})
            return _done(document, {**operation, "op": "add", "value": value})
    else:
        return _changed(document, op, path, value)
    return document


def _changed(document: Json, op: str, path: list[str], value: Json) -> Json:
    """add, replace or remove, in place."""
    if not path:
        if op == "remove":
            raise _NoFit
        return value
    parent = _get(document, path[:-1])
    key = _key(parent, path[-1], end=op == "add")
    if op == "remove":
        del parent[key]
    elif op == "add" and isinstance(parent, list):
        parent.insert(key, value)
    else:
        parent[key] = value
    return document


def _get(document: Json, tokens: list[str]) -> Json:
    for token in tokens:
        document = document[_key(document, token)]
    return document


def _key(container: Json, token: str, *, end: bool = False) -> Json:
    if isinstance(container, dict) and (end or token in container):
        return token
    if isinstance(container, list):
        if end and token == "-":
            return len(container)
        if token.isdigit() and int(token) < len(container) + end:
            return int(token)
    raise _NoFit


def _equal(one: Json, other: Json) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _full(value: Json) -> bool:
    """Has it no empty arrays and objects? The root may be empty."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(bool(item) or not isinstance(item, dict | list) for item in items) and all(map(_full, items))


def _pointer(tokens: list[str]) -> str:
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)
