"""JSON goes in and out exactly, and what is not exact is refused with its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhirstore.errors import ContentTooLarge, InvalidResource, MalformedContent
from fhirstore.fhir.json import (
    BYTE_ORDER_MARK,
    NumberLiteral,
    Template,
    dump,
    encode,
    instant,
    parse,
    parse_array,
    read,
    with_identity,
)

ODD_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\/:{}[],\n\u2028é😀\x7f\x00-0'))
LITERALS = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: str(d).replace("E+", "e+")),
    st.from_regex(r"-?(0|[1-9][0-9]{0,70})(\.[0-9]{1,70})?([eE][+-]?[0-9]{1,5})?", fullmatch=True).filter(str.isascii),
    st.sampled_from(["-0", "-0.0", "0", "1e+0", "-0e+0", "1e+00", "1.00", "1E2", "1e400", "9" * 4299, "9" * 4300]),
    st.sampled_from(["-" + "9" * 4300, "1" * 9000, "-" + "7" * 3999, "-" + "7" * 4000]),
)
SPACES = st.sampled_from(["", "", "", " ", "\n\t", "\r\n  "])


@st.composite
def json_texts(draw: st.DrawFn, *, spaces: bool = True, escapes: bool = True) -> str:
    """JSON whose root is an object without duplicate members, spaced and escaped in all the ways allowed."""

    def space() -> str:
        return draw(SPACES) if spaces else ""

    def text(value: str) -> str:
        if not escapes:  # the shortest way to write it: only what must be escaped is
            return json.dumps(value, ensure_ascii=False)
        return json.dumps(value) if draw(st.booleans()) else json.dumps(value, ensure_ascii=False)

    def value(levels: int) -> str:
        kind = draw(st.integers(0, 5 if levels else 3))
        if kind <= 1:
            return draw(LITERALS)
        if kind == 2:
            return text(draw(ODD_TEXT))
        if kind == 3:
            return draw(st.sampled_from(["true", "false", "null"]))
        return members(levels - 1) if kind == 4 else items(levels - 1)

    def members(levels: int) -> str:
        names = draw(st.lists(ODD_TEXT, max_size=4, unique=True))
        pairs = [f"{space()}{text(name)}{space()}:{space()}{value(levels)}{space()}" for name in names]
        return "{" + ",".join(pairs) + space() * (not pairs) + "}"

    def items(levels: int) -> str:
        values = [space() + value(levels) + space() for _ in range(draw(st.integers(0, 3)))]
        return "[" + ",".join(values) + "]"

    return space() + members(3) + space()


def by_stdlib(text: str | bytes) -> object:
    """What the standard library reads, with every number as the text it was written with."""
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=_refuse, object_pairs_hook=_pairs)


def _refuse(constant: str) -> object:
    raise ValueError(constant)


def _pairs(pairs: list[tuple[str, object]]) -> object:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("duplicate member")
    return [("member", name, value) for name, value in pairs]  # a list, so that the order counts


@given(json_texts())
def test_every_json_object_comes_back_with_equal_literals_and_order(text: str) -> None:
    """Whatever its spacing and escapes, a body means the same after parse and encode, digit for digit."""
    assert by_stdlib(encode(parse(text.encode()))) == by_stdlib(text)


@given(json_texts(spaces=False, escapes=False))
def test_compact_json_comes_back_byte_for_byte(text: str) -> None:
    """A body without spaces and needless escapes is not changed at all."""
    assert encode(parse(text.encode())) == text.encode()


@given(json_texts(), st.data())
@example('{"a":"\\ud83d\\ude00"}', None)
def test_acceptance_agrees_with_the_standard_library_on_mutated_json(text: str, data: st.DataObject | None) -> None:
    """A body is accepted exactly when it is UTF-8 and a strict reader accepts it."""
    body = text.encode()
    for _ in range(data.draw(st.integers(1, 3)) if data else 0):
        assert data is not None
        start = data.draw(st.integers(0, len(body)))
        end = start + data.draw(st.integers(0, 3))
        pieces = st.sampled_from(
            [b'"', b"\\", b"\\u", b"{", b"}", b"[", b"]", b",", b":", b"-", b"0", b".", b"e", b" "]
        )
        odd = st.sampled_from([b"NaN", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\udc00", b"\\u003a", b"\0", b"\x0b"])
        body = body[:start] + data.draw(pieces | odd | st.just(b"")) + body[end:]
    try:
        expected = by_stdlib(body.decode())
        json.dumps(json.loads(body.decode(), parse_int=str), ensure_ascii=False).encode()  # fails on lone surrogates
    except (ValueError, RecursionError):
        expected = None
    if expected is None or not body.strip(b" \t\r\n").startswith(b"{"):
        with pytest.raises(MalformedContent):
            parse(body)
    else:
        assert by_stdlib(encode(parse(body))) == expected


@given(st.binary() | st.text('{}[]",:\\u0123dDcC89abAB-+.eE \n').map(str.encode))
def test_arbitrary_bytes_raise_nothing_but_malformed_content(body: bytes) -> None:
    """No input whatever makes the reader fail in another way."""
    try:
        with_identity(parse(body), id="a", version=1, last_updated=0)
    except (MalformedContent, InvalidResource) as error:
        assert error.issues[0].diagnostics


REFUSED: dict[str, tuple[bytes, str, int]] = {
    "empty": (b"", "The body is empty", 0),
    "blank": (b" \r\n\t", "The body is empty", 0),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbf{}", "invalid character near byte 3", 3),
    "byte order mark alone": (b"\xef\xbb\xbf", "The body is empty", 0),
    "byte order mark in between": (b'{"a":\xef\xbb\xbf1}', "invalid character near byte 5", 5),
    "utf-16": ('{"a":1}'.encode("utf-16"), "UTF-16", 0),
    "utf-16 without a mark": ('{"a":1}'.encode("utf-16-le"), "UTF-16", 0),
    "latin-1": ('{"a":"é"}'.encode("latin-1"), "not UTF-8 at byte 6", 6),
    "utf-8 of a surrogate": (b'{"a":"\xed\xa0\x80"}', "not UTF-8", 6),
    "truncated": (b'{"a":1', "ends too early", 6),
    "truncated text": (b'{"a":"bcd', "ends too early", 9),
    "not an object": (b" [1]", "not an object, at byte 1", 1),
    "a number": (b"1.0", "not an object, at byte 0", 0),
    "too deep": (b'{"a":[]}'.replace(b"[]", b"[" * 64 + b"]" * 64), "nests deeper than 64 levels, at byte 68", 68),
    "too deep behind text": (
        b'{"t":"[{\\"[","a":' + b'{"a":' * 64 + b"1" + b"}" * 65,
        "nests deeper than 64 levels, at byte 332",
        332,
    ),
    "NaN": (b'{"a":NaN}', "NaN and Infinity", 5),
    "Infinity": (b'{"a":-Infinity}', "NaN and Infinity", 6),
    "trailing comma": (b'{"a":1,}', "trailing comma", 7),
    "trailing characters": (b'{"a":1} x', "trailing characters from byte 8 on", 8),
    "single quotes": (b"{'a':1}", "keys must be strings", 1),
    "leading zero": (b'{"a":01}', "invalid number", 6),
    "control character": (b'{"a":"\n"}', "invalid character", 6),
    "half a pair, first": (b'{"a":"x\\ud83d"}', "half of a surrogate pair", 7),
    "half a pair, second": (b'{"a":"\\ude00"}', "half of a surrogate pair", 6),
    "half a pair in a name": (b'{"\\ud83d\\u0041":1}', "half of a surrogate pair", 2),
    "duplicate": (b'{"a":1,"a":1}', 'The member "a" occurs twice in one object, again at byte 7', 7),
    "duplicate below": (b'{"a":[{"b":{"a":1}},{"a":{},"b":1,"b":[]}]}', '"b" occurs twice', 34),
    "duplicate by escape": (b'{"a":1,"\\u0061":2}', '"a" occurs twice', 7),
    "duplicate that hides its colon": (b'{"a":1,"a":"\\u003a"}', '"a" occurs twice', 7),
    "duplicate after minus zero": (b'{"a":-0,"a":-0}', '"a" occurs twice', 8),
    "duplicate of no element's name": (b'{"Jo Doe":1,"Jo Doe":1}', "A member occurs twice", 12),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_exact_json_is_refused_with_its_place(case: str) -> None:
    """Each refusal says what is wrong and at which byte."""
    body, says, offset = REFUSED[case]
    with pytest.raises(MalformedContent) as refused:
        parse(body)
    assert says in str(refused.value)
    assert refused.value.offset == offset
    assert f"byte {offset}" in str(refused.value)


@pytest.mark.parametrize("text", ['{"a":1.50}', ' {"a" : "\\u00e9\\/"}', '{"a":-0}', '{"a":"\ufeff"}'])
def test_a_byte_order_mark_before_the_json_is_ignored(text: str) -> None:
    """The value and the compact bytes are those of the same text without it; bytes are counted with it."""
    marked = BYTE_ORDER_MARK + text.encode()
    assert read(marked) == read(text.encode())
    assert parse_array(BYTE_ORDER_MARK + b"[1]") == [1]
    with pytest.raises(MalformedContent) as refused:
        parse(marked[:-1])
    assert refused.value.offset == len(marked) - 1


@pytest.mark.parametrize("text", ["Jo Doe", "\\ud800 Jo Doe", 'Jo Doe", Jo Doe', "Jo Doe\x00", "Jo Doe\udcff"])
def test_no_refusal_quotes_content(text: str) -> None:
    """What somebody sent may be a patient's data, so no message repeats it."""
    body = b'{"name": "' + text.encode(errors="surrogateescape") + b'", }'
    with pytest.raises(MalformedContent) as refused:
        parse(body)
    assert "Doe" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


