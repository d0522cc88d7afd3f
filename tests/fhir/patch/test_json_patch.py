"""JSON Patch does what RFC 6902 says, to the digit, and bounds what a few bytes can ask for."""

from __future__ import annotations

import pytest

from fhirstore.errors import ContentTooLarge, MalformedContent, PatchFailed
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import NumberLiteral
from fhirstore.fhir.patch import JsonPatch


def patched(document: bytes, patch: bytes) -> bytes:
    """What the patch makes of the document; which stays as it was."""
    resource = json.parse(document)
    result = json.encode(JsonPatch.parse(patch).apply(resource))
    assert resource == json.parse(document)
    return result


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        # Appendix A of RFC 6902, by number.
        pytest.param(
            b'{"foo":"bar"}', b'[{"op":"add","path":"/baz","value":"qux"}]', b'{"foo":"bar","baz":"qux"}', id="A1"
        ),
        pytest.param(
            b'{"foo":["bar","baz"]}',
            b'[{"op":"add","path":"/foo/1","value":"qux"}]',
            b'{"foo":["bar","qux","baz"]}',
            id="A2",
        ),
        pytest.param(b'{"baz":"qux","foo":"bar"}', b'[{"op":"remove","path":"/baz"}]', b'{"foo":"bar"}', id="A3"),
        pytest.param(
            b'{"foo":["bar","qux","baz"]}', b'[{"op":"remove","path":"/foo/1"}]', b'{"foo":["bar","baz"]}', id="A4"
        ),
        pytest.param(
            b'{"baz":"qux","foo":"bar"}',
            b'[{"op":"replace","path":"/baz","value":"boo"}]',
            b'{"baz":"boo","foo":"bar"}',
            id="A5",
        ),
        pytest.param(
            b'{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}',
            b'[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]',
            b'{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}',
            id="A6",
        ),
        pytest.param(
            b'{"foo":["all","grass","cows","eat"]}',
            b'[{"op":"move","from":"/foo/1","path":"/foo/3"}]',
            b'{"foo":["all","cows","eat","grass"]}',
            id="A7",
        ),
        pytest.param(
            b'{"baz":"qux","foo":["a",2,"c"]}',
            b'[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]',
            b'{"baz":"qux","foo":["a",2,"c"]}',
            id="A8",
        ),
        pytest.param(
            b'{"foo":"bar"}',
            b'[{"op":"add","path":"/child","value":{"grandchild":{}}}]',
            b'{"foo":"bar","child":{"grandchild":{}}}',
            id="A10",
        ),
        pytest.param(
            b'{"foo":"bar"}',
            b'[{"op":"add","path":"/baz","value":"qux","xyz":123}]',
            b'{"foo":"bar","baz":"qux"}',
            id="A11",
        ),
        pytest.param(b'{"/":9,"~1":10}', b'[{"op":"test","path":"/~01","value":10}]', b'{"/":9,"~1":10}', id="A14"),
        pytest.param(
            b'{"foo":["bar"]}',
            b'[{"op":"add","path":"/foo/-","value":["abc","def"]}]',
            b'{"foo":["bar",["abc","def"]]}',
            id="A16",
        ),
        # The rest of section 4.
        pytest.param(b'{"a":1}', b'[{"op":"add","path":"/a","value":null}]', b'{"a":null}', id="add replaces a member"),
        pytest.param(b'{"a":1}', b'[{"op":"add","path":"","value":{"b":2}}]', b'{"b":2}', id="add the whole"),
        pytest.param(b'{"a":1}', b'[{"op":"replace","path":"","value":{"b":2}}]', b'{"b":2}', id="replace the whole"),
        pytest.param(
            b'{"a":[1,2]}', b'[{"op":"replace","path":"/a/1","value":3}]', b'{"a":[1,3]}', id="replace in an array"
        ),
        pytest.param(b'{"a":[1]}', b'[{"op":"add","path":"/a/1","value":2}]', b'{"a":[1,2]}', id="add after the last"),
        pytest.param(
            b'{"a":{"b":1}}',
            b'[{"op":"copy","from":"/a","path":"/c"},{"op":"replace","path":"/c/b","value":2}]',
            b'{"a":{"b":1},"c":{"b":2}}',
            id="a copy is another",
        ),
        pytest.param(
            b'{"a":{"b":1}}',
            b'[{"op":"copy","from":"","path":"/c"}]',
            b'{"a":{"b":1},"c":{"a":{"b":1}}}',
            id="copy the whole",
        ),
        pytest.param(b'{"a":1}', b'[{"op":"move","from":"/a","path":"/a"}]', b'{"a":1}', id="move to where it is"),
        pytest.param(
            b'{"":1,"a/b":{"m~n":2}}',
            b'[{"op":"remove","path":"/"},{"op":"replace","path":"/a~1b/m~0n","value":3}]',
            b'{"a/b":{"m~n":3}}',
            id="escapes",
        ),
        pytest.param(b'{"a":1}', b"[]", b'{"a":1}', id="no operations"),
    ],
)
def test_what_rfc_6902_says(document: bytes, patch: bytes, result: bytes) -> None:
    """Its examples, and the sentences of its section 4."""
    assert patched(document, patch) == result


