"""$lastn: https://hl7.org/fhir/R4/observation-operation-lastn.html.

A search of Observations, of which the newest of each code are shown; the form of the answer is that of a search.
"""

from __future__ import annotations

from starlette.responses import Response

from server.http.call import Call
from server.interactions.search import search_answer
from server.operations.parameters import operation_pairs


async def last_observations(call: Call) -> Response:
    """GET and POST [base]/Observation/$lastn: the newest Observations of each code."""
    return await search_answer(call, "Observation/$lastn", await operation_pairs(call))