DEEP: dict[str, Callable[[int], bytes]] = {
    "arrays": lambda n: b'{"a":' + b"[" * (n - 1) + b"]" * (n - 1) + b"}",
    "objects": lambda n: b'{"a":' * n + b"1" + b"}" * n,
    "mixed": lambda n: b'{"a":[' * (n // 2) + b"]}" * (n // 2),
    "after siblings": lambda n: b'{"a":' + b"[[]," * (n - 2) + b"1" + b"]" * (n - 2) + b"}",
    "behind a few escapes": lambda n: (
        b'{"t":"' + b"{" * 9000 + b'\\"[\\\\\\n\\\\","a":' + b"[" * (n - 1) + b"]" * (n - 1) + b"}"
    ),
    "behind long text": lambda n: b'{"t":"' + b'\\"{[\\\\' * 5000 + b'","a":' + b"[" * (n - 1) + b"]" * (n - 1) + b"}",
}


@pytest.mark.parametrize("shape", DEEP)
def test_the_depth_limit_is_exact(shape: str) -> None:
    """64 levels are read, 66 are not; brackets in text do not count."""
    parse(DEEP[shape](64))
    with pytest.raises(MalformedContent, match="deeper than 64 levels"):
        parse(DEEP[shape](66))


@pytest.mark.parametrize("shape", DEEP)
@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_bottomless_nesting_is_refused_without_recursion(shape: str, depth: int) -> None:
    """However deep the nesting, closed or not, the answer is the same refusal."""
    body = DEEP[shape](depth)
    for text in (body, body[: len(body) // 2]):
        with pytest.raises(MalformedContent):
            parse(text)


def test_a_caller_may_set_the_depth() -> None:
    """`max_depth` counts the root object, too, and a limit beyond the decoder's own still ends in a refusal."""
    assert parse(b'{"a":[]}', max_depth=2) == {"a": []}
    with pytest.raises(MalformedContent, match="deeper than 1 levels"):
        parse(b'{"a":[]}', max_depth=1)
    with pytest.raises(MalformedContent, match="nests deeper"):
        parse(DEEP["arrays"](90_000), max_depth=100_000)


def test_unclosed_text_full_of_escapes_takes_linear_time() -> None:
    """Megabytes of escaped quotes are read once, not once per quote (this would run for hours otherwise)."""
    for body in (b'{"a":-0 ,"b":"' + b'\\"' * 500_000, b'{"a":"' + b'\\"' * 500_000 + b'","b":-0,"b":1}'):
        with pytest.raises(MalformedContent):
            parse(body)


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 1000])
def test_the_limit_of_values_is_exact(limit: int) -> None:
    """As many values as allowed are read, one more is not; what looks like values in text does not count."""
    item = b'{"b,":"[{,\\",,"}'
    for kind in (b'"[,{"', b"7"):
        assert parse(b'{"a":[' + b", ".join([kind] * (limit - 1)) + b"]}", max_values=limit + (limit == 1))
    body = b'{"a": [' + b", ".join([b"1"] * limit) + b"]}"
    with pytest.raises(ContentTooLarge, match=f"more than {limit} values, at byte") as refused:
        parse(body, max_values=limit)
    assert refused.value.issues[0].code == "too-long"
    parse(b'{"a":[' + b",".join([item] * limit) + b"]}", max_values=2 * limit + 1)
    with pytest.raises(ContentTooLarge):
        parse(b'{"a":[' + b",".join([item] * limit) + b"]}", max_values=2 * limit)


FLOODS: dict[str, bytes] = {
    "empty arrays": b'{"a":[' + b"[]," * 5_000_000 + b"1]}",
    "numbers": b'{"a":[' + b"1," * 7_000_000 + b"1]}",
    "members": b"{" + b'"":{},' * 2_500_000 + b'"":1}',
    "never closed": b'{"a":[' + b"{[," * 5_000_000,
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_values_is_refused_before_it_is_read(kind: str) -> None:
    """Fifteen megabytes of tiny values are refused where the millionth was passed, without making one of them."""
    with pytest.raises(ContentTooLarge, match=r"more than 1000000 values, at byte [0-9]{7}; send it in parts"):
        parse(FLOODS[kind])


def test_commas_in_text_are_no_values() -> None:
    """A long text full of punctuation is one value."""
    text = b",[{" * 1_000_000
    assert parse(b'{"a":"' + text + b'"}') == {"a": text.decode()}
    with pytest.raises(MalformedContent):
        parse(b'{"a":"' + text)


def test_the_limit_of_values_can_be_lifted() -> None:
    """What is known to be fine, as what is stored, may be larger."""
    body = b'{"a":[' + b"1," * 1_000_000 + b"1]}"
    assert encode(parse(body, max_values=None)) == body


def test_numbers_are_ints_or_their_literal() -> None:
    """An int that can be written back is an int; everything else is kept as it was written."""
    parsed = parse(b'{"i":12345678901234567890123,"d":1.00,"z":-0,"n":-7}')
    assert parsed == {"i": 12345678901234567890123, "d": NumberLiteral(b"1.00"), "z": NumberLiteral(b"-0"), "n": -7}


def test_identity_is_set_in_place() -> None:
    """Existing id and meta keep their position, and the rest of meta its order."""
    sent = b'{"meta":{"tag":[],"lastUpdated":"x","versionId":"9"},"a":1.00,"id":"old","resourceType":"Patient"}'
    resource = parse(sent)
    before = copy.deepcopy(encode(resource))
    assert with_identity(resource, id="new", version=3, last_updated=1763611897123) == (
        b'{"meta":{"tag":[],"lastUpdated":"2025-11-20T04:11:37.123Z","versionId":"3"},"a":1.00,"id":"new",'
        b'"resourceType":"Patient"}'
    )
    assert encode(resource) == before


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        (b'{"resourceType":"Patient","active":true}', ["resourceType", "id", "meta", "active"]),
        (b'{"active":true,"resourceType":"Patient"}', ["active", "resourceType", "id", "meta"]),
        (b'{"a":1,"resourceType":"Patient","b":1}', ["a", "resourceType", "id", "meta", "b"]),
        (b'{"meta":{},"resourceType":"Patient","b":1}', ["meta", "resourceType", "id", "b"]),
        (b'{"meta":{},"b":1}', ["id", "meta", "b"]),
        (b'{"resourceType":"Patient","active":true,"id":"x"}', ["resourceType", "active", "id", "meta"]),
        (b'{"resourceType":"Patient","active":true,"meta":{}}', ["resourceType", "id", "active", "meta"]),
        (b'{"active":true}', ["id", "meta", "active"]),
    ],
)
def test_a_new_id_follows_the_type_and_a_new_meta_the_id(sent: bytes, names: list[str]) -> None:
    """Where identity is missing it joins what is there of it; nothing else moves."""
    assert list(parse(with_identity(parse(sent), id="x", version=1, last_updated=0))) == names


