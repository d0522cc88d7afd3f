"""The server under test as a check of bulk export sees it: its data, its exports, each made once for all checks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from conformance.bulk.export import Export, Skipped, wait_of
from conformance.bulk.file_server import FileServer
from conformance.bulk.kickoff import Kickoff
from conformance.bulk.seeds import Seeds, seed
from conformance.bulk.submission import Submission, Submitting
from conformance.rest.server import Answer, Json, Server, member, must

T = TypeVar("T")
_MOST_REFUSALS = 200  # answers 429 to one kick-off, before the check gives up


class Provider:
    """A server, asked in one version of the IG. An export that several checks look at is made once."""

    def __init__(self, server: Server, version: int, submitting: Submitting | None = None) -> None:
        self.server = server
        self.version = version
        self._submitting = submitting
        self._files: FileServer | None = None
        self._made: dict[object, asyncio.Future[object]] = {}
        self._exports: list[Export] = []

    async def seeds(self) -> Seeds:
        """The data of the checks; written when it is first asked for."""
        return await self.once("seeds", lambda: seed(self.server))

    async def statement(self) -> Json:
        """The CapabilityStatement."""

        async def read() -> Json:
            return (await self.server.get("metadata")).expect(200).resource("CapabilityStatement")

        return await self.once("statement", read)

    async def advertised(self, type_: str = "") -> bool:
        """Whether the CapabilityStatement has the export of this level: the system's, `Patient` or `Group`."""
        name = {"": "export", "Patient": "patient-export", "Group": "group-export"}[type_]
        found: list[object] = []
        rest = member(await self.statement(), "rest", 0)
        if type_ == "":
            found = _list(member(rest, "operation"))
        for resource in _list(member(rest, "resource")):
            if member(resource, "type") == type_:
                found = [*_list(member(resource, "operation")), *_list(member(rest, "operation"))]
        return any(
            str(member(each, "definition")).partition("|")[0].endswith(f"/OperationDefinition/{name}")
            or (type_ == "" and member(each, "name") == "export")
            for each in found
        )

    async def require(self, level: str) -> None:
        """Raises Skipped unless the server advertises exports of this level."""
        type_ = level.partition("/")[0]
        if not await self.advertised(type_):
            raise Skipped(f"the CapabilityStatement has no export of {'the ' + type_ if type_ else 'the system'}")

    async def ask(self, kickoff: Kickoff) -> Answer:
        """One kick-off request, after the data was written; where the server has too much to do, again when it says.

        The caller must remove the export.
        """
        await self.require(kickoff.level)
        await self.seeds()
        method, path, body = kickoff.request(self.version)
        for _ in range(_MOST_REFUSALS):
            answer = await self.server.request(method, path, body, headers=kickoff.headers())
            if answer.status != 429:
                break
            await asyncio.sleep(wait_of(answer))
        return answer

    async def start(self, kickoff: Kickoff) -> Export:
        """An export of the check's own, begun. It is removed at the end."""
        answer = (await self.ask(kickoff)).expect(202)
        export = Export(self.server, self.version, kickoff, answer)
        self._exports.append(export)
        return export

    async def export(self, kickoff: Kickoff) -> Export:
        """The export, done."""

        async def make() -> Export:
            return await (await self.start(kickoff)).finish()

        return await self.once(kickoff, make)

    async def optional(self, kickoff: Kickoff, name: str) -> Export:
        """As `export`, with the parameter `name`, which is optional for servers: Skipped where it is refused."""

        async def make() -> Export | str:
            answer = await self.ask(kickoff)
            if 400 <= answer.status < 500 or answer.status == 501:
                answer.outcome()
                return f"the server refuses {name} ({answer.status}), which is optional"
            export = Export(self.server, self.version, kickoff, answer.expect(202))
            self._exports.append(export)
            return await export.finish()

        found = await self.once(kickoff, make)
        if isinstance(found, str):
            raise Skipped(found)
        return found

    async def refused(self, kickoff: Kickoff) -> Answer:
        """The answer to a kick-off that must be refused with an OperationOutcome."""
        answer = await self.ask(kickoff)
        if answer.status == 202:
            await self.server.delete(answer.header("Content-Location"))
        must(400 <= answer.status < 600, f"{answer.asked} answered {answer.status}, not an error")
        answer.outcome()
        return answer

    async def submission(self) -> Submission:
        """A submission of the check's own, which nothing was sent of. Raises Skipped where nobody may submit."""
        submitting = self._submitting
        if submitting is None:
            raise Skipped("no --submitter was named who may submit")

        async def listen() -> FileServer:
            self._files = await FileServer.start(submitting.listen, submitting.url)
            return self._files

        files = await self.once("files", listen)
        return Submission(self.server, files, submitting.submitter, self.server.fresh())

    async def remove(self) -> None:
        """Removes all exports that were made."""
        exports, self._exports = self._exports, []
        await asyncio.gather(*(export.remove() for export in exports), return_exceptions=True)

    async def close(self) -> None:
        """Ends what is under way, and removes all exports."""
        for task in self._made.values():
            task.cancel()
        await asyncio.gather(*self._made.values(), return_exceptions=True)
        await self.remove()
        if self._files is not None:
            self._files.close()

    async def once(self, key: object, make: Callable[[], Awaitable[T]]) -> T:
        """What `make` gives; of several calls with one key the first makes it. A key must have one type."""
        if key not in self._made:
            self._made[key] = asyncio.ensure_future(make())
        return cast(T, await asyncio.shield(self._made[key]))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