def test_number_literals_outside_of_the_patched_place_stay() -> None:
    """And those in the patch are taken over as they were written."""
    document = b'{"a":1.00,"b":[1E2,-0,123456789012345678901234567890],"c":0.10}'
    patch = b'[{"op":"replace","path":"/c","value":0.200},{"op":"move","from":"/b/0","path":"/d"}]'
    assert patched(document, patch) == b'{"a":1.00,"b":[-0,123456789012345678901234567890],"c":0.200,"d":1E2}'


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (b"1", b"1.0", True),
        (b"1.00", b"1.0", True),
        (b"1E2", b"100", True),
        (b"-0", b"0", True),
        (b"1", b"2", False),
        (b"1", b'"1"', False),
        (b"1", b"true", False),
        (b"0", b"false", False),
        (b"null", b"null", True),
        (b"0.1", b"0.10000000000000000001", False),
        (b"1E999999999999999999999", b"1E999999999999999999998", False),
        (b"1E999999999999999999999", b"1E999999999999999999999", True),
        (b"12345678901234567890.0", b"12345678901234567890", True),
        (b'{"a":1,"b":[2]}', b'{"b":[2.0],"a":1}', True),
        (b'{"a":1}', b'{"a":1,"b":null}', False),
        (b"[1,2]", b"[2,1]", False),
        (b"[]", b"{}", False),
        (b'"a"', b'"A"', False),
        (b'"\\u00e9"', '"é"'.encode(), True),
    ],
)
def test_test_compares_numbers_by_value(one: bytes, other: bytes, equal: bool) -> None:
    """RFC 6902 section 4.6: numbers numerically, objects without regard to order, nothing across types."""
    for left, right in ((one, other), (other, one)):
        patch = b'[{"op":"test","path":"/a","value":' + left + b"}]"
        document = b'{"a":' + right + b"}"
        if equal:
            patched(document, patch)
        else:
            with pytest.raises(PatchFailed, match=r"Operation 1 \(test\): the value at the path is another one"):
                patched(document, patch)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (b'{"op":"test","path":"","value":{}}', "the value at the path is another one"),
        (b'{"op":"test","path":"/z","value":null}', "nothing is at the path, from its level 1 on"),
        (b'{"op":"remove","path":"/a/z"}', "from its level 2 on"),
        (b'{"op":"remove","path":""}', "the whole resource cannot be removed"),
        (b'{"op":"remove","path":"/l/2"}', "index 2 of an array of 2"),
        (b'{"op":"remove","path":"/l/-"}', "names no index"),
        (b'{"op":"replace","path":"/l/-","value":1}', "names no index"),
        (b'{"op":"replace","path":"/z","value":1}', "nothing is at the path"),
        (b'{"op":"add","path":"/l/3","value":1}', "index 3 of an array of 2"),
        (b'{"op":"add","path":"/l/01","value":1}', "names no index"),
        (b'{"op":"add","path":"/l/-1","value":1}', "names no index"),
        (b'{"op":"add","path":"/l/+1","value":1}', "names no index"),
        ('{"op":"add","path":"/l/\u0661","value":1}'.encode(), "names no index"),
        (b'{"op":"add","path":"/a/b/c","value":1}', "neither an object nor an array"),
        (b'{"op":"add","path":"/z/z","value":1}', "nothing is at the path"),
        (b'{"op":"move","from":"/a","path":"/a/c"}', "cannot move into itself"),
        (b'{"op":"move","from":"","path":"/z"}', "cannot move into itself"),
        (b'{"op":"move","from":"/z","path":"/y"}', "nothing is at the path"),
        (b'{"op":"copy","from":"/z","path":"/y"}', "nothing is at the path"),
    ],
)
def test_an_operation_that_does_not_fit_is_named(patch: bytes, message: str) -> None:
    """By its number and kind; nothing of the patch is done, and nothing of the resource is said."""
    document = b'{"a":{"b":"secret"},"l":[1,2]}'
    with pytest.raises(PatchFailed, match=message) as raised:
        patched(document, b'[{"op":"add","path":"/x","value":1},' + patch + b"]")
    assert str(raised.value).startswith("Operation 2 (")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("whole", [b"1", b"null", b"[]", b'"x"'])
