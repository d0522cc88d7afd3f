"""Dates: https://hl7.org/fhir/R4/search.html#date, with the examples of https://hl7.org/fhir/R4/search.html#prefix."""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.searching.sample import Sample, observation, sample
from conformance.rest.server import Json, Server, patient

PREFIX = "search.html#prefix"
DATE = "search.html#date"


def on(date: str) -> Json:
    """An Observation of this time."""
    return observation(effectiveDateTime=date)


def during(start: str = "", end: str = "") -> Json:
    """An Observation of this period."""
    bounds = {"start": start, "end": end}
    return observation(effectivePeriod={name: value for name, value in bounds.items() if value})


async def january(server: Server) -> Sample:
    """The times of the page's examples around 14 January 2013."""
    return await sample(
        server,
        midnight=on("2013-01-14T00:00:00Z"),
        ten=on("2013-01-14T10:00:00Z"),
        next=on("2013-01-15T00:00:00Z"),
        day=on("2013-01-14"),
    )


async def march(server: Server) -> Sample:
    """The periods of the page's examples around 14 March 2013."""
    return await sample(
        server,
        from_january=during("2013-01-21"),
        from_15th=during("2013-03-15"),
        to_january=during("", "2013-01-21"),
    )


@rule(PREFIX, "eq2013-01-14: 2013-01-14T00:00 and 2013-01-14T10:00 match; 2013-01-15T00:00 does not match.")
async def eq_is_within_the_range(server: Server) -> None:
    await (await january(server)).finds("Observation?date=eq2013-01-14", "midnight", "ten", "day")


@rule(PREFIX, "If no prefix is present, the prefix eq is assumed.")
async def no_prefix_is_eq(server: Server) -> None:
    await (await january(server)).finds("Observation?date=2013-01-14", "midnight", "ten", "day")


@rule(PREFIX, "ne2013-01-14: 2013-01-15T00:00 matches; 2013-01-14T00:00 and 2013-01-14T10:00 do not.")
async def ne_is_the_rest(server: Server) -> None:
    await (await january(server)).finds("Observation?date=ne2013-01-14", "next")


@rule(PREFIX, "lt2013-01-14T10:00: 2013-01-14 matches, because it includes the part of 14-Jan 2013 before 10am.")
async def lt_takes_what_overlaps_below(server: Server) -> None:
    await (await january(server)).finds("Observation?date=lt2013-01-14T10:00:00Z", "midnight", "day")


@rule(PREFIX, "gt2013-01-14T10:00: 2013-01-14 matches, because it includes the part of 14-Jan 2013 after 10am.")
async def gt_takes_what_overlaps_above(server: Server) -> None:
    await (await january(server)).finds("Observation?date=gt2013-01-14T10:00:00Z", "next", "day")


@rule(PREFIX, "ge2013-03-14: “from 21-Jan 2013 onwards” is included because that period may include times after it.")
async def ge_takes_open_periods(server: Server) -> None:
    await (await march(server)).finds("Observation?date=ge2013-03-14", "from_january", "from_15th")


@rule(PREFIX, "le2013-03-14: “from 21-Jan 2013 onwards” is included because that period may include times before it.")
async def le_takes_open_periods(server: Server) -> None:
    await (await march(server)).finds("Observation?date=le2013-03-14", "from_january", "to_january")


@rule(PREFIX, "sa2013-03-14: “from 15-March 2013 onwards” is included because that period starts after 14-March 2013.")
async def sa_starts_after(server: Server) -> None:
    await (await march(server)).finds("Observation?date=sa2013-03-14", "from_15th")


@rule(PREFIX, "eb2013-03-14: “to 21-Jan 2013” is included because that period ends before 14-Mar 2013.")
async def eb_ends_before(server: Server) -> None:
    await (await march(server)).finds("Observation?date=eb2013-03-14", "to_january")


@rule(PREFIX, "ap2013-03-14: 14-March 2013 and “from 21-Jan 2013 onwards” match, since they overlap with it.")
async def ap_is_near(server: Server) -> None:
    some = await sample(server, day=on("2013-03-14"), january=during("2013-01-21"), old=on("1950-01-01"))
    await some.finds("Observation?date=ap2013-03-14", "day", "january")


@rule(DATE, "The date parameter has the format yyyy-mm-ddThh:mm:ss…; any degree of precision can be provided.")
async def any_precision_is_taken(server: Server) -> None:
    some = await sample(server, june=patient(birthDate="1990-06-15"), july=patient(birthDate="1990-07-15"))
    for text in ("1990-06-15", "1990-06"):
        await some.finds(f"Patient?birthdate={text}", "june")
    await some.finds("Patient?birthdate=1990", "june", "july")


@rule(DATE, "eq: the range of the search value fully contains the range of the target value.")
async def eq_is_containment(server: Server) -> None:
    some = await sample(server, year=patient(birthDate="1990"), day=patient(birthDate="1990-06-15"))
    await some.finds("Patient?birthdate=1990-06", "day")
    await some.finds("Patient?birthdate=1990", "year", "day")


@rule(DATE, "When resources might not have a time zone …; where both have one, the same instant matches.")
async def time_zones_are_compared_as_instants(server: Server) -> None:
    some = await sample(server, paris=on("2013-01-14T11:00:00+01:00"), london=on("2013-01-14T11:00:00Z"))
    await some.finds("Observation?date=2013-01-14T10:00:00Z", "paris")
    await some.finds("Observation?date=2013-01-14T11:00:00%2B01:00", "paris")


@rule("search.html#combining", "date=ge…&date=lt…: both have to be met: between the two.")
async def two_bounds_make_an_interval(server: Server) -> None:
    some = await sample(server, before=on("2012-12-31"), inside=on("2013-01-10"), after=on("2013-02-01"))
    await some.finds("Observation?date=ge2013-01-01&date=lt2013-02-01", "inside")


@rule("search.html#prefix", "Prefixes apply to each of several values: an OR of comparisons.")
async def prefixes_belong_to_each_value(server: Server) -> None:
    some = await sample(server, before=on("2012-12-31"), inside=on("2013-01-10"), after=on("2013-02-01"))
    await some.finds("Observation?date=lt2013-01-01,ge2013-02-01", "before", "after")


@rule(DATE, "A value that is no date is an error.")
async def what_is_no_date_is_refused(server: Server) -> None:
    for text in ("yesterday", "2013-13-01", "2013-02-30", "zz2013"):
        (await server.get(f"Patient?birthdate={text}")).expect(400).outcome()


@rule("search.html#lastUpdated", "_lastUpdated: the search parameter selects by when they were changed, with prefixes.")
async def last_updated_is_a_date(server: Server) -> None:
    some = await sample(server, made=patient())
    await some.finds("Patient?_lastUpdated=gt2010-10-01", "made")
    await some.finds("Patient?_lastUpdated=lt2010-10-01")
