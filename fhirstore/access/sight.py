"""The resources that an access sees, and the writes that it may make: the one place where both are decided.

A scope without criteria that reaches to the whole tenant grants a type wholly: then no resource is looked at. Otherwise
access to the type is *limited* by content: a resource must meet the criteria of one scope and be in its compartment.

**A hidden resource is as if it were not there.** Of a type to which access is limited, the answer to a request does not
depend on what is hidden:

- What is hidden is not found, matches nothing, and counts in no total. So a conditional create ignores it and creates.
- A deleted resource is hidden too, since a tombstone does not tell whose it was.
- An update does not create, since a refusal of an id that is in use would tell that it is: `POST` creates.
- A version is seen if the current version is seen, and it itself.
- A write needs that the current version is seen and may be changed, and that the new content may be written. Both are
  decided where the commit decides, on the record that the commit replaces.

A Binary is in no compartment. It is in the patient's if its `securityContext` is the Patient; it can be read, too, if
the `securityContext` is a resource that is seen (`link_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache

import msgspec

from fhirstore.access.access import Access
from fhirstore.access.interactions import NEEDS, Interaction
from fhirstore.access.scopes import Scope, filter_of
from fhirstore.commit.single import Decide, Draft
from fhirstore.errors import AccessDenied, NotFound
from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.definitions.load import definitions as facts_of
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.compartments import Compartments
from fhirstore.fhir.search_parameters.references import literal, target
from fhirstore.format.record import Record

Sees = Callable[[str, bytes], bool]
"""Takes a type and a content, which is empty for a tombstone. Returns whether it is seen."""


class Sight:
    """What `access` sees and may write, in a tenant of the release that `definitions` define.

    `bases`: base URLs of this server, each with a slash at the end.
    """

    def __init__(self, access: Access, definitions: Definitions, bases: frozenset[str] = frozenset()) -> None:
        self.access = access
        self._definitions = definitions
        self._compartments = _compartments(definitions.release, bases)
        self._bound = _types_in_compartment(definitions.release)
        self._reach: dict[tuple[str, str], list[Scope]] = {}
        self._limited: dict[tuple[str, str], bool] = {}

    def require(self, interaction: Interaction, type: str) -> None:
        """Raises AccessDenied where no scope grants each right that the interaction needs on resources of the type."""
        for right in NEEDS[interaction]:
            self.require_right(right, type, interaction)

    def require_any(self, interaction: Interaction, among: Collection[str]) -> None:
        """Raises AccessDenied where the interaction is allowed on none of these types."""
        if not any(self.may(interaction, type) for type in among):
            raise AccessDenied(f"No scope of this token allows {interaction}")

    def require_right(self, rights: str, type: str, interaction: str) -> None:
        """Raises AccessDenied where no scope grants any of these rights on resources of the type."""
        if not any(self.reaching(right, type) for right in rights):
            named = type if type in self._definitions.resources else "this type"
            raise AccessDenied(f"No scope of this token allows {interaction} of {named}")

    def require_admin(self, what: str) -> None:
        """Raises AccessDenied where the access is not an administrator's."""
        if not self.access.admin:
            raise AccessDenied(f"{what} needs the scope system/fhirstore.admin")

    def require_submitter(self, identifier: str) -> None:
        """Raises AccessDenied where the access may not submit in bulk for this submitter."""
        if not self.access.submits:
            raise AccessDenied("Bulk submit needs the scope system/bulk-submit")
        if identifier not in (self.access.submitters or ()):
            raise AccessDenied("This client is not registered for this submitter")

    def may(self, interaction: Interaction, type: str) -> bool:
        """Whether scopes grant all rights that the interaction needs on resources of the type, or on some of them."""
        return all(self.reaching(right, type) for right in NEEDS[interaction])

    def exports(self, type: str) -> bool:
        """Whether the type may be exported: by `system/` scopes without criteria alone."""
        return all(
            any(scope.context == "system" and scope.criteria is None for scope in self.reaching(right, type))
            for right in NEEDS["export"]
        )

    def limits(self, rights: str, type: str) -> bool:
        """Whether any of these rights is limited by content: not every resource of the type may be seen, or written."""
        known = self._limited.get((rights, type))
        if known is None:
            known = any(not any(map(self._is_whole, self.reaching(right, type))) for right in rights)
            self._limited[rights, type] = known
        return known

    def covers(self, right: str, resource: JsonObject, *, linked: bool = False) -> bool:
        """Whether a scope grants this right on this resource. `linked`: it is a Binary of a resource that is seen."""
        type_ = str(resource.get("resourceType"))
        return any(self._holds(scope, type_, resource, linked=linked) for scope in self.reaching(right, type_))

    def shows(self, rights: str, type: str, record: Record | None) -> bool:
        """Whether all these rights are granted on this version. A tombstone is shown where access is not limited."""
        if record is None:
            return False
        return self._shows(rights, type, record.resource or b"")

    def _shows(self, rights: str, type: str, content: bytes) -> bool:
        if not self.limits(rights, type):
            return True
        if not content:
            return False
        resource = json.parse(content, max_values=None)
        return all(self.covers(right, resource) for right in rights)

    def sees(self, interaction: Interaction, type: str | None) -> Sees | None:
        """Returns what tells the resources that this interaction sees; None: all of the type.

        `type` None: of all types.
        """
        rights = NEEDS[interaction]
        if type is not None and not self.limits(rights, type):
            return None
        if type is None and all(any(map(self._is_whole, self._of_all_types(right))) for right in rights):
            return None
        return lambda type, content: self.may(interaction, type) and self._shows(rights, type, content)

    def link_of(self, resource: JsonObject) -> tuple[str, str] | None:
        """Returns the type and id of the resource that decides who sees this Binary; None where there is none.

        It is never a Binary, so that links do not lead from one to the next.
        """
        if resource.get("resourceType") != "Binary":
            return None
        at = target(literal(resource.get("securityContext")))
        if at is None or at[1] == "Binary" or at[1] not in self._definitions.resources:
            return None
        if at[0] and at[0] not in self._compartments.bases:
            return None
        return at[1], at[2]

    # --- writes ---------------------------------------------------------------------------------------------

    def creating(self, decide: Decide, type: str, *, linked: bool = False) -> Decide:
        """Returns the decision of a create. It raises AccessDenied for content that may not be created.

        `linked`: as of `covers`.
        """
        if not self.limits("c", type):
            return decide

        def limited(current: Record | None) -> Draft | None:
            return self._admitted(decide(current), current, "c", linked=linked)

        return limited

    def changing(self, interaction: Interaction, decide: Decide, type: str, *, creates: bool = False) -> Decide:
        """Returns the decision of an update, a patch or a delete, limited as the module says.

        The record must have been read, with its content. `creates`: no record at all means that a resource is created
        under a server-assigned id. Raises NotFound, AccessDenied.
        """
        rights = NEEDS[interaction].replace("s", "")
        if not self.limits(rights, type):
            return decide

        def limited(current: Record | None) -> Draft | None:
            if current is None and creates:
                return self._admitted(decide(None), None, rights[-1])
            resource = json.parse(current.resource, max_values=None) if current and current.resource else None
            if resource is None or not any(self.covers(one, resource) for one in {"r", "s", *rights}):
                if decide(None) is not None:
                    raise NotFound("No such resource, or no such version of it")
                return None
            if not all(self.covers(one, resource) for one in rights):
                raise AccessDenied("No scope of this token allows to change this resource")
            return self._admitted(decide(current), current, rights[-1])

        return limited

    def _admitted(
        self, draft: Draft | None, current: Record | None, right: str, *, linked: bool = False
    ) -> Draft | None:
        """Returns the draft. Raises AccessDenied for content that may not be written."""
        if draft is not None and draft.build is not None:
            content = draft.build(1 if current is None else current.version + 1, 0)
            if not self.covers(right, json.parse(content, max_values=None), linked=linked):
                raise AccessDenied(
                    "No scope of this token allows to store this content: it is outside of what it covers"
                )
        return draft

    @property
    def owner(self) -> str:
        """Who acts, as one text: client, subject and patient."""
        access = self.access
        return msgspec.json.encode((access.client, access.subject, access.patient)).decode()

    def owned(self, key: str) -> str:
        """Returns an Idempotency-Key, made that of who acts: another one who uses the same key does not meet it."""
        return msgspec.json.encode((key, self.owner)).decode()

    # --- scopes ---------------------------------------------------------------------------------------------

    def reaching(self, right: str, type: str) -> list[Scope]:
        """Returns the scopes that grant this right on some resources of the type."""
        known = self._reach.get((right, type))
        if known is None:
            access = self.access
            known = [
                scope
                for scope in access.scopes
                if scope.grants(right, type) and access.reaches(scope) and (type in self._bound or access.whole(scope))
            ]
            if type in self._definitions.resources:  # of which there are not many
                self._reach[right, type] = known
        return known

    def _of_all_types(self, right: str) -> list[Scope]:
        return [scope for scope in self.access.scopes if scope.type == "*" and right in scope.rights]

    def _is_whole(self, scope: Scope) -> bool:
        return scope.criteria is None and self.access.whole(scope)

    def _holds(self, scope: Scope, type: str, resource: JsonObject, *, linked: bool) -> bool:
        """Whether a resource of a type that the scope grants is among those that it reaches."""
        patient = self.access.compartment(scope)
        if patient is not None and not linked and patient not in self._patients(type, resource):
            return False
        if scope.criteria is None:
            return True
        return filter_of(self._definitions.release, type, scope.criteria).matches(resource)

    def _patients(self, type: str, resource: JsonObject) -> frozenset[str]:
        if type == "Binary":
            link = self.link_of(resource)
            return frozenset({link[1]} if link is not None and link[0] == "Patient" else ())
        return self._compartments.patients(resource)


@lru_cache(maxsize=1_024)
def sight_of(access: Access, release: str, bases: frozenset[str] = frozenset()) -> Sight:
    """Returns the sight of an access, the same one for requests with the same token."""
    return Sight(access, facts_of(release), bases)


@lru_cache(maxsize=8)
def _compartments(release: str, bases: frozenset[str]) -> Compartments:
    return Compartments(facts_of(release), bases)


@lru_cache(maxsize=8)
def _types_in_compartment(release: str) -> frozenset[str]:
    """Returns the types of which resources can be in a Patient's compartment, and Binary."""
    return _compartments(release, frozenset()).types("Patient") | {"Binary"}
