"""The operations of a package, without its examples and named queries.

https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from fhirstore.fhir.definitions.generate.package import Package
from fhirstore.fhir.definitions.nodes import text, texts

_LEVELS = {"system": "s", "type": "t", "instance": "i"}
_ABSTRACT = {"CanonicalResource": "Resource"}  # an interface; the package does not list the types that have it


def operations(package: Package) -> dict[str, dict[str, str]]:
    """Returns code -> resource type -> the letters of its levels there, and p if only POST may invoke it."""
    found: dict[str, dict[str, str]] = {}
    for node in package.resources("OperationDefinition"):
        if text(node, "kind") != "operation" or text(node, "id").startswith("example"):
            continue
        letters = "".join(letter for level, letter in _LEVELS.items() if node.get(level) is True)
        letters += "p" if node.get("affectsState") is True else ""
        for type in texts(node, "resource"):
            found.setdefault(text(node, "code"), {})[_ABSTRACT.get(type, type)] = letters
    return {code: dict(sorted(types.items())) for code, types in sorted(found.items())}
