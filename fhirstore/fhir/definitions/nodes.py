"""Reads members of conformance resources; a member that is missing or of another JSON type counts as empty.

https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Node: TypeAlias = Mapping[str, object]


def text(node: Node, name: str) -> str:
    """Returns the member `name` of `node` if it is a string, else an empty string."""
    value = node.get(name)
    return value if isinstance(value, str) else ""


def nodes(node: Node, name: str) -> tuple[Node, ...]:
    """Returns the objects in the array `name` of `node`."""
    value = node.get(name)
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def node_of(node: Node, name: str) -> Node:
    """Returns the member `name` of `node` if it is an object, else an empty one."""
    value = node.get(name)
    return value if isinstance(value, dict) else {}


def texts(node: Node, name: str) -> tuple[str, ...]:
    """Returns the strings in the array `name` of `node`."""
    value = node.get(name)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def name_of(canonical: str) -> str:
    """Returns the last segment of a canonical or absolute URL, without `|version`: `Patient` of
    http://hl7.org/fhir/StructureDefinition/Patient|4.0.1.
    """
    return canonical.partition("|")[0].rpartition("/")[2]
