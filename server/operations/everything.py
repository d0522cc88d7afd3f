"""$everything: https://hl7.org/fhir/R4/patient-operation-everything.html, and that of Encounter.

A search of the compartment: the answer, its pages and its form are those of a search.
"""

from __future__ import annotations

from starlette.responses import Response

from server.http.call import Call
from server.interactions.search import search_answer
from server.operations.parameters import operation_pairs


async def everything_of_patient(call: Call) -> Response:
    """GET and POST [base]/Patient/[id]/$everything: the patient, and all that belongs to them."""
    return await search_answer(call, f"Patient/{call.id}/$everything", await operation_pairs(call))


async def everything_of_patients(call: Call) -> Response:
    """GET and POST [base]/Patient/$everything: all patients, and all that belongs to them."""
    return await search_answer(call, "Patient/$everything", await operation_pairs(call))


async def everything_of_encounter(call: Call) -> Response:
    """GET and POST [base]/Encounter/[id]/$everything: the encounter, and all that belongs to it."""
    return await search_answer(call, f"Encounter/{call.id}/$everything", await operation_pairs(call))
