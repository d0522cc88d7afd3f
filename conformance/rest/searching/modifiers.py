"""Modifiers of all parameters. https://hl7.org/fhir/R4/search.html#modifiers"""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.searching.sample import observation, sample
from conformance.rest.searching.strings import named
from conformance.rest.server import Server, patient

MODIFIERS = "search.html#modifiers"


@rule(MODIFIERS, "gender:missing=true returns all the resources that don't have a value for gender.")
async def missing_is_true(server: Server) -> None:
    some = await sample(server, male=patient(gender="male"), none=patient())
    await some.finds("Patient?gender:missing=true", "none")


@rule(MODIFIERS, "gender:missing=false returns all the resources that have a value for gender.")
async def missing_is_false(server: Server) -> None:
    some = await sample(server, male=patient(gender="male"), none=patient())
    await some.finds("Patient?gender:missing=false", "male")


@rule(MODIFIERS, ":missing … for all parameters: references, dates, strings and quantities as well.")
async def missing_is_for_every_kind(server: Server) -> None:
    quantity = {"value": 1, "unit": "g"}
    whole = observation(subject={"reference": "Patient/x"}, effectiveDateTime="2020", valueQuantity=quantity)
    some = await sample(server, whole=whole, bare=observation(), named=named("Check"))
    for name in ("subject", "date", "value-quantity"):
        await some.finds(f"Observation?{name}:missing=true", "bare")
        await some.finds(f"Observation?{name}:missing=false", "whole")


@rule(MODIFIERS, "Servers SHALL reject any search request that contains a modifier that the server does not support.")
async def unknown_modifiers_are_refused(server: Server) -> None:
    some = await sample(server, person=patient(gender="male"))
    for query in ("gender:exact=male", "family:nonsense=Check", "birthdate:contains=2020", "_id:exact=1"):
        await some.refuses(f"Patient?{query}")


@rule(MODIFIERS, "… and lenient handling does not change that: a modifier is never ignored.")
async def unknown_modifiers_are_refused_to_the_lenient(server: Server) -> None:
    answer = await server.get("Patient?gender:nonsense=male", {"Prefer": "handling=lenient"})
    answer.expect(400, 501).outcome()
