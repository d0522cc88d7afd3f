"""Pads arrays of primitives with null if the array of their ids and extensions (`_name`) has another length.

FHIR requires both arrays to have the same length. Some publishers omit the nulls at the end, but the meaning is clear:
a value without a counterpart has no id and no extensions, and extensions without a counterpart have no value.

https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from fhirstore.fhir.json import JsonObject


def pad(resource: JsonObject) -> bool:
    """Pads every such pair of arrays in place. Returns whether there was any."""
    padded = False
    nodes: list[object] = [resource]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            for name, extras in node.items():
                if isinstance(extras, list) and name.startswith("_"):
                    values = node.get(name[1:])
                    if isinstance(values, list) and values and extras and len(values) != len(extras):
                        padded = True
                        shorter, missing = (values, extras) if len(values) < len(extras) else (extras, values)
                        shorter += [None] * (len(missing) - len(shorter))
    return padded
