"""Kinds of edits, each of which makes a valid resource wrong at a known place.

A kind takes a resource, which it may change, and chooses among the places that suit it. It returns the expression that
an error must name, or None where nothing suits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import TypeAlias

from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.json import JsonObject, NumberLiteral
from tests.fhir.validation.sites import Holder, Site, holders, sites

Mutation: TypeAlias = Callable[[JsonObject, Definitions, Random], str | None]
_Suits: TypeAlias = Callable[[Site, Definitions], bool]

XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">%s</div>'


def _json(site: Site, facts: Definitions) -> str:
    """How JSON writes the element's values: string, boolean, integer, decimal; empty for objects."""
    primitive = facts.primitives.get(site.element.type)
    return primitive.json if primitive else ""


# --- what suits ---------------------------------------------------------------------------------------------


def _primitive(site: Site, facts: Definitions) -> bool:
    return bool(_json(site, facts))


def _complex(site: Site, facts: Definitions) -> bool:
    return not _json(site, facts)


def _of_json(kind: str) -> _Suits:
    return lambda site, facts: _json(site, facts) == kind


def _of_type(*names: str) -> _Suits:
    return lambda site, facts: site.element.type in names and site.owner.name != "Reference"


def _single(suits: _Suits) -> _Suits:
    return lambda site, facts: not site.element.repeats and suits(site, facts)


def _array(suits: _Suits) -> _Suits:
    return lambda site, facts: site.element.repeats and suits(site, facts)


def _extensible(site: Site, facts: Definitions) -> bool:
    return _primitive(site, facts) and not site.element.attribute and site.element.type != "xhtml"


def _without_sibling(suits: _Suits) -> _Suits:
    return lambda site, facts: suits(site, facts) and f"_{site.element.name}" not in site.holder


def _bound(site: Site, _: Definitions) -> bool:
    return site.element.codes is not None and site.element.type == "code"


def _reference(site: Site, _: Definitions) -> bool:
    return site.owner.name == "Reference" and site.element.name == "reference"


# --- how to break -------------------------------------------------------------------------------------------


