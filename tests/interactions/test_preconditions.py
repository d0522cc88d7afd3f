"""The grammar of preconditions, one for headers, for entries of a Bundle and for arguments."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fhirstore import UnmodifiedSince, Version, VersionIds
from fhirstore.bundles.entries import Entry
from fhirstore.bundles.preconditions import if_match, if_none_match, not_modified
from fhirstore.errors import InvalidResource
from fhirstore.interactions.preconditions import modified_since, preconditions, version_number

ANY = VersionIds(any=True)


def ids(*numbers: int) -> VersionIds:
    """These versions."""
    return VersionIds(frozenset(numbers))


TAGS = {
    'W/"3"': ids(3),
    '"3"': ids(3),
    ' W/"3"\t': ids(3),
    'W/"3", "4"': ids(3, 4),
    '"3","4",': ids(3, 4),
    ',, "3" , , W/"4",': ids(3, 4),
    '"3",': ids(3),
    '"a,b"': ids(),
    '"a\\", "3"': ids(3),  # a backslash is a character of the tag, and escapes nothing
    '""': ids(),
    '"0"': ids(),
    '"03"': ids(),
    '"\xff"': ids(),
    '"1234567890123456789"': ids(),
    "*": ANY,
    " *\t": ANY,
}
NO_TAGS = (
    "",
    " ",
    ",",
    "3",
    "nonsense",
    "'3'",
    '"a b"',
    'w/"3"',
    'W/ "3"',
    '"3" "4"',
    '"3", 4',
    '"3", *',
    "**",
    '"3',
    '3"',
    '"\x7f"',
    '"\n"',
    '"3"\n',
    '"€"',
)


@pytest.mark.parametrize(("text", "named"), TAGS.items())
def test_lists_of_entity_tags(text: str, named: VersionIds) -> None:
    """Weak and strong tags mean the same; empty items are left out; a tag of others names no version."""
    assert VersionIds.parse(text) == named
    entry = Entry(0, "PUT", "update", "Patient", "1", if_match=text, if_none_match=text)
    assert (if_match(entry), if_none_match(entry)) == (named, named)


@pytest.mark.parametrize("text", NO_TAGS)
def test_what_is_no_list_of_entity_tags(text: str) -> None:
    """It is refused, by headers and entries alike, and never taken for a condition that is not there."""
    with pytest.raises(ValueError, match="entity tags"):
        VersionIds.parse(text)
    entry = Entry(0, "PUT", "update", "Patient", "1", if_match=text)
    with pytest.raises(InvalidResource) as raised:
        if_match(entry)
    assert raised.value.issues[0].expression == ("Bundle.entry[0].request.ifMatch",)


def test_a_long_list_of_entity_tags_takes_no_time() -> None:
    """No text makes the grammar backtrack."""
    for text in ('"1",' * 100_000 + "x", "," * 100_000 + "x", '"' + "a" * 100_000, '"1"' + " " * 100_000 + "x"):
        with pytest.raises(ValueError, match="entity tags"):
            VersionIds.parse(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", (1994, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", (1994, 11, 6, 8, 49, 37)),
        ("Sun Nov  6 08:49:37 1994", (1994, 11, 6, 8, 49, 37)),
        ("Sat, 31 Dec 2016 23:59:59 GMT", (2016, 12, 31, 23, 59, 59)),
        ("Sat, 31 Dec 2016 23:59:60 GMT", (2017, 1, 1, 0, 0, 0)),
        ("Thu, 29 Feb 2024 00:00:00 GMT", (2024, 2, 29, 0, 0, 0)),
    ],
)
def test_http_dates(text: str, moment: tuple[int, int, int, int, int, int]) -> None:
    """All three forms, whatever the time zone of the process, and a leap second."""
    assert UnmodifiedSince.parse(text) == UnmodifiedSince(int(datetime(*moment, tzinfo=UTC).timestamp()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-20T04:47:24Z",
        "20261120T044724Z",
        "Thu, 30 Feb 2024 00:00:00 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT" + " " * 100,
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
    ],
)
def test_what_is_no_http_date(text: str) -> None:
    """A ValueError; RFC 9110 says to ignore such a header."""
    with pytest.raises(ValueError, match=r"HTTP date|day is out of range|day .* must be"):
        UnmodifiedSince.parse(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T00:00:01.5Z", 1_500),
        ("1970-01-01T00:00:01.1239Z", 1_123),
        ("1970-01-01T01:00:01+01:00", 1_000),
        ("1969-12-31T23:30:01-00:30", 1_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
    ],
)
def test_instants(text: str, ms: int) -> None:
    """FHIR instants, rounded down to the milliseconds that `meta.lastUpdated` has."""
    assert modified_since(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-11-20",
        "2026-11-20T04:47Z",
        "2026-11-20T04:47:24",
        "20261120T044724Z",
        "2026-11-20 04:47:24Z",
        "2026-11-20T04:47:24 01:00",
        "2026-11-20T04:47:24,5Z",
        "2026-W47-5T04:47:24Z",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "2026-02-30T00:00:00Z",
    ],
)
def test_what_is_no_instant(text: str) -> None:
    """A ValueError; InvalidResource with its place in an entry."""
    with pytest.raises(ValueError, match=r"."):
        modified_since(text)
    entry = Entry(0, "GET", "read", "Patient", "1", if_modified_since=text)
    with pytest.raises(InvalidResource, match="must be an instant"):
        not_modified(entry, Version("Patient", "1", 1, 0, "PUT", b"{}"))


def test_an_entry_is_not_modified_since() -> None:
    """ifNoneMatch goes before ifModifiedSince."""
    version = Version("Patient", "1", 3, 1_000, "PUT", b"{}")

    def told(**conditions: str) -> bool:
        return not_modified(Entry(0, "GET", "read", "Patient", "1", **conditions), version)  # type: ignore[arg-type]

    assert told(if_modified_since="1970-01-01T00:00:01Z")
    assert not told(if_modified_since="1970-01-01T00:00:00.999Z")
    assert not told(if_modified_since="1970-01-01T00:00:01Z", if_none_match='"2"')
    assert told(if_none_match='"2", "3"')
    assert not told()


@pytest.mark.parametrize("given", [3, "3", 'W/"3"', '"3"', ids(3)])
def test_arguments_name_a_version(given: int | str | VersionIds) -> None:
    """A caller of the library may give the number, its text, or the entity tag."""
    stated = preconditions(given, given)
    assert (stated.if_match, stated.if_none_match) == (ids(3), ids(3))


@pytest.mark.parametrize("given", ["", "x", "-1", "1.0", True, 1.0, b"1", [1], object()])
def test_arguments_that_name_none(given: object) -> None:
    """InvalidResource, whatever it is."""
    with pytest.raises(InvalidResource, match="if_match"):
        preconditions(given)  # type: ignore[arg-type]
    with pytest.raises(InvalidResource, match="if_none_match"):
        preconditions(None, given)  # type: ignore[arg-type]
    with pytest.raises(InvalidResource):
        version_number(given)  # type: ignore[arg-type]
