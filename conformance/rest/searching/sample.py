"""Resources that one check made and searches among."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import quote

from conformance.rest.server import SYSTEM, Answer, Created, Json, Server, member, must

MATCH, INCLUDE = "match", "include"


class Sample:
    """Resources by name, each with the tag `mark`, which no other check uses."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.mark = server.fresh()
        self.made: dict[str, Created] = {}

    async def add(self, **resources: Json) -> Sample:
        """Creates resources, each under a name of this sample."""
        tag = {"system": SYSTEM, "code": self.mark}

        def tagged(resource: Json) -> Json:
            meta = resource.get("meta")
            return {**resource, "meta": {**(meta if isinstance(meta, dict) else {}), "tag": [tag]}}

        made = await asyncio.gather(*(self.server.created(tagged(one)) for one in resources.values()))
        self.made |= dict(zip(resources, made, strict=True))
        return self

    def path(self, name: str) -> str:
        """`[type]/[id]` of a resource."""
        return self.made[name].path

    def id(self, name: str) -> str:
        """The id of a resource."""
        return self.made[name].id

    def reference(self, name: str) -> Json:
        """A Reference to a resource."""
        return {"reference": self.path(name)}

    def url(self, search: str) -> str:
        """The search among the resources of this sample."""
        separator = "&" if "?" in search else "?"
        return f"{search}{separator}_tag={quote(f'{SYSTEM}|{self.mark}')}"

    async def search(self, search: str) -> Answer:
        """The answer to a search among the resources of this sample."""
        return (await self.server.get(self.url(search))).expect(200)

    async def finds(self, search: str, *wanted: str) -> None:
        """Such a search must find exactly the resources of these names."""
        answer = await self.search(f"{search}&_count=100" if "?" in search else search)
        self.must_be(search, self.names(answer), wanted)

    async def finds_in_order(self, search: str, *wanted: str) -> None:
        """Such a search must find exactly these, in this order."""
        found = self.names(await self.search(search))
        must(found == list(wanted), f"{search} finds {', '.join(found) or 'nothing'}; not {', '.join(wanted)}")

    async def finds_or_refuses(self, search: str, *wanted: str) -> None:
        """Where a server need not have it: such a search must find exactly these, or be refused as not supported."""
        answer = await self.server.get(self.url(search))
        if answer.status in (400, 501):
            must(
                member(answer.outcome(), "issue", 0, "code") == "not-supported", f"{search} is refused without a reason"
            )
        else:
            await self.finds(search, *wanted)

    async def refuses(self, search: str) -> None:
        """Such a search must be refused with an OperationOutcome."""
        answer = await self.server.get(self.url(search), {"Prefer": "handling=strict"})
        must(400 <= answer.status <= 501 and answer.status != 500, f"{search} answered {answer.status}")
        answer.outcome()

    def names(self, answer: Answer, mode: str = MATCH) -> list[str]:
        """The names of the entries of this mode; what is no resource of the sample comes as its type and id."""
        known = {made.path: name for name, made in self.made.items()}
        found = []
        for entry in answer.bundle("searchset"):
            if (member(entry, "search", "mode") or MATCH) == mode:
                path = f"{member(entry, 'resource', 'resourceType')}/{member(entry, 'resource', 'id')}"
                found.append(known.get(path, path))
        return found

    @staticmethod
    def must_be(search: str, found: Iterable[str], wanted: Iterable[str]) -> None:
        """The names found must be those wanted, in any order, each once."""
        one, other = sorted(found), sorted(wanted)
        must(one == other, f"{search} finds {', '.join(one) or 'nothing'}; not {', '.join(other) or 'nothing'}")


async def sample(server: Server, **resources: Json) -> Sample:
    """A sample of these resources."""
    return await Sample(server).add(**resources)


def observation(**members: object) -> Json:
    """A small Observation with these members."""
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    return {"resourceType": "Observation", "status": "final", "code": code, **members}


def coded(*codes: tuple[str, str], text: str = "") -> Json:
    """A CodeableConcept of pairs of system (or nothing) and code."""
    codings = [{"system": system, "code": code} if system else {"code": code} for system, code in codes]
    return {"coding": codings, **({"text": text} if text else {})}