def put(suits: _Suits, *values: object) -> Mutation:
    """One value, or one item of an array, becomes one of `values`."""

    def mutate(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
        found = [site for site in sites(resource, facts) if suits(site, facts)]
        if not found:
            return None
        site = random.choice(found)
        value = random.choice(values)
        if not site.element.repeats:
            site.put(value)
            return site.place
        items = site.value
        assert isinstance(items, list)
        index = random.randrange(len(items))
        items[index] = value
        return f"{site.place}[{index}]"

    return mutate


def change(suits: _Suits, how: Callable[[object], object]) -> Mutation:
    """The whole member is changed."""

    def mutate(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
        found = [site for site in sites(resource, facts) if suits(site, facts)]
        if not found:
            return None
        site = random.choice(found)
        site.put(how(site.value))
        return site.place

    return mutate


def change_string(suits: _Suits, how: Callable[[str], str]) -> Mutation:
    """One string is changed, in an array or alone."""

    def mutate(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
        found = [site for site in sites(resource, facts) if suits(site, facts)]
        random.shuffle(found)
        for site in found:
            items = site.value if isinstance(site.value, list) else [site.value]
            if not all(isinstance(item, str) and how(item) != item for item in items):
                continue
            if site.element.repeats:
                site.put([how(str(items[0])), *items[1:]])
                return f"{site.place}[0]"
            site.put(how(str(items[0])))
            return site.place
        return None

    return mutate


def extension_with(name: str, *values: object) -> Mutation:
    """A further extension somewhere, with a value of that name."""
    return _add_extension(lambda random: {"url": "http://example.org/x", name: random.choice(values)}, ".value")


def broken_extension(*members: JsonObject, at: str = "") -> Mutation:
    """A further extension somewhere that is wrong in itself."""
    return _add_extension(lambda random: dict(random.choice(members)), at)


def _add_extension(make: Callable[[Random], JsonObject], at: str) -> Mutation:
    def mutate(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
        found = [
            holder
            for holder in holders(resource, facts)
            if "extension" in holder.type.elements and holder.type.name != "Extension"
        ]
        if not found:
            return None
        holder = random.choice(found)
        extensions = holder.value.setdefault("extension", [])
        assert isinstance(extensions, list)
        extensions.append(make(random))
        return f"{holder.path}.extension[{len(extensions) - 1}]{at}"

    return mutate


def add_member(make: Callable[[Holder, Random], tuple[str, object] | None]) -> Mutation:
    """A further member in some object; the error is to be at its name."""

    def mutate(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
        found = list(holders(resource, facts))
        random.shuffle(found)
        for holder in found:
            made = make(holder, random)
            if made is not None:
                holder.value[made[0]] = made[1]
                return f"{holder.path}.{made[0].removeprefix('_')}"
        return None

    return mutate


def sibling(suits: _Suits, *values: object, index: str = "") -> Mutation:
    """A primitive gets a sibling `_name`."""

    def mutate(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
        found = [site for site in sites(resource, facts) if _without_sibling(suits)(site, facts)]
        if not found:
            return None
        site = random.choice(found)
        site.holder[f"_{site.element.name}"] = random.choice(values)
        return site.place + index

    return mutate


def uncoded(*values: JsonObject) -> Mutation:
    """A concept whose binding is required becomes one of `values`."""

    def mutate(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
        found = [site for site in sites(resource, facts) if site.element.binding in facts.value_sets]
        found = [site for site in found if site.element.type == "CodeableConcept"]
        if not found:
            return None
        site = random.choice(found)
        value = random.choice(values)
        if not site.element.repeats:
            site.put(value)
            return site.place
        site.put([*_items(site), value])
        return f"{site.place}[{len(_items(site)) - 1}]"

    return mutate


def missing(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
    """A required member, or choice, is taken out."""
    found = [site for site in sites(resource, facts) if site.element.min and len(site.holder) > 1]
    if not found:
        return None
    site = random.choice(found)
    site.holder.pop(f"_{site.element.name}", None)
    del site.holder[site.element.name]
    return site.place


def two_choices(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
    """A choice that is made is made once more."""
    found = [site for site in sites(resource, facts) if site.element.choice]
    random.shuffle(found)
    for site in found:
        others = [
            element
            for element in site.owner.elements.values()
            if element.choice == site.element.choice and element.name != site.element.name
        ]
        other = random.choice(others) if others else None
        if other is not None:
            site.holder[other.name] = _some(other)
            return site.place
    return None


def _some(element: Element) -> object:
    """A value that is good enough for the test of something else."""
    return {"boolean": True, "integer": 1, "decimal": 1, "unsignedInt": 1, "positiveInt": 1}.get(element.type, "1")


def wrong_case(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
    """A member's name is written in lower case."""
    found = [site for site in sites(resource, facts) if site.element.name.lower() != site.element.name]
    if not found:
        return None
    site = random.choice(found)
    site.holder[site.element.name.lower()] = site.holder.pop(site.element.name)
    return f"{site.path}.{site.element.name.lower()}"


def odd_name(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
    """A member whose name is not repeated: the error is at its object."""
    holder = random.choice(list(holders(resource, facts)))
    holder.value[random.choice(("", "Jo Doe", "a.b", "ä", "x" * 65))] = 1
    return holder.path


def contained(*values: object, at: str = "") -> Mutation:
    """A further contained resource that is wrong."""

    def mutate(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
        root = facts.types[str(resource["resourceType"])]
        if "contained" not in root.elements:
            return None
        items = resource.setdefault("contained", [])
        assert isinstance(items, list)
        items.append(random.choice(values))
        return f"{root.name}.contained[{len(items) - 1}]{at}"

    return mutate


def narrative(*contents: str) -> Mutation:
    """The narrative is another one."""
    return put(_of_type("xhtml"), *contents)


def alone(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
    """A primitive has lost its value, and what stands beside has no extension."""
    found = [site for site in sites(resource, facts) if _without_sibling(_single(_extensible))(site, facts)]
    if not found:
        return None
    site = random.choice(found)
    del site.holder[site.element.name]
    site.holder[f"_{site.element.name}"] = {"id": "x"}
    return site.place


def padded(resource: JsonObject, facts: Definitions, random: Random) -> str | None:
    """`_name` of an array has a null more than the array, which nothing stands beside."""
    found = [site for site in sites(resource, facts) if _without_sibling(_array(_extensible))(site, facts)]
    if not found:
        return None
    site = random.choice(found)
    count = len(_items(site))
    site.holder[f"_{site.element.name}"] = [{"id": "x"}] + [None] * count
    return f"{site.place}[{count}]"


def _items(site: Site) -> Sequence[object]:
    return site.value if isinstance(site.value, list) else ()


def _unknown(holder: Holder, random: Random) -> tuple[str, object] | None:
    name = random.choice(("bogus", "nameX", "value", "extensions", "fhir_comments"))
    return None if name in holder.type.elements else (name, random.choice(({"a": 1}, "x", 1)))


def _type_in_a_datatype(holder: Holder, _: Random) -> tuple[str, object] | None:
    return None if holder.type.kind == "resource" else ("resourceType", holder.type.name)


def _sibling_of_object(holder: Holder, random: Random) -> tuple[str, object] | None:
    named = [name for name, item in holder.value.items() if isinstance(item, dict) and name in holder.type.elements]
    named = [name for name in named if not holder.type.elements[name].choice]
    return (f"_{random.choice(named)}", {"id": "x"}) if named else None


def _sibling_of_id(holder: Holder, _: Random) -> tuple[str, object] | None:
    attributes = [element.name for element in holder.type.elements.values() if element.attribute]
    return (f"_{attributes[-1]}", {"extension": [{"url": "u", "valueCode": "x"}]}) if attributes else None


_RESOURCE: JsonObject = {"resourceType": "Patient", "id": "x"}
_NOT_STRINGS = (1, NumberLiteral(b"1.0"), True)

KINDS: Mapping[str, Mutation] = {
    "unknown member": add_member(_unknown),
    "name that is not repeated": odd_name,
    "name in the wrong case": wrong_case,
    "resourceType in a datatype": add_member(_type_in_a_datatype),
    "required member missing": missing,
    "two choices": two_choices,
    "string for an object": put(_complex, "x", ""),
    "number for an object": put(_complex, 7, NumberLiteral(b"1.5")),
    "empty object": put(_complex, {}),
    "null for an object": put(_complex, None),
    "array in an array": put(_array(_complex), [], [{}]),
    "array for a single value": change(_single(_primitive), lambda value: [value]),
    "array for a single object": change(_single(_complex), lambda value: [value, value]),
    "single value for an array": change(_array(_primitive), lambda value: "x"),
    "single object for an array": change(_array(_complex), lambda value: {"id": "x"}),
    "empty array": change(_array(lambda *_: True), lambda value: []),
    "null for an array": change(_array(lambda *_: True), lambda value: None),
    "object for a value": put(_primitive, {"value": "x"}),
    "number for a string": put(_of_json("string"), *_NOT_STRINGS[:2]),
    "boolean for a string": put(_of_json("string"), True, False),
    "string for a boolean": put(_of_json("boolean"), "true", "false"),
    "number for a boolean": put(_of_json("boolean"), 0, 1),
    "string for a decimal": put(_of_json("decimal"), "1.00"),
    "boolean for a number": put(lambda site, facts: _json(site, facts) in ("integer", "decimal"), True),
    "string for an integer": put(_of_json("integer"), "1"),
    "fraction for an integer": put(_of_json("integer"), NumberLiteral(b"1.0"), NumberLiteral(b"1E2")),
    "integer out of range": put(_of_json("integer"), 2**31, -(2**31) - 1),
    "integer too small for its type": put(_of_type("positiveInt", "unsignedInt"), -1),
    "zero for a positiveInt": extension_with("valuePositiveInt", 0, NumberLiteral(b"-0")),
    "empty string": put(_of_json("string"), ""),
    "null for a value": put(_without_sibling(_primitive), None),
    "control character": change_string(_of_type("string", "markdown"), lambda text: f"{text}\x0b"),
    "string too long": extension_with("valueString", "x" * (1024 * 1024 + 1)),
    "code of no value set": put(_bound, "no-such-code"),
    "code in the wrong case": change_string(_bound, str.swapcase),
    "code with two blanks": put(_of_type("code"), "a  b", "a\tb"),
    "code with white space around": change_string(_of_type("code"), lambda code: f" {code}"),
    "concept without a required code": uncoded(
        {"text": "x"},
        {"coding": [{"code": "active"}]},
        {"coding": [{"system": "http://example.org", "code": "active"}]},
    ),
    "id with a bad character": put(lambda site, _: site.element.type == "id", "a_b", "a b", "ä", "a/b"),
    "id too long": put(lambda site, _: site.element.type == "id", "x" * 65),
    "date that does not exist": put(_of_type("date", "dateTime"), "2021-02-30", "1900-02-29", "2021-04-31"),
    "date that is none": put(_of_type("date", "dateTime"), "2021-13", "2021-1-1", "20210101", "21", "0000", "x"),
    "date with a time": put(_of_type("date"), "2021-01-01T00:00:00Z"),
    "dateTime without a zone": put(_of_type("dateTime"), "2021-01-01T12:00:00", "2021-01-01T12:00Z"),
    "dateTime with an hour too late": put(_of_type("dateTime"), "2021-01-01T24:00:00Z", "2021-01-01T12:60:00Z"),
    "instant that is none": put(_of_type("instant"), "2021-01-01", "2021-02-29T12:00:00Z", "2021-01-01T12:00:00"),
    "time that is none": extension_with("valueTime", "24:00:00", "12:00", "12:00:00Z", "1:00:00"),
    "base64 that is none": extension_with("valueBase64Binary", "abc", "ab=c", "a*==", "=", " "),
    "uri with a blank": put(_of_type("uri", "url", "canonical"), "http://example.org/a b", " http://a", "a\nb"),
    "oid that is none": extension_with("valueOid", "1.2.3", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:"),
    "uuid that is none": extension_with(
        "valueUuid",
        "c757873d-ec9a-4326-a141-556f43239520",
        "urn:uuid:C757873D-EC9A-4326-A141-556F43239520",
        "urn:uuid:1",
    ),
    "reference with a blank": put(_reference, "Patient/a b", "Patient /1", "a b", "http://example.org/a b", " "),
    "reference by search": put(_reference, "Patient?identifier=1", "Nonsense?x=y", "Patient?"),
    "reference to a bad fragment": put(_reference, "#a b", "#a/b", "#" + "x" * 65),
    "reference by a bad URN": put(_reference, "urn:uuid:1", "urn:oid:x", "urn:uuid:", "http://", "https:/a"),
    "extension without url": broken_extension({"valueCode": "x"}, {"valueString": "x", "id": "a"}, at=".url"),
    "extension with value and extensions": broken_extension(
        {"url": "u", "valueCode": "x", "extension": [{"url": "v", "valueCode": "y"}]}
    ),
    "extension with neither": broken_extension({"url": "u"}, {"url": "u", "id": "x"}),
    "extension with two values": broken_extension({"url": "u", "valueCode": "x", "valueString": "y"}, at=".value"),
    "extension with a value of no type": broken_extension({"url": "u", "valueThing": "x"}, at=".valueThing"),
    "sibling of an object": add_member(_sibling_of_object),
    "sibling of an attribute": add_member(_sibling_of_id),
    "sibling that is null": sibling(_single(_extensible), None),
    "sibling that is empty": sibling(_single(_extensible), {}),
    "sibling that is a value": sibling(_single(_extensible), "x", 1, True),
    "sibling that is an array": sibling(_single(_extensible), [None], [{"id": "x"}]),
    "sibling with an id alone": alone,
    "sibling of an array that is no array": sibling(_array(_extensible), {"id": "x"}, None),
    "sibling with a null too many": padded,
    "contained of no type": contained({"resourceType": "Nonsense"}, {"id": "x"}, {}, {"resourceType": 1}),
    "contained that is none": contained("Patient/1", 1, None, [_RESOURCE]),
    "contained that contains": contained({**_RESOURCE, "contained": [_RESOURCE]}, at=".contained"),
    "contained that is wrong": contained({**_RESOURCE, "gender": "x"}, at=".gender"),
    "narrative with a script": narrative(XHTML % "<script>x</script>", XHTML % '<a href="javascript:x()">x</a>'),
    "narrative with an event": narrative(XHTML % '<p onclick="x()">x</p>', XHTML % '<b onmouseover="x">x</b>'),
    "narrative not well-formed": narrative(XHTML % "<p>x", XHTML % "x &nbsp; y", XHTML % "<b><i>x</b></i>"),
    "narrative that is no div": narrative("x", "<p>x</p>", "<div>x</div>", XHTML[:-6] % "x"),
    "narrative with what HTML reads otherwise": narrative(
        XHTML % "<!--> <img src='x'/> -->", XHTML % "<![CDATA[x]]>", "<!DOCTYPE div []>" + XHTML % "x"
    ),
}


def kinds() -> Iterator[str]:
    """The names of all kinds."""
    yield from KINDS