def test_the_result_is_an_object(whole: bytes) -> None:
    """A resource cannot be turned into something else."""
    with pytest.raises(PatchFailed, match="not an object"):
        patched(b'{"a":1}', b'[{"op":"replace","path":"","value":' + whole + b"}]")


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (b"{}", "not an array"),
        (b"", "empty"),
        (b"[1]", "Operation 1 is not an object"),
        (b'[{"path":"/a"}]', "Operation 1: op must be one of"),
        (b'[{"op":"spam","path":"/a"}]', "op must be one of"),
        (b'[{"op":["add"],"path":"/a"}]', "op must be one of"),
        (b'[{"op":"add","path":"/a"}]', "has no value"),
        (b'[{"op":"add","value":1}]', "has no path"),
        (b'[{"op":"add","path":1,"value":1}]', "has no path"),
        (b'[{"op":"copy","path":"/a"}]', "has no from"),
        (b'[{"op":"remove","path":"/a"},{"op":"remove","path":"a"}]', "Operation 2: path is not a JSON Pointer"),
        (b'[{"op":"remove","path":"/a~2"}]', "not a JSON Pointer"),
        (b'[{"op":"copy","path":"/a","from":"~"}]', "from is not a JSON Pointer"),
        (b'[{"op":"add","path":"/a","value":1,"op":"remove"}]', '"op" occurs twice'),
    ],
)
def test_what_is_no_json_patch_is_malformed(patch: bytes, message: str) -> None:
    """The whole document is read before anything is done."""
    with pytest.raises(MalformedContent, match=message):
        JsonPatch.parse(patch)


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        (b'[{"op":"remove","path":"/name/0/given/0"}]', b'{"id":"x"}'),
        (
            b'[{"op":"remove","path":"/name/0"},{"op":"add","path":"/name/-","value":{"text":"y"}}]',
            b'{"id":"x","name":[{"text":"y"}]}',
        ),
        (b'[{"op":"move","from":"/name/0/given/0","path":"/given"}]', b'{"id":"x","given":"n"}'),
        (b'[{"op":"add","path":"/contact","value":[]}]', b'{"id":"x","name":[{"given":["n"]}],"contact":[]}'),
    ],
)
def test_what_a_removal_leaves_empty_goes_too(patch: bytes, result: bytes) -> None:
    """FHIR has no empty arrays and objects. What comes empty with the patch stays, for validation to refuse."""
    assert patched(b'{"id":"x","name":[{"given":["n"]}]}', patch) == result


def test_copies_are_bounded() -> None:
    """Forty doublings end at a limit, in breadth and in depth."""
    broad = b"[" + b",".join(b'{"op":"copy","from":"/a","path":"/a/-"}' for _ in range(40)) + b"]"
    deep = b"[" + b",".join(b'{"op":"copy","from":"","path":"/a/0"}' for _ in range(100)) + b"]"
    for patch in (broad, deep):
        with pytest.raises((PatchFailed, ContentTooLarge)):
            patched(b'{"a":["' + b"x" * 1000 + b'"]}', patch)
    nested = b'{"b":' * 60 + b"1" + b"}" * 60
    with pytest.raises(PatchFailed, match="deeper than 64"):
        patched(b'{"a":{"a":{"a":{"a":{"a":1}}}}}', b'[{"op":"add","path":"/a/a/a/a/a","value":' + nested + b"}]")
    with pytest.raises(ContentTooLarge, match="10,000 operations"):
        JsonPatch.parse(b"[" + b'{"op":"remove","path":""},' * 10_000 + b'{"op":"remove","path":""}]')


