"""The generator turns a package into the same bytes each time, and into the facts that the package states."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from fhirstore.fhir.definitions.generate.__main__ import facts_file, main, open_terminology
from fhirstore.fhir.definitions.generate.package import open_package
from fhirstore.fhir.definitions.terminology import NotEnumerable

HL7 = "http://hl7.org/fhir"


def _element(path: str, cardinality: str, type: str, **more: object) -> dict[str, object]:
    low, high = cardinality.split("..")
    return {"path": path, "min": int(low), "max": high, "type": [{"code": type}], **more}


def _structure(name: str, base: str, kind: str, elements: list[dict[str, object]], **more: object) -> dict[str, object]:
    root = {"path": name, "min": 0, "max": "*"}
    return {
        "resourceType": "StructureDefinition",
        "url": f"{HL7}/StructureDefinition/{name}",
        "type": name,
        "kind": kind,
        "abstract": False,
        "baseDefinition": f"{HL7}/StructureDefinition/{base}",
        "derivation": "specialization",
        "snapshot": {"element": [root, *elements]},
        **more,
    }


def _package(folder: Path) -> Path:
    """A release with one resource that has a backbone which refers to itself, and a coded element."""
    inner = folder / "package"
    inner.mkdir(parents=True)
    element_id = _element("Element.id", "0..1", "http://hl7.org/fhirpath/System.String", representation=["xmlAttr"])
    node_id = {**element_id, "path": "Tree.node.id"}
    colour = {"strength": "required", "valueSet": f"{HL7}/ValueSet/colour|4.0.1"}
    rule = {"key": "tre-1", "severity": "error", "human": "A colour", "expression": "colour.exists()"}
    files: dict[str, object] = {
        "package": {"fhirVersions": ["4.0.1"]},
        "StructureDefinition-Element": _structure("Element", "", "complex-type", [element_id], abstract=True),
        "StructureDefinition-Tree": _structure(
            "Tree",
            "Resource",
            "resource",
            [
                _element("Tree.node", "0..*", "Element", constraint=[rule], isSummary=True),
                node_id,
                _element("Tree.node.colour", "1..1", "code", binding=colour),
                {"path": "Tree.node.node", "min": 0, "max": "*", "contentReference": "#Tree.node"},
                {"path": "Tree.age[x]", "min": 0, "max": "1", "type": [{"code": "code"}, {"code": "Element"}]},
            ],
        ),
        "StructureDefinition-little": _structure("Tree", "Tree", "resource", [], derivation="constraint"),
        "ValueSet-colour": {
            "resourceType": "ValueSet",
            "url": f"{HL7}/ValueSet/colour",
            "compose": {
                "include": [
                    {"system": "urn:hue", "filter": [{"property": "concept", "op": "is-a", "value": "warm"}]},
                    {"system": "urn:other", "concept": [{"code": "grey"}]},
                ],
                "exclude": [{"system": "urn:hue", "concept": [{"code": "pink"}]}],
            },
        },
        "ValueSet-any": {
            "resourceType": "ValueSet",
            "url": f"{HL7}/ValueSet/any",
            "compose": {"include": [{"system": "urn:ietf:bcp:13"}]},
        },
        "CodeSystem-hue": {
            "resourceType": "CodeSystem",
            "url": "urn:hue",
            "content": "complete",
            "concept": [
                {"code": "warm", "concept": [{"code": "red", "concept": [{"code": "pink"}]}]},
                {"code": "blue"},
            ],
        },
        "SearchParameter-Tree-colour": {
            "resourceType": "SearchParameter",
            "id": "Tree-colour",
            "url": f"{HL7}/SearchParameter/Tree-colour",
            "code": "colour",
            "base": ["Tree"],
            "type": "token",
            "expression": "Tree.node.colour",
        },
        "SearchParameter-example": {
            "resourceType": "SearchParameter",
            "id": "example",
            "url": f"{HL7}/SearchParameter/example",
            "code": "other",
            "base": ["Tree"],
            "type": "token",
        },
        "OperationDefinition-Tree-fell": {
            "resourceType": "OperationDefinition",
            "id": "Tree-fell",
            "kind": "operation",
            "code": "fell",
            "affectsState": True,
            "resource": ["Tree"],
            "system": False,
            "type": True,
            "instance": True,
        },
        "OperationDefinition-CanonicalResource-now": {
            "resourceType": "OperationDefinition",
            "id": "CanonicalResource-now",
            "kind": "operation",
            "code": "now",
            "resource": ["CanonicalResource"],
            "system": True,
        },
        "OperationDefinition-example": {
            "resourceType": "OperationDefinition",
            "id": "example",
            "kind": "operation",
            "code": "other",
            "resource": ["Tree"],
            "type": True,
        },
        "OperationDefinition-Tree-query": {
            "resourceType": "OperationDefinition",
            "id": "Tree-query",
            "kind": "query",
            "code": "query",
            "resource": ["Tree"],
            "type": True,
        },
        "CompartmentDefinition-forest": {
            "resourceType": "CompartmentDefinition",
            "url": f"{HL7}/CompartmentDefinition/forest",
            "code": "Forest",
            "resource": [{"code": "Tree", "param": ["{def}", "colour"]}, {"code": "Element"}],
        },
    }
    for name, content in files.items():
        (inner / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_a_package_becomes_its_facts(tmp_path: Path) -> None:
    """Types with own elements, expanded codes, official parameters, compartments, operations, nothing of profiles."""
    facts = json.loads(gzip.decompress(facts_file(open_package(_package(tmp_path)))))
    assert facts == {
        "version": "4.0.1",
        "primitives": {},
        "types": {
            "Element": ["datatype", "", True, [["id", "string", "0..1", "a"]], []],
            "Tree": [
                "resource",
                "Resource",
                False,
                [["node", "Tree.node", "0..*", "s"], ["age[x]", "code Tree.age[x]", "0..1"]],
                [],
            ],
            "Tree.node": [
                "backbone",
                "Element",
                False,
                [["colour", "code", "1..1", "", f"{HL7}/ValueSet/colour"], ["node", "Tree.node", "0..*"]],
                [["tre-1", "error", "A colour", "colour.exists()"]],
            ],
        },
        "value_sets": {f"{HL7}/ValueSet/colour": {"urn:hue": ["red", "warm"], "urn:other": ["grey"]}},
        "search_parameters": [["colour", "token", "Tree", "Tree-colour", "Tree.node.colour"]],
        "compartments": {"Forest": {"Tree": ["colour"]}},
        "operations": {"fell": {"Tree": "tip"}, "now": {"Resource": "s"}},
    }


def test_the_same_package_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither the time nor the order of the folder is in the file."""
    folder = _package(tmp_path / "package-1")
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    main([str(folder), "--into", str(tmp_path / "first")])
    for path in sorted((folder / "package").iterdir(), reverse=True):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    main([str(folder), "--into", str(tmp_path / "second")])
    first, second = ((tmp_path / name / "r4.json.gz").read_bytes() for name in ("first", "second"))
    assert first == second


def test_a_value_set_without_a_list_is_not_guessed(tmp_path: Path) -> None:
    """A system that the package does not hold, and a value set that it does not hold, are not enumerable."""
    terminology = open_terminology(open_package(_package(tmp_path)))
    for name in ("any", "missing"):
        try:
            terminology.codes(f"{HL7}/ValueSet/{name}")
        except NotEnumerable:
            continue
        raise AssertionError(name)
