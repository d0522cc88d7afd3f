"""Interactions on criteria: conditional create, update, patch and delete.

https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

from fhirstore.commit.single import Decide
from fhirstore.errors import NotFound
from fhirstore.fhir import models
from fhirstore.fhir.patch import Patch
from fhirstore.interactions import resources
from fhirstore.interactions.matching import shown
from fhirstore.interactions.preconditions import IfMatch, IfNoneMatch, preconditions
from fhirstore.search.conditional.unmet_criteria import how_read, refuse_unmet
from fhirstore.search.criteria.parameters import Parameters
from fhirstore.tenant.acting import is_heavy
from fhirstore.tenant.compartments import Compartments
from fhirstore.version import Version


class Conditional(Compartments):
    """The conditional writes of a tenant's store."""

    async def conditional_create(
        self, resource: models.Resource, criteria: Parameters, *, type: str | None = None
    ) -> Version:
        """Creates the resource, unless one meets the criteria, like `identifier=system|value`: returns that one then.

        `created` of the result tells which. `criteria`: a query as in a URL, a mapping, or pairs. The resource must
        meet them itself, so that callers who repeat this, or do it at the same time, create one. 2 LIST more than
        `create`, and 1 PUT for each identifier. Raises MultipleMatches, Unsupported (criteria), and as `create`.
        """
        self._require("conditional-create", type)
        template, type_ = await self._admission.of_type(resource, type)
        self._require("conditional-create", type_)
        condition = await self._condition(type_, criteria)
        creating = await self._creating(type_, resource)

        def create(id: str) -> Decide:
            build = resources.builder(template, id)
            refuse_unmet(condition, type_, id, build(1, 0))
            return creating(resources.creation(build))

        return await self._matching.create(condition, create, heavy=is_heavy(template))

    async def conditional_update(
        self,
        resource: models.Resource,
        criteria: Parameters,
        *,
        type: str | None = None,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Updates the resource that meets the criteria; creates one where none does.

        An id in the resource must be the id of the match; where none matches, it becomes the id of the new resource.
        The resource must meet the criteria itself, as for `conditional_create`. Raises IdTaken (none matches, and
        another resource has the id), MultipleMatches, Unsupported (criteria), and as `update`.
        """
        wanted = preconditions(if_match, if_none_match, skip_unchanged=skip_unchanged)
        self._require("conditional-update", type)
        template, (type_, id_) = await self._admission.with_id_if_any(resource, type)
        changing = self._changing("conditional-update", type_, creates=True)
        condition = await self._condition(type_, criteria)

        def update(id: str) -> Decide:
            build = resources.builder(template, id)
            refuse_unmet(condition, type_, id, build(1, 0))
            return changing(resources.update(build, wanted))

        free = not self._limits("u", type_)
        return await self._matching.update(condition, update, id=id_, under_id=free, heavy=is_heavy(template))

    async def conditional_patch(
        self,
        type: str,
        criteria: Parameters,
        patch: Patch,
        *,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Patches the resource that meets the criteria.

        Raises NotFound (none does), MultipleMatches, Unsupported (criteria), and as `patch`.
        """
        wanted = preconditions(if_match, if_none_match, skip_unchanged=skip_unchanged)
        changing = self._changing("conditional-patch", self._admission.known_type(type))
        condition = await self._condition(type, criteria)
        resources.refuse_no_patch(patch)
        done = await self._admission.patched(
            lambda verified: resources.patching(patch, self._engine.validator, wanted, verified=verified),
            lambda decide: self._matching.change(condition, changing(decide), heavy=True),
        )
        if done is None:
            raise NotFound(f"No resource meets the criteria; {how_read(condition)}")
        return shown(done)

    async def conditional_delete(
        self, type: str, criteria: Parameters, *, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
    ) -> Version | None:
        """Deletes the resource that meets the criteria. Returns the tombstone, or None where none does.

        Raises MultipleMatches, Unsupported (criteria), and as `delete`.
        """
        wanted = preconditions(if_match, if_none_match)
        changing = self._changing("conditional-delete", self._admission.known_type(type))
        condition = await self._condition(type, criteria)
        done = await self._matching.change(condition, changing(resources.deletion(wanted)))
        return None if done is None else shown(done)

    async def delete_matching(
        self, type: str, criteria: Parameters, *, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
    ) -> tuple[Version, ...]:
        """Deletes all resources that meet the criteria, 250 at most. Returns the tombstones.

        Each is deleted on its own, not all at one instant. Raises MultipleMatches (more than 250, or several and a
        precondition: nothing was deleted), WriteOutcomeUnknown (only some were deleted; call it again), Unsupported
        (criteria), and as `delete`.
        """
        wanted = preconditions(if_match, if_none_match)
        changing = self._changing("conditional-delete", self._admission.known_type(type))
        condition = await self._condition(type, criteria)
        return await self._matching.delete_all(condition, wanted, changing=changing)