@pytest.mark.parametrize("meta", [b"null", b"[]", b'"x"', b"1.0", b"true"])
def test_meta_must_be_an_object(meta: bytes) -> None:
    """A meta that is no object is refused, not replaced."""
    with pytest.raises(InvalidResource) as refused:
        with_identity(parse(b'{"resourceType":"Patient","meta":' + meta + b"}"), id="x", version=1, last_updated=0)
    assert refused.value.issues[0].expression == ("Patient.meta",)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1795150044123, "2026-11-20T04:47:24.123Z"),
        (1795150044007, "2026-11-20T04:47:24.007Z"),
        (951868799999, "2000-02-29T23:59:59.999Z"),
    ],
)
def test_an_instant_has_milliseconds_and_a_z(ms: int, text: str) -> None:
    """Instants always have three digits of a second."""
    assert instant(ms) == text


class Code(str):
    """A str of one's own, as enums of codes are."""


@given(json_texts())
def test_dump_writes_what_parse_gave(text: str) -> None:
    """For what came from `parse`, dump and encode are one."""
    assert dump(parse(text.encode())) == encode(parse(text.encode()))


def test_dump_writes_ordinary_python_values() -> None:
    """Decimals keep their digits, tuples are arrays, subclasses are what they extend."""
    value = {
        "d": Decimal("1.00"),
        "e": Decimal("1E+999"),
        "t": (1, 2.5),
        "c": Code("x"),
        "b": True,
        "n": None,
        "z": -0.0,
    }
    assert dump(value) == b'{"d":1.00,"e":1E+999,"t":[1,2.5],"c":"x","b":true,"n":null,"z":-0.0}'
    assert dump({"i": 10**5000}) == b'{"i":1' + b"0" * 5000 + b"}"


