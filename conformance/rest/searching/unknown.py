"""Parameters, values and codes that nobody knows. https://hl7.org/fhir/R4/search.html#errors"""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.searching.sample import sample
from conformance.rest.server import Server, patient

ERRORS = "search.html#errors"


@rule("search.html#Introduction", "Parameter names are case sensitive.")
async def names_are_case_sensitive(server: Server) -> None:
    await (await sample(server, person=patient())).refuses("Patient?Gender=male")


@rule(ERRORS, "A parameter of another type is none of this type.")
async def parameters_of_other_types_are_refused(server: Server) -> None:
    await (await sample(server, person=patient())).refuses("Patient?value-quantity=5")


@rule(ERRORS, "A parameter without a value cannot be understood.")
async def empty_values_do_not_match_everything(server: Server) -> None:
    some = await sample(server, male=patient(gender="male"))
    answer = await server.get(some.url("Patient?gender="))
    if answer.status == 200:  # a server may ignore it, and then the self link lacks it
        some.must_be("gender=", ["gender" if "gender=" in str(answer.link("self")) else ""], [""])
    else:
        answer.expect(400).outcome()


@rule(ERRORS, "A code that does not exist is no error: nothing matches it.")
async def unknown_codes_match_nothing(server: Server) -> None:
    some = await sample(server, male=patient(gender="male"))
    await some.finds("Patient?gender=no-such-gender")
