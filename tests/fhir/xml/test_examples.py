"""Official examples go from JSON to XML and back, and are equal, to the digit and to the blank in the narrative."""

from __future__ import annotations

from xml.etree import ElementTree

from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.xml import read, write
from tests.fhir.xml.examples import DATA, canonical, examples


def test_every_example_comes_back_equal() -> None:
    """JSON -> XML -> JSON gives the same members, values and literals; indentation changes nothing."""
    wrong = []
    for name, release, resource in examples():
        facts = definitions(release)
        once = read(write(resource, facts), facts)
        indented = read(write(resource, facts, pretty=True), facts)
        if not canonical(resource) == canonical(once) == canonical(indented):
            wrong.append(name)
    assert wrong == []


def test_what_comes_back_is_in_the_order_of_the_specification() -> None:
    """The second trip changes nothing at all, not even the order of members."""
    for _, release, resource in examples():
        facts = definitions(release)
        ordered = read(write(resource, facts), facts)
        again = read(write(ordered, facts), facts)
        assert list(again) == list(ordered)


def test_another_parser_reads_it() -> None:
    """What is written is well-formed for a parser that is not ours to configure, and every example has a root."""
    facts = definitions("4.0")
    count = 0
    for _, release, resource in examples():
        if release == "4.0":
            root = ElementTree.fromstring(write(resource, facts))  # noqa: S314 - written by us
            assert root.tag == f"{{http://hl7.org/fhir}}{resource['resourceType']}"
            count += 1
    assert count >= len(DATA.read_bytes().splitlines())