def _endless() -> Mapping[str, object]:
    loop: dict[str, object] = {}
    loop["a"] = loop
    return loop


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ({"a": [1, float("nan")]}, "Resource.a[1]"),
        ({"resourceType": "Patient", "a": {"b": float("-inf")}}, "Patient.a.b"),
        ({"a": Decimal("sNaN")}, "Resource.a"),
        ({"a": {1, 2}}, "Resource.a"),
        ({"a": b"x"}, "Resource.a"),
        ({"a": "\ud800"}, "Resource.a"),
        ({"a": NumberLiteral(b"1,2")}, "Resource.a"),
        ({"a": NumberLiteral("½")}, "Resource.a"),
        ({"a": {"\udfff": 1}}, "Resource.a"),
        ({"a": {1: 1}}, "Resource.a"),
        (_endless(), "Resource" + ".a" * 64),
    ],
)
def test_dump_refuses_what_json_cannot_say(value: Mapping[str, object], expression: str) -> None:
    """A value without JSON is refused with its place, and never written as something else."""
    with pytest.raises(InvalidResource) as refused:
        dump(value)
    assert refused.value.issues[0].expression == (expression,)


@given(json_texts())
def test_a_body_as_it_was_written_comes_back_byte_for_byte(text: str) -> None:
    """Escapes that a string does not remember are in the bytes all the same; white space between tokens is not."""
    body = text.encode()
    resource, compact = read(body)
    if not isinstance(resource.get("meta", {}), dict):
        return
    given_ = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    written = Template(resource, compact).fill(id="x", version=1, last_updated=0)
    pieces = msgspec.json.decode(written, type=dict[str, msgspec.Raw])
    sent = msgspec.json.decode(msgspec.json.format(body, indent=-1), type=dict[str, msgspec.Raw])
    assert [bytes(pieces[name]) for name in given_] == [bytes(sent[name]) for name in given_]


