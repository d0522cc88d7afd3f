"""python -m fhirstore.fhir.definitions.generate FOLDER…: writes the definitions of each unpacked FHIR package.

The same package yields the same bytes. `make definitions` fetches the packages and runs this.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path

from fhirstore.fhir.definitions.generate.operations import operations
from fhirstore.fhir.definitions.generate.package import Package, open_package
from fhirstore.fhir.definitions.generate.parameters import compartments, parameters
from fhirstore.fhir.definitions.generate.structure import Structures, TypeRow
from fhirstore.fhir.definitions.load import DATA, FILES
from fhirstore.fhir.definitions.nodes import text
from fhirstore.fhir.definitions.terminology import NotEnumerable, Terminology


def facts_file(package: Package) -> bytes:
    """Returns the file that `fhirstore.fhir.definitions.load` reads: compact JSON, gzipped, always the same for one
    package.
    """
    structures = Structures(package)
    types = structures.types()
    facts = {
        "version": package.version,
        "primitives": structures.primitives(),
        "types": {
            name: [row.kind, row.base, row.abstract, row.elements, row.invariants] for name, row in types.items()
        },
        "value_sets": _value_sets(types, open_terminology(package)),
        "search_parameters": parameters(package),
        "compartments": compartments(package),
        "operations": operations(package),
    }
    compact = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(compact.encode(), compresslevel=9, mtime=0)


def open_terminology(package: Package) -> Terminology:
    """Returns the package's value sets and code systems."""
    return Terminology(
        {text(node, "url"): node for node in package.resources("ValueSet")},
        {text(node, "url"): node for node in package.resources("CodeSystem")},
    )


def _value_sets(types: dict[str, TypeRow], terminology: Terminology) -> dict[str, dict[str, list[str]]]:
    """Returns the value sets of required bindings: URL -> code system -> codes."""
    urls = {element[4] for row in types.values() for element in row.elements if len(element) > 4}
    found: dict[str, dict[str, list[str]]] = {}
    for url in sorted(urls):
        try:
            codes = terminology.codes(url)
        except NotEnumerable:
            continue
        found[url] = {system: sorted(codes[system]) for system in sorted(codes)}
    return found


def main(arguments: list[str] | None = None) -> None:
    """Writes one file per package folder."""
    parser = argparse.ArgumentParser(prog="python -m fhirstore.fhir.definitions.generate")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="an unpacked FHIR package")
    parser.add_argument("--into", type=Path, default=DATA, help="where the files go")
    options = parser.parse_args(arguments)
    for folder in options.folders:
        package = open_package(folder)
        release = ".".join(package.version.split(".")[:2])
        path = options.into / FILES[release]
        content = facts_file(package)
        path.write_bytes(content)
        sys.stdout.write(f"{path.name}: FHIR {package.version}, {len(content)} bytes\n")


if __name__ == "__main__":
    main()
