"""What a FHIR release says about its types, as plain values.

They come from the official packages by way of `fhirstore/definitions/generate` and one committed file per release.
https://hl7.org/fhir/R4/structuredefinition.html · https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Element:
    """One JSON member of a type. A choice `value[x]` is one Element per type, all with the same `choice`.

    `name`: as in JSON, `deceasedBoolean`. `type`: `date`, `HumanName`, `Patient.contact` (a backbone element),
    `Resource` (any), `xhtml`. `max` None: unbounded. `repeats`: an array in JSON. `choice`: `deceased`, or empty.
    `targets`: resource types that a Reference or canonical may point to; empty: any. `codes`: what a required
    binding of a `code` allows, None: anything. `attribute`: an attribute in XML. `summary`: in `_summary=true`.
    `binding`: url of the value set of a required binding, empty without. A choice's `min` counts all of it together.
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

    A type says its own only, not those of its base; one on an element of a datatype is `element.all(…)` here.
    """

    key: str
    severity: str
    human: str
    expression: str


@dataclass(frozen=True, slots=True)
class Type:
    """A resource, a complex datatype or a backbone element (`Patient.contact`).

    `elements` has the inherited ones too (`id`, `extension`, `meta` …), in the order of the specification, which is
    the order of XML. `kind`: resource, datatype or backbone.
    """

    name: str
    kind: str
    base: str
    abstract: bool
    elements: Mapping[str, Element]
    invariants: tuple[Invariant, ...] = ()


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive datatype. `json`: string, boolean, integer or decimal. `pattern`: its regex, or empty."""

    name: str
    json: str
    pattern: str


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """An official search parameter. `type`: token, reference, date … `expression`: FHIRPath, empty if it has none."""

    code: str
    url: str
    type: str
    base: tuple[str, ...]
    expression: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation, `$code`, of resources of `type`; of `Resource`: of any.

    `system`, `on_type`, `on_instance`: where it can be invoked. `affects_state`: by POST only.
    https://hl7.org/fhir/R4/operationdefinition.html
    """

    code: str
    type: str
    system: bool
    on_type: bool
    on_instance: bool
    affects_state: bool


@dataclass(frozen=True, slots=True)
class Definitions:
    """All facts of one release. `release`: "4.0", "4.3" or "5.0"; `version`: "4.0.1" …

    `search_parameters`: resource type -> code -> parameter, those of Resource and DomainResource included.
    `compartments`: compartment (`Patient`) -> resource type -> codes of the parameters that put a resource into it;
    a type without any is not in it. That a Patient is in its own compartment goes without saying.
    `value_sets`: url -> code system -> codes, of the required bindings whose codes can all be said.
    `operations`: by code, one for each type that has it.
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
