"""A poll counts for the client that sends it."""

from __future__ import annotations

from tests.server.access.smart_clients import smart


async def test_others_cannot_use_up_the_polls_of_a_client() -> None:
    """Who polls the export of another client until it is refused keeps nobody from it but itself."""
    async with smart() as served:
        mine = dict(await served.headers(await served.register("mine", "system/*.rs")))
        other = dict(await served.headers(await served.register("other", "system/*.rs")))
        asked = await served.client.get("/fhir/$export", headers={**mine, "Prefer": "respond-async"})
        where = asked.headers["Content-Location"]
        told = [(await served.client.get(where, headers=other)).status_code for _ in range(20)]
        assert set(told) == {404, 429}
        assert (await served.client.get(where, headers=mine)).status_code == 202
