"""Tokens: https://hl7.org/fhir/R4/search.html#token."""

from __future__ import annotations

from urllib.parse import quote

from conformance.rest.check import rule
from conformance.rest.searching.sample import Sample, coded, observation, sample
from conformance.rest.server import Json, Server, patient

TOKEN = "search.html#token"  # noqa: S105 - a page
LOINC = "http://loinc.org"
LOCAL = "http://acme.org/codes"


async def codes(server: Server) -> Sample:
    """Observations of one code in several systems."""
    return await sample(
        server,
        loinc=observation(code=coded((LOINC, "X1"))),
        local=observation(code=coded((LOCAL, "X1"))),
        bare=observation(code=coded(("", "X1"))),
        both=observation(code=coded((LOINC, "X2"), (LOCAL, "Y2"))),
    )


@rule(TOKEN, "[parameter]=[code]: matches irrespective of the value of the system property.")
async def a_code_in_any_system(server: Server) -> None:
    await (await codes(server)).finds("Observation?code=X1", "loinc", "local", "bare")


@rule(TOKEN, "[parameter]=[system]|[code]: the value of [code] matches, and the system property matches.")
async def a_code_in_one_system(server: Server) -> None:
    some = await codes(server)
    await some.finds(f"Observation?code={quote(f'{LOINC}|X1')}", "loinc")
    await some.finds(f"Observation?code={LOINC}|X1", "loinc")


@rule(TOKEN, "[parameter]=|[code]: … and the Coding/Identifier has no system property.")
async def a_code_without_a_system(server: Server) -> None:
    await (await codes(server)).finds("Observation?code=%7CX1", "bare")


@rule(TOKEN, "[parameter]=[system]|: any element where the value of [system] matches the system property.")
async def any_code_of_a_system(server: Server) -> None:
    await (await codes(server)).finds(f"Observation?code={quote(f'{LOCAL}|')}", "local", "both")


@rule(TOKEN, "A CodeableConcept matches by each of its codings.")
async def each_coding_counts(server: Server) -> None:
    some = await codes(server)
    await some.finds("Observation?code=X2", "both")
    await some.finds("Observation?code=Y2", "both")
    await some.finds(f"Observation?code={quote(f'{LOINC}|Y2')}")


@rule(TOKEN, "gender=male: for elements of type code, the system is implied and need not be given.")
async def a_code_element_by_its_code(server: Server) -> None:
    some = await sample(server, male=patient(gender="male"), female=patient(gender="female"), none=patient())
    await some.finds("Patient?gender=male", "male")
    await some.finds(f"Patient?gender={quote('http://hl7.org/fhir/administrative-gender|male')}", "male")


@rule(TOKEN, "gender:not=male: patients whose gender is not male, which includes those without a gender.")
async def not_includes_those_without(server: Server) -> None:
    some = await sample(server, male=patient(gender="male"), female=patient(gender="female"), none=patient())
    await some.finds("Patient?gender:not=male", "female", "none")
    await some.finds("Patient?gender:not=male,female", "none")


@rule(TOKEN, "active=true: booleans are tokens, true or false.")
async def booleans_are_tokens(server: Server) -> None:
    some = await sample(server, active=patient(active=True), inactive=patient(active=False))
    await some.finds("Patient?active=true", "active")
    await some.finds("Patient?active=false", "inactive")


@rule(TOKEN, "code:text=headache: the text associated with the code, its display or the text of the concept.")
async def text_looks_at_texts(server: Server) -> None:
    shown: Json = {"coding": [{"system": LOCAL, "code": "h", "display": "Headache, severe"}]}
    some = await sample(
        server,
        display=observation(code=shown),
        text=observation(code={"text": "headache"}),
        other=observation(code={"text": "fever"}),
    )
    await some.finds("Observation?code:text=headache", "display", "text")


@rule(TOKEN, "identifier:of-type=[system]|[code]|[value]: the type of the identifier, and its value.")
async def identifiers_of_a_type(server: Server) -> None:
    types = "http://terminology.hl7.org/CodeSystem/v2-0203"

    def identified(code: str, value: str) -> Json:
        kind = {"coding": [{"system": types, "code": code}]}
        return patient(identifier=[{"type": kind, "system": "urn:x", "value": value}])

    some = await sample(server, mr=identified("MR", "446053"), dl=identified("DL", "446053"), no=identified("MR", "1"))
    await some.finds(f"Patient?identifier:of-type={quote(f'{types}|MR|446053')}", "mr")


@rule(TOKEN, "A ContactPoint matches by its value; the system is not considered where none is given.")
async def contact_points_are_tokens(server: Server) -> None:
    mail = {"system": "email", "value": "anne@example.org"}
    phone = {"system": "phone", "value": "555-0100"}
    some = await sample(server, mail=patient(telecom=[mail]), phone=patient(telecom=[phone]))
    await some.finds("Patient?email=anne@example.org", "mail")
    await some.finds("Patient?telecom=555-0100", "phone")
    await some.finds("Patient?phone=anne@example.org")


@rule(TOKEN, "Matches are literal (e.g. case sensitive) unless the code system says otherwise.")
async def codes_are_case_sensitive(server: Server) -> None:
    await (await codes(server)).finds("Observation?code=x1")


@rule("search.html#combining", "code=a,b: values separated by commas are an OR.")
async def codes_in_a_list(server: Server) -> None:
    await (await codes(server)).finds(f"Observation?code={quote(f'{LOINC}|X1,{LOCAL}|Y2')}", "loinc", "both")


@rule("search.html#combining", "language=FR&language=NL: a repeated parameter is an AND.")
async def codes_of_one_resource(server: Server) -> None:
    def speaks(*languages: str) -> Json:
        return patient(communication=[{"language": coded(("urn:ietf:bcp:47", one))} for one in languages])

    some = await sample(server, both=speaks("fr", "nl"), one=speaks("fr"), other=speaks("nl", "en"))
    await some.finds("Patient?language=fr&language=nl", "both")
    await some.finds("Patient?language=fr,nl&language=en", "other")


@rule("search.html#token", "The value has a | in it: escaped as \\|, it is part of the code.")
async def an_escaped_bar_is_no_separator(server: Server) -> None:
    some = await sample(server, bar=observation(code=coded(("", "a|b"))), plain=observation(code=coded(("a", "b"))))
    await some.finds("Observation?code=a%5C%7Cb", "bar")
    await some.finds("Observation?code=a%7Cb", "plain")


@rule("search.html#escaping", "code=a\\,b: a comma after a backslash does not separate values.")
async def an_escaped_comma_is_no_separator(server: Server) -> None:
    some = await sample(
        server,
        comma=observation(code=coded(("", "a,b"))),
        a=observation(code=coded(("", "a"))),
        b=observation(code=coded(("", "b"))),
    )
    await some.finds("Observation?code=a%5C,b", "comma")
    await some.finds("Observation?code=a,b", "a", "b")


@rule("search.html#escaping", "code=a\\$b and code=a\\\\b: $ and the backslash are escaped alike.")
async def dollars_and_backslashes_are_escaped(server: Server) -> None:
    some = await sample(
        server, dollar=observation(code=coded(("", "a$b"))), slash=observation(code=coded(("", "a\\b")))
    )
    await some.finds("Observation?code=a%5C$b", "dollar")
    await some.finds("Observation?code=a%5C%5Cb", "slash")
