"""Searches below a path: of a compartment, and the operations that are searches.

https://hl7.org/fhir/R4/compartmentdefinition.html · https://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from fhirstore.errors import InvalidResource, UnknownType
from fhirstore.interactions import resources
from fhirstore.search.criteria.compartment import compartment
from fhirstore.search.criteria.criterion import MOST_COUNT, Query
from fhirstore.search.criteria.parameters import Parameters, Value
from fhirstore.search.criteria.supported import SupportedSearch
from fhirstore.search.pages.everything import COMPARTMENTS, everything
from fhirstore.search.pages.matches import Matches
from fhirstore.search.pages.searchset import SearchPage
from fhirstore.tenant.reading import Reading

EVERYTHING = "$everything"
_NOT_OF_LASTN = ("_sort", "_count", "_total", "_include", "_revinclude")


class Compartments(Reading):
    """The searches of a tenant's store that are not of a type, or of all types."""

    def search_at(self, path: str, parameters: Parameters = (), /, **keywords: Value) -> Matches:
        """Searches at a path as FHIR's URLs have it, relative to the base.

        `Patient/1/Observation`: the Observations in the compartment of a patient; `Patient/1/*`: all that is in it.
        `Patient/1/$everything`, `Encounter/1/$everything`: the resource, all in its compartment, and what that refers
        to; `Patient/$everything`: the same for all patients. `Observation/$lastn`: the newest of each code, `max` of
        them. `Patient`, and the empty path: as `search`. Parameters, costs and errors as for `search`, and NotFound,
        Gone where there is no such patient.
        """

        return self._matches(lambda pairs: self.query_at(path, pairs), parameters, keywords)

    @property
    def supported_search(self) -> SupportedSearch:
        """What searches can ask for: by the release, and by what the tenant defines as far as this process knows."""
        return SupportedSearch(self._indexer.catalogue)

    def query_at(
        self,
        path: str,
        parameters: Iterable[tuple[str, str]],
        *,
        lenient: bool = False,
        bases: Collection[str] = (),
    ) -> Query:
        """Reads parameters, unquoted, of a search at a path, for `search_page`. Raises as `query`.

        `path`: as for `search_at`. `lenient`, `bases`: as for `query`. Raises UnknownType for a path that is not one of
        a search.
        """
        match path.split("/"):
            case [""]:
                return self.query(None, parameters, lenient=lenient, bases=bases)
            case [type_]:
                return self.query(type_, parameters, lenient=lenient, bases=bases)
            case ["Patient", "$everything"]:
                return self._everything("Patient", None, parameters, lenient)
            case ["Observation", "$lastn"]:
                return self._last(list(parameters), lenient, bases)
            case [type_, id_, "$everything"] if type_ in COMPARTMENTS:
                return self._everything(type_, resources.text_of_id(id_), parameters, lenient)
            case [owner, id_, type_] if owner in self._engine.validator.definitions.compartments:
                within = compartment(self._indexer.catalogue, owner, resources.text_of_id(id_))
                known = None if type_ == "*" else self._admission.known_type(type_)
                if known is not None and known not in within:
                    raise UnknownType(f"No {known} is ever in the compartment of a {owner}")
                query = self.query(known, parameters, lenient=lenient, within=within, bases=bases)
                return replace(query, place=path)
        raise UnknownType("This is no path at which FHIR defines a search")

    async def search_page(self, query: Query, *, count: int | None = None, cursor: str | None = None) -> SearchPage:
        """Returns one page of the matches, as `Searching.search_page`.

        `$everything` of a resource costs 1 GET more. Raises NotFound, Gone where there is no such resource.
        """
        owner = query.place.split("/")
        if len(owner) == 3 and owner[2] == EVERYTHING and cursor is None:
            await self.read(owner[0], owner[1])
        return await super().search_page(query, count=count, cursor=cursor)

    def _everything(self, type: str, id: str | None, pairs: Iterable[tuple[str, str]], lenient: bool) -> Query:
        now = self._place.objects.now()
        query = everything(self._indexer.catalogue, type, id, pairs, now=now, lenient=lenient)
        if self._sight is not None:
            self._sight.require_any("search", [one for one, _ in query.branches])
        return query

    def _last(self, pairs: Sequence[tuple[str, str]], lenient: bool, bases: Collection[str]) -> Query:
        """Reads the parameters of `$lastn`: `max`, and any search parameters of Observation."""
        about = [(_code(name), name, value) for name, value in pairs]
        if any(code in _NOT_OF_LASTN for code, _, _ in about):
            raise InvalidResource(f"$lastn has none of {', '.join(_NOT_OF_LASTN)}", code="not-supported")
        if not any(code in ("patient", "subject") for code, _, _ in about):
            raise InvalidResource("$lastn needs 'patient' or 'subject'", code="required")
        most = [value for _, name, value in about if name == "max"]
        if not all(value.isascii() and value.isdigit() and 0 < int(value) <= MOST_COUNT for value in most):
            raise InvalidResource(f"max is a whole number from 1 to {MOST_COUNT:,}", code="value")
        others = [pair for pair in pairs if pair[0] != "max"]
        query = self.query("Observation", others, lenient=lenient, bases=bases)
        used = (*(("max", value) for value in most), *query.used)
        return replace(query, newest=int(most[-1]) if most else 1, place="Observation/$lastn", used=used)


def _code(name: str) -> str:
    """Returns the code of the parameter that a name is about: without modifier and chain."""
    return name.partition(":")[0].partition(".")[0]