def test_escapes_come_back_where_the_identity_is_set() -> None:
    """Type and id are read, other members of meta and of the resource are as they were."""
    body = rb'{"resourceType":"Patient","id":"\u0061","meta":{"source":"a\/b","versionId":"9"},"x":["\u003c", 1.0]}'
    written = Template(*read(body)).fill(id="new", version=1, last_updated=0)
    assert written == (
        rb'{"resourceType":"Patient","id":"new","meta":{"source":"a\/b","versionId":"1",'
        rb'"lastUpdated":"1970-01-01T00:00:00.000Z"},"x":["\u003c",1.0]}'
    )


@pytest.mark.slow
def test_a_large_body_is_read_in_pieces_with_the_same_result() -> None:
    """Literals, order and white space as in a small one, at every level that is cut; duplicates are found, too."""
    item = b'{"a": 1.00, "b": -0, "c": "\\u00e9", "d": [1E2, {"e": null}]}'
    body = b'{"x":' + b"[" * 10 + b" ,".join([item] * 50_000) + b"]" * 10 + b', "long":"' + b"y" * 2_000_000 + b'"}'
    value, compact = read(body)
    assert compact == body.replace(b'": ', b'":').replace(b', "', b',"').replace(b", {", b",{").replace(b" ,", b",")
    assert encode(value) == compact.replace(b"\\u00e9", "é".encode())
    for twice in (body[:-1] + b',"x":1}', body.replace(b'"b": -0', b'"a": -0', 1)):
        with pytest.raises(MalformedContent, match="twice"):
            read(twice)
    with pytest.raises(MalformedContent, match="64 levels"):
        read(body.replace(b"null", b"[" * 60 + b"]" * 60, 1))