def test_a_patch_can_be_given_as_python_values_and_applied_twice() -> None:
    """What it adds is copied each time."""
    patch = JsonPatch.parse([{"op": "add", "path": "/a", "value": {"b": [1.5]}}])
    first, second = patch.apply({}), patch.apply({})
    assert first == second == {"a": {"b": [NumberLiteral(b"1.5")]}}
    assert first["a"] is not second["a"]


@pytest.mark.parametrize(
    ("document", "path", "value", "result"),
    [
        (b'"resourceType":"Patient"', "/name/-", {}, b'"name":[{}]'),
        (b'"resourceType":"Patient"', "/name/0", {}, b'"name":[{}]'),
        (b'"resourceType":"Patient","name":[{}]', "/name/0/given/-", "A", b'"name":[{"given":["A"]}]'),
        (b'"resourceType":"Patient","name":[{}]', "/name/0/_given/-", {}, b'"name":[{"_given":[{}]}]'),
        (b'"resourceType":"Patient","contact":[{}]', "/contact/0/telecom/-", {}, b'"contact":[{"telecom":[{}]}]'),
        (b'"resourceType":"Patient","_active":{}', "/_active/extension/-", {}, b'"_active":{"extension":[{}]}'),
        (
            b'"resourceType":"Observation","valueCodeableConcept":{}',
            "/valueCodeableConcept/coding/-",
            {},
            b'"valueCodeableConcept":{"coding":[{}]}',
        ),
        (
            b'"resourceType":"Patient","contained":[{"resourceType":"Basic","code":{}}]',
            "/contained/0/code/coding/-",
            {},
            b'"contained":[{"resourceType":"Basic","code":{"coding":[{}]}}]',
        ),
        (
            b'"resourceType":"Questionnaire","item":[{"item":[{}]}]',
            "/item/0/item/0/item/-",
            {},
            b'"item":[{"item":[{"item":[{}]}]}]',
        ),
    ],
)
def test_what_is_appended_to_a_list_that_is_not_there_makes_the_list(
    document: bytes, path: str, value: object, result: bytes
) -> None:
    """FHIR has no empty arrays, so a client cannot know whether there is one to append to."""
    resource = json.parse(b"{" + document + b"}")
    patch = JsonPatch.parse([{"op": "add", "path": path, "value": value}])
    assert result in json.encode(patch.apply(resource, definitions()))


@pytest.mark.parametrize(
    "path",
    [
        "/maritalStatus/-",
        "/deceasedBoolean/-",
        "/name/1",
        "/nonsense/-",
        "/maritalStatus/coding/-",
        "/name/-/given/-",
        "/active/extension/-",
        "/_name/-",
        "/text/div/-",
        "/-",
        "/photo/0/-",
    ],
)
def test_only_a_list_by_definition_comes_to_be_by_appending_to_it(path: str) -> None:
    """And only where what holds it is there; else nothing is made up."""
    resource: dict[str, object] = {"resourceType": "Patient", "active": True}
    patch = JsonPatch.parse([{"op": "add", "path": path, "value": "x"}])
    if path == "/-":
        assert patch.apply(resource, definitions())["-"] == "x"  # a member, which the validation refuses
        return
    with pytest.raises(PatchFailed, match=r"^Operation 1 \(add\): "):
        patch.apply(resource, definitions())


def test_every_operation_that_adds_makes_the_list_and_later_ones_find_it() -> None:
    """copy and move add, too; and a second value is appended to the list that the first one made."""
    patch = JsonPatch.parse(
        [
            {"op": "copy", "from": "/name/0", "path": "/contact/-"},
            {"op": "move", "from": "/name/0", "path": "/contact/0/extension/-"},
            {"op": "add", "path": "/address/-", "value": 1},
            {"op": "add", "path": "/address/-", "value": 2},
            {"op": "add", "path": "/address/0", "value": 0},
        ]
    )
    result = patch.apply({"resourceType": "Patient", "name": [{"text": "A"}]}, definitions())
    assert result == {
        "resourceType": "Patient",
        "contact": [{"text": "A", "extension": [{"text": "A"}]}],
        "address": [0, 1, 2],
    }
