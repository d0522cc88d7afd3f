"""The search parameters and compartments of a package, without the package's examples.

https://hl7.org/fhir/R4/searchparameter-registry.html · https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from __future__ import annotations

from fhirstore.fhir.definitions.generate.package import Package
from fhirstore.fhir.definitions.nodes import Node, nodes, text, texts

ParameterRow = list[str]  # code, type, bases, url, expression, targets, components
_OFFICIAL = "http://hl7.org/fhir/SearchParameter/"
_REFERENCE_TO_SELF = "{def}"
_MISWRITTEN = {"value.as(DateTime)": "value.as(dateTime)"}
"""Types in expressions of components of R4 and R4B, as FHIR spells them."""


def parameters(package: Package) -> list[ParameterRow]:
    """Returns the official search parameters, sorted by URL; of two with one code for one type, the first."""
    rows: list[ParameterRow] = []
    taken: set[tuple[str, str]] = set()
    for node in sorted(package.resources("SearchParameter"), key=lambda node: text(node, "url")):
        code, bases = text(node, "code"), texts(node, "base")
        fresh = [base for base in bases if (base, code) not in taken]
        if not _is_official(node) or not fresh:
            continue
        taken.update((base, code) for base in fresh)
        row = [code, text(node, "type"), " ".join(fresh), text(node, "url").removeprefix(_OFFICIAL)]
        row += [text(node, "expression"), " ".join(texts(node, "target"))]
        row += [_component(each) for each in nodes(node, "component")]
        while row[-1] == "":
            row.pop()
        rows.append(row)
    return rows


def _component(node: Node) -> str:
    """Returns the end of the URL of a component's parameter, a blank, and its expression."""
    expression = text(node, "expression")
    for wrong, right in _MISWRITTEN.items():
        expression = expression.replace(wrong, right)
    return f"{text(node, 'definition').removeprefix(_OFFICIAL)} {expression}"


def _is_official(node: Node) -> bool:
    """Returns whether the parameter belongs to the base specification, and is not for an extension or an example."""
    id_ = text(node, "id")
    of_extension = "-extensions-" in id_ or "-genetic-" in id_
    return text(node, "url").startswith(_OFFICIAL) and not id_.startswith("example") and not of_extension


def compartments(package: Package) -> dict[str, dict[str, list[str]]]:
    """Returns compartment -> resource type -> codes of the parameters that put a resource into it.

    A patient is in their own compartment. R5 says this with `{def}`; it holds for every compartment and is left out.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for node in package.resources("CompartmentDefinition"):
        if text(node, "url").endswith("/example"):
            continue
        members = {
            text(each, "code"): [code for code in texts(each, "param") if code != _REFERENCE_TO_SELF]
            for each in nodes(node, "resource")
        }
        found[text(node, "code")] = {type: codes for type, codes in sorted(members.items()) if codes}
    return dict(sorted(found.items()))
