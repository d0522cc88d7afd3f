"""Arrays of primitives whose ids and extensions, in `_name`, are fewer or more than the values: padded with null.

FHIR wants both arrays of one length. Publishers leave the nulls at the end out, and what they mean is certain: the
values that have no counterpart have no id and no extensions, and the extensions that have none have no value.

https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from fhirstore.fhir.json import JsonObject


def pad(resource: JsonObject) -> bool:
    """Pad every such pair of arrays, in place. Whether there was any."""
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
