"""What all methods of a tenant's store share: where it is, and what whoever acts may see and write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace as with_members

from fhirstore.access.interactions import Interaction
from fhirstore.access.limits import limits_of
from fhirstore.access.sight import Sight
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol, Result
from fhirstore.commit.reading import look
from fhirstore.commit.single import Decide, WriteResult
from fhirstore.engine import Engine
from fhirstore.fhir import json, models
from fhirstore.fhir.json import JsonObject, Template
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.indexing.indexer import Indexer
from fhirstore.interactions import resources
from fhirstore.interactions.admission import Admission, as_bytes
from fhirstore.interactions.matching import Matching
from fhirstore.search.conditional.identifying import Criteria
from fhirstore.search.criteria.parameters import Parameters
from fhirstore.search.criteria.refusals import NewParameter, UnknownParameter
from fhirstore.submit.options import SubmitOptions
from fhirstore.tenancy import Place
from fhirstore.threads import LARGE


class Acting:
    """One tenant, restricted to what an access allows. Each interaction asks one of these methods before it begins."""

    def __init__(
        self,
        engine: Engine,
        place: Place,
        *,
        submit_options: SubmitOptions | None = None,
        sight: Sight | None = None,
    ) -> None:
        """`sight`: what may be seen and written; None: everything."""
        self._engine = engine
        self._place = place
        self.id = place.tenant
        self._admission = Admission(engine.validator, self._exists if engine.reference_integrity else None)
        self._matching = Matching(engine, place)
        self._submit_options = submit_options
        self._sight = sight

    async def _perform(self, protocol: Protocol[Result]) -> Result:
        """Runs a protocol to its end, even if the caller is cancelled once it has begun to write."""
        return await self._engine.run(self._place, protocol)

    async def _exists(self, type: str, id: str) -> bool:
        """Returns whether a resource is there, and seen."""
        raise NotImplementedError

    def _context(self) -> Context:
        return self._engine.context(self._place)

    def _keys(self, type: str, id: str) -> ResourceKeys:
        return self._place.keys.resource(self._admission.known_type(type), resources.text_of_id(id))

    def _require_admin(self, what: str) -> None:
        if self._sight is not None:
            self._sight.require_admin(what)

    def _require(self, interaction: Interaction, type: str | None) -> None:
        if self._sight is not None and type is not None:
            self._sight.require(interaction, type)

    def _limits(self, rights: str, type: str) -> bool:
        return self._sight is not None and self._sight.limits(rights, type)

    async def _creating(self, type: str, resource: models.Resource) -> Callable[[Decide], Decide]:
        """Returns what restricts the decision of a create. Raises AccessDenied."""
        sight = self._sight
        if sight is None:
            return _as_it_is
        sight.require("create", type)
        linked = type == "Binary" and sight.limits("c", type) and await self._is_linked(sight, as_bytes(resource))
        return lambda decide: sight.creating(decide, type, linked=linked)

    async def _is_linked(self, sight: Sight, binary: bytes) -> bool:
        """Whether the `securityContext` of a Binary is a resource, not a Patient, that is seen. 1 GET."""
        link = sight.link_of(json.parse(binary, max_values=None))
        if link is None or link[0] == "Patient" or not sight.may("read", link[0]):
            return False
        base, _ = await drive(look(self._place.keys.resource(*link)), self._place.objects)
        return base.shown is not None and not base.shown.deleted and sight.shows("r", link[0], base.shown)

    def _changing(self, interaction: Interaction, type: str, *, creates: bool = False) -> Callable[[Decide], Decide]:
        """Returns what restricts the decision of a change. Raises AccessDenied.

        `creates`: without a record, the decision is about a new resource under a server-assigned id.
        """
        sight = self._sight
        if sight is None:
            return _as_it_is
        sight.require(interaction, type)
        return lambda decide: sight.changing(interaction, decide, type, creates=creates)

    @property
    def _indexer(self) -> Indexer:
        return self._engine.indexer(self._place)

    async def _condition(self, type: str, parameters: Parameters) -> Criteria:
        """Reads the criteria of a condition, of what is seen. Where it does not know a parameter, it looks once for
        those that the tenant defines: 1 LIST.

        Raises AccessDenied, UnknownType, InvalidResource, Unsupported, IndexBehind, Unavailable.
        """
        known = self._admission.known_type(type)
        sight = self._sight

        async def read() -> Criteria:
            condition = self._matching.condition(
                known,
                parameters,
                limits=lambda catalogue: limits_of(sight, catalogue),
                stored=self._canonical,
            )
            return self._seeing("search", condition)

        return await self._learned(read)

    async def _learned(self, do: Callable[[], Awaitable[Result]]) -> Result:
        """Returns what `do` returns; it is done once more, after a look for the parameters that the tenant defines by
        now, where it does not know one.
        """
        try:
            return await do()
        except (NewParameter, UnknownParameter):
            await self._indexer.learn()
        return await do()

    async def _canonical(self, type: str, canonical: str) -> JsonObject | None:
        """Returns the resource of a canonical URL; None where there is none that is seen."""
        raise NotImplementedError

    def _seeing(self, interaction: Interaction, criteria: Criteria) -> Criteria:
        """Returns the criteria of what is seen as well. Raises AccessDenied."""
        if self._sight is None:
            return criteria
        if criteria.type is not None:
            self._sight.require(interaction, criteria.type)
        else:
            for types in criteria.types:
                for type in sorted(types):
                    self._sight.require(interaction, type)
            self._sight.require_any(interaction, self._engine.validator.definitions.resources)
        sees = self._sight.sees(interaction, criteria.type)
        return criteria if sees is None else with_members(criteria, sees=sees)

    def _owned(self, idempotency_key: str) -> str:
        """Returns the key, made that of who acts: it is of no use to others."""
        return idempotency_key if self._sight is None else self._sight.owned(idempotency_key)

    async def _commit(
        self,
        type: str,
        id: str,
        decide: Decide,
        *,
        fresh: bool = False,
        by_content: bool = False,
        heavy: bool = False,
    ) -> WriteResult:
        keys = self._place.keys.resource(type, id)
        return await self._engine.commit(self._place, keys, decide, fresh=fresh, by_content=by_content, heavy=heavy)


def is_heavy(template: Template) -> bool:
    """Returns whether it takes long to write, hash and compare a version of it."""
    return template.size > LARGE


def _as_it_is(decide: Decide) -> Decide:
    return decide
