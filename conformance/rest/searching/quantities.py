"""Numbers, quantities and composites: https://hl7.org/fhir/R4/search.html#number, …#quantity, …#composite."""

from __future__ import annotations

from urllib.parse import quote

from conformance.rest.check import rule
from conformance.rest.searching.sample import Sample, coded, observation, sample
from conformance.rest.server import Json, Server

NUMBER = "search.html#number"
QUANTITY = "search.html#quantity"
COMPOSITE = "search.html#composite"
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"


def risk(probability: float) -> Json:
    """A RiskAssessment with a prediction of this probability."""
    return {
        "resourceType": "RiskAssessment",
        "status": "final",
        "subject": {"display": "somebody"},
        "prediction": [{"probabilityDecimal": probability}],
    }


async def hundreds(server: Server) -> Sample:
    """Numbers around 100."""
    return await sample(
        server, lower=risk(99.4), half=risk(99.5), hundred=risk(100), upper=risk(100.4), above=risk(100.5)
    )


@rule(NUMBER, "[parameter]=100: values in the range [99.5 … 100.5).")
async def a_number_has_the_precision_it_is_written_in(server: Server) -> None:
    await (await hundreds(server)).finds("RiskAssessment?probability=100", "half", "hundred", "upper")


@rule(NUMBER, "[parameter]=100.00: values in the range [99.995 … 100.005).")
async def more_digits_are_more_precise(server: Server) -> None:
    await (await hundreds(server)).finds("RiskAssessment?probability=100.00", "hundred")


@rule(NUMBER, "[parameter]=1e2: values in the range [95 … 105).")
async def exponents_have_few_digits(server: Server) -> None:
    some = await sample(server, low=risk(94.9), at=risk(95), high=risk(104.9), over=risk(105))
    await some.finds("RiskAssessment?probability=1e2", "at", "high")


@rule(NUMBER, "[parameter]=lt100: values that are less than exactly 100.")
async def lt_is_exact(server: Server) -> None:
    await (await hundreds(server)).finds("RiskAssessment?probability=lt100", "lower", "half")


@rule(NUMBER, "[parameter]=le100: values that are less or equal to exactly 100.")
async def le_is_exact(server: Server) -> None:
    await (await hundreds(server)).finds("RiskAssessment?probability=le100", "lower", "half", "hundred")


@rule(NUMBER, "[parameter]=gt100: values that are greater than exactly 100.")
async def gt_is_exact(server: Server) -> None:
    await (await hundreds(server)).finds("RiskAssessment?probability=gt100", "upper", "above")


@rule(NUMBER, "[parameter]=ge100: values that are greater or equal to exactly 100.")
async def ge_is_exact(server: Server) -> None:
    await (await hundreds(server)).finds("RiskAssessment?probability=ge100", "hundred", "upper", "above")


@rule(NUMBER, "[parameter]=ne100: values that are not in the range 99.5 to 100.5.")
async def ne_leaves_the_range_out(server: Server) -> None:
    await (await hundreds(server)).finds("RiskAssessment?probability=ne100", "lower", "above")


@rule(NUMBER, "A value that is no number is an error.")
async def what_is_no_number_is_refused(server: Server) -> None:
    (await server.get("RiskAssessment?probability=many")).expect(400).outcome()


def weighs(value: float, unit: str = "mg", system: str = UCUM) -> Json:
    """An Observation whose value is this quantity."""
    coded_unit = {"system": system, "code": unit} if system else {}
    return observation(valueQuantity={"value": value, "unit": unit, **coded_unit})


async def weights(server: Server) -> Sample:
    """Quantities around 5.4 mg."""
    return await sample(
        server,
        exact=weighs(5.4),
        near=weighs(5.44),
        more=weighs(6),
        grams=weighs(5.4, "g"),
        words=weighs(5.4, "mg", ""),
    )


@rule(QUANTITY, "value-quantity=5.4|http://unitsofmeasure.org|mg: a value of 5.4(+/-0.05) mg where mg is UCUM.")
async def a_quantity_in_a_unit_of_a_system(server: Server) -> None:
    some = await weights(server)
    await some.finds(f"Observation?value-quantity={quote(f'5.4|{UCUM}|mg')}", "exact", "near")


@rule(QUANTITY, "value-quantity=5.4||mg: where the unit, either the code or the stated human unit, is “mg”.")
async def a_quantity_in_a_unit(server: Server) -> None:
    await (await weights(server)).finds(f"Observation?value-quantity={quote('5.4||mg')}", "exact", "near", "words")


@rule(QUANTITY, "value-quantity=5.4: all the observations with a value of 5.4(+/-0.05), irrespective of the unit.")
async def a_quantity_in_any_unit(server: Server) -> None:
    await (await weights(server)).finds("Observation?value-quantity=5.4", "exact", "near", "grams", "words")


@rule(
    QUANTITY,
    "value-quantity=le5.4|http://unitsofmeasure.org|mg: less than or equal to 5.4 mg exactly.",
)
async def quantities_have_prefixes(server: Server) -> None:
    some = await weights(server)
    await some.finds(f"Observation?value-quantity={quote(f'le5.4|{UCUM}|mg')}", "exact")
    await some.finds(f"Observation?value-quantity={quote(f'gt5.4|{UCUM}|mg')}", "near", "more", "grams")


@rule(QUANTITY, "value-quantity=5.40e-3|http://unitsofmeasure.org|g: the same value by a canonical form of the unit.")
async def units_of_ucum_convert(server: Server) -> None:
    some = await weights(server)
    await some.finds(f"Observation?value-quantity={quote(f'5.40e-3|{UCUM}|g')}", "exact")


@rule(QUANTITY, "value-quantity=ap5.4|http://unitsofmeasure.org|mg: the value is about 5.4 mg.")
async def quantities_may_be_approximate(server: Server) -> None:
    some = await weights(server)
    await some.finds(f"Observation?value-quantity={quote(f'ap5.4|{UCUM}|mg')}", "exact", "near")


def measured(code: str, value: float) -> Json:
    """An Observation of a code with a quantity in mmol."""
    return observation(
        code=coded((LOINC, code)), valueQuantity={"value": value, "unit": "mmol", "system": UCUM, "code": "mmol"}
    )


@rule(COMPOSITE, "code-value-quantity=http://loinc.org|2823-3$gt5.4|http://unitsofmeasure.org|mmol: joined by $.")
async def a_code_and_its_quantity(server: Server) -> None:
    some = await sample(server, high=measured("2823-3", 6), low=measured("2823-3", 5), other=measured("2951-2", 6))
    query = quote(f"{LOINC}|2823-3$gt5.4|{UCUM}|mmol", safe="$")
    await some.finds(f"Observation?code-value-quantity={query}", "high")


@rule(COMPOSITE, "component-code-value-quantity: both parts belong to the same component.")
async def the_parts_of_a_composite_belong_together(server: Server) -> None:
    def pressures(systolic: float, diastolic: float) -> Json:
        parts = (("8480-6", systolic), ("8462-4", diastolic))
        return observation(
            component=[{"code": coded((LOINC, code)), "valueQuantity": {"value": value}} for code, value in parts]
        )

    some = await sample(server, high=pressures(170, 90), low=pressures(100, 165))
    await some.finds("Observation?component-code-value-quantity=8480-6$gt160", "high")


@rule(COMPOSITE, "Composite values are combined by , and & as others are.")
async def composites_in_a_list(server: Server) -> None:
    some = await sample(server, one=measured("2823-3", 6), two=measured("2951-2", 6), three=measured("1-1", 6))
    await some.finds("Observation?code-value-quantity=2823-3$6,2951-2$6", "one", "two")
