"""The compartments of a resource, found from its references as the compartment definitions say.

https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.getters import Getter, getter
from fhirstore.fhir.search_parameters.references import literal, target

_ITSELF = "{def}"


@dataclass(frozen=True, slots=True)
class Compartments:
    """The compartments of a FHIR release. `bases`: base URLs of this server, each with a slash at the end."""

    definitions: Definitions
    bases: Collection[str] = ()
    _getters: dict[tuple[str, str], tuple[Getter, ...]] = field(default_factory=dict, compare=False, repr=False)

    def members(self, resource: JsonObject) -> frozenset[tuple[str, str]]:
        """Returns the compartments that hold `resource`, as (type, id): `("Patient", "p")`.

        A resource is in its own compartment. Contained and logical references name no resource of this server and are
        ignored.
        """
        compartments = self.definitions.compartments
        return frozenset((compartment, id) for compartment in compartments for id in self.ids(compartment, resource))

    def patients(self, resource: JsonObject) -> frozenset[str]:
        """Returns the ids of the patients in whose compartments `resource` is; of a Patient, its own among them."""
        return self.ids("Patient", resource)

    def ids(self, compartment: str, resource: JsonObject) -> frozenset[str]:
        """Returns the ids of the compartments of one type that hold `resource`."""
        type_, id_ = resource.get("resourceType"), resource.get("id")
        found = {id_} if compartment == type_ and isinstance(id_, str) else set[str]()
        for get in self._of(compartment, str(type_)):
            for value in get(resource):
                at = target(literal(value))
                if at and at[1] == compartment and (not at[0] or at[0] in self.bases):
                    found.add(at[2])
        return frozenset(found)

    def types(self, compartment: str) -> frozenset[str]:
        """Returns the types of the resources that can be in a compartment, its own type among them."""
        return frozenset((*self.definitions.compartments[compartment], compartment))

    def _of(self, compartment: str, type: str) -> tuple[Getter, ...]:
        known = self._getters.get((compartment, type))
        if known is None:
            codes = self.definitions.compartments[compartment].get(type, ())
            parameters = self.definitions.search_parameters.get(type, {})
            known = tuple(getter(self.definitions, type, c) for c in codes if c != _ITSELF and c in parameters)
            self._getters[compartment, type] = known
        return known
