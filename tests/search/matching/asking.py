"""Filters of small resources."""

from __future__ import annotations

from collections.abc import Mapping

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.times import period
from fhirstore.search.matching import ResourceFilter, parse_filter

R4 = definitions("4.0")
NOW = period("2024-06-01T00:00:00Z").start
HERE = ("https://here.example/fhir/",)


def asked(type: str, query: str, *, release: str = "4.0") -> ResourceFilter:
    """The filter of this query."""
    return parse_filter(definitions(release), type, query, now=NOW, bases=HERE)


def matches(query: str, resource: Mapping[str, object], *, release: str = "4.0") -> bool:
    """Does this resource meet the query?"""
    return asked(str(resource["resourceType"]), query, release=release).matches(json.parse(json.dump(dict(resource))))
