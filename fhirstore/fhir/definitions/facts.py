"""The definitions of a FHIR release as plain values: types, elements, invariants, search parameters, operations.

They are generated from the official packages (`fhirstore/fhir/definitions/generate`), one committed file per release.

https://hl7.org/fhir/R4/structuredefinition.html · https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Element:
    """One JSON member of a type. A choice `value[x]` is one Element per type, all with the same `choice`.

    `name`: as in JSON, `deceasedBoolean`. `type`: `date`, `HumanName`, `Patient.contact` (a backbone element),
    `Resource` (any), `xhtml`. `max`: None is unbounded. `repeats`: it is an array in JSON. `choice`: `deceased`, or
    empty. `targets`: the resource types that a Reference or canonical may point to; empty: any. `codes`: the codes that
    a required binding of a `code` allows; None: any. `summary`: it is part of `_summary=true`. `modifier`: it is a
    modifier element. `attribute`: it is an attribute in XML. `binding`: the URL of the value set of a required binding,
    or empty. The `min` of a choice counts all its elements together.
    """

    name: str
    type: str
    min: int
    max: int | None
    repeats: bool
    choice: str = ""
    targets: tuple[str, ...] = ()
    codes: frozenset[str] | None = None
    summary: bool = False
    modifier: bool = False
    attribute: bool = False
    binding: str = ""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A constraint: `severity` error or warning, `expression` in FHIRPath, relative to the type that holds it.

    A type holds only its own invariants, not those of its base. An invariant on an element of a datatype is written as
    `element.all(…)` on the type.
    """

    key: str
    severity: str
    human: str
    expression: str


@dataclass(frozen=True, slots=True)
class Type:
    """A resource, a complex datatype or a backbone element (`Patient.contact`).

    `elements` includes inherited ones (`id`, `extension`, `meta` …), in the order of the specification, which is the
    order in XML. `kind`: resource, datatype or backbone.
    """

    name: str
    kind: str
    base: str
    abstract: bool
    elements: Mapping[str, Element]
    invariants: tuple[Invariant, ...] = ()


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive datatype. `json`: string, boolean, integer or decimal. `pattern`: its regular expression, or
    empty.
    """

    name: str
    json: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a composite parameter. `definition`: the URL of the parameter that says how it is searched.
    `expression`: FHIRPath, relative to each element that the composite selects.
    """

    definition: str
    expression: str


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A search parameter. `type`: token, reference, date … `expression`: FHIRPath, or empty. `components`: of a
    composite, in the order of its values.
    """

    code: str
    url: str
    type: str
    base: tuple[str, ...]
    expression: str
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation `$code` on resources of `type`; `Resource` stands for any type.

    `system`, `on_type`, `on_instance`: where it can be invoked. `affects_state`: only POST may invoke it.

    https://hl7.org/fhir/R4/operationdefinition.html
    """

    code: str
    type: str
    system: bool
    on_type: bool
    on_instance: bool
    affects_state: bool


@dataclass(frozen=True, slots=True, eq=False)
class Definitions:
    """All definitions of one release. `release`: "4.0", "4.3" or "5.0"; `version`: "4.0.1" …

    `search_parameters`: resource type -> code -> parameter, including those of Resource and DomainResource.
    `compartments`: compartment (`Patient`) -> resource type -> codes of the parameters that put a resource into it;
    types that are never in it are left out. It does not list that a Patient is in its own compartment. `value_sets`:
    URL -> code system -> codes, for required bindings whose codes can be enumerated. `operations`: code -> one
    operation for each type that has it. They are equal to themselves alone, and so may be a key.
    """

    release: str
    version: str
    types: Mapping[str, Type]
    primitives: Mapping[str, Primitive]
    resources: frozenset[str]
    search_parameters: Mapping[str, Mapping[str, SearchParameter]]
    compartments: Mapping[str, Mapping[str, tuple[str, ...]]]
    value_sets: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    operations: Mapping[str, tuple[Operation, ...]] = field(default_factory=dict)
