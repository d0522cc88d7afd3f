"""Conditional create, update, patch and delete of one resource: look, and act on what is there, as if at one instant.

| matches | create | update | patch | delete |
|---|---|---|---|---|
| none | created | created, under the id in the body if there is one | refused | nothing to do |
| one | left as it is | next version; an id in the body must be its id | next version | tombstone |
| several | refused | refused | refused | refused |

Creating: 1 LIST (nothing found), 1 PUT (claim), 1 LIST (still nothing), then as any create: 2 LIST + 7 PUT with one
identifier that has a system, 5 round trips. Found: 1 LIST + 1 GET. Changing what matches: 1 LIST + 1 GET, then 4 PUT;
the version that was found must still match when the next one is committed over it, or else one looks again.

**Why there is never a second one.** Let A and B create on conditions that share an identifier value, both commit, A
first. Both held the claim on this value, one after the other. Had B held it first, A could have taken it over only
when B was committed or could not commit any more; so A was first, and when B took the claim over, A was committed. B
looked for matches *after* it held the claim. A's index entry was there before A was committed, so B found A, and did
not create.

So a condition to create on must name ids or values, which can be claimed. `system|` names none: its claim would have
to be taken by all who create anything with an identifier of the system, one after the other (`criteria.for_creation`).
To change or to refer to what matches no claim is needed, and any criteria will do.

https://hl7.org/fhir/R4/http.html#ccreate · #cond-update · #concurrency · #3.1.0.7.1 ("No matches or One Match: The
server performs an ordinary delete on the matching resource")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fhirstore.commit.attempt import NOTHING, Base
from fhirstore.commit.backoff import CONTENDED
from fhirstore.commit.claim import Claim, Held, release, take
from fhirstore.commit.intents import base_for
from fhirstore.commit.messages import Protocol
from fhirstore.commit.rules import Context
from fhirstore.commit.single import Decide, Draft, Outcome, write
from fhirstore.errors import Contention, FhirStoreError, IdTaken, InvalidResource, MultipleMatches
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.record import Record
from fhirstore.search.candidates import Match, find, find_or_be_sure
from fhirstore.search.criteria import Criteria, for_creation

DecideFor = Callable[[str], Decide]
"""Given the id, what to do about a resource. What it raises is raised before anything is claimed or written."""


class _Moved(FhirStoreError):
    """What matched does not match any more."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it, and of which resource. `outcome.applied` False: it was left as it is."""

    keys: ResourceKeys
    outcome: Outcome

    @property
    def unverified(self) -> Mapping[tuple[str, str], str] | None:
        """As in the outcome."""
        return self.outcome.unverified


def create_unless(keys: Keyspace, criteria: Criteria, decide_for: DecideFor, *, context: Context) -> Protocol[Done]:
    """Create under a fresh id, unless something matches: then that one, as it is.

    Raises InvalidResource (criteria that cannot be claimed), MultipleMatches, what `decide_for` raises, Contention,
    Unavailable: nothing was written; WriteOutcomeUnknown.
    """
    for_creation(criteria)
    for n in range(context.rules.attempts):
        match = _only((yield from find(keys, criteria)))
        if match is not None:
            record = match.base.record
            return Done(match.keys, Outcome(record, record, applied=False, etag=match.base.etag))
        done = yield from _create(keys, criteria, decide_for, None, context, insist=n > 0)
        if done is not None:
            return done
        yield CONTENDED.jittered(n, context.ids)
    raise _contention()


def update_matching(
    keys: Keyspace, criteria: Criteria, decide_for: DecideFor, *, id: str | None, context: Context
) -> Protocol[Done]:
    """Make the next version of what matches; where nothing does, create, under `id` (that in the body) if there is one.

    Raises InvalidResource (another id matches), IdTaken (nothing matches, but `id` is taken), and as `create_unless`.
    What is there under `id` does not meet the criteria, and the request does not show that its client knows it. So it
    is not updated, in R4 either, where "the server treats the interaction as an Update as Create interaction (or
    rejects it …)"; R5 says 409.
    """
    for_creation(criteria)
    for n in range(context.rules.attempts):
        match = _only((yield from find(keys, criteria)))
        if match is None:
            done = yield from _create(keys, criteria, decide_for, id, context, insist=n > 0)
        elif id is not None and id != match.keys.id:
            raise InvalidResource("The id in the body is not that of the resource which matches", code="invalid")
        else:
            done = yield from _change(match, criteria, decide_for(match.keys.id), context)
        if done is not None:
            return done
        yield CONTENDED.jittered(n, context.ids)
    raise _contention()


def change_matching(keys: Keyspace, criteria: Criteria, decide: Decide, *, context: Context) -> Protocol[Done | None]:
    """Make the next version of what matches; None where nothing does. Raises as `create_unless`."""
    for n in range(context.rules.attempts):
        match = _only((yield from find_or_be_sure(keys, criteria)))
        if match is None:
            return None
        done = yield from _change(match, criteria, decide, context)
        if done is not None:
            return done
        yield CONTENDED.jittered(n, context.ids)
    raise _contention()


def _only(matches: Sequence[Match]) -> Match | None:
    if len(matches) > 1:
        raise MultipleMatches("The criteria match several resources; make them more selective")
    return matches[0] if matches else None


def _change(match: Match, criteria: Criteria, decide: Decide, context: Context) -> Protocol[Done | None]:
    """None: it does not match any more."""
    keys = match.keys

    def decide_while_matching(current: Record | None) -> Draft | None:
        if not criteria.match(keys.type, keys.id, current):
            raise _Moved
        return decide(current)

    remembered = match.base if match.base.etag is not None else None
    try:
        outcome = yield from write(keys, decide_while_matching, context=context, remembered=remembered)
    except _Moved:
        return None
    return Done(keys, outcome)


def _create(
    keys: Keyspace, criteria: Criteria, decide_for: DecideFor, id: str | None, context: Context, *, insist: bool
) -> Protocol[Done | None]:
    """Claim, look again, create by one attempt. None: others were there, or it failed; nothing was written."""
    type_ = criteria.type or ""
    resource = keys.resource(type_, id or context.ids.new())
    decide = decide_for(resource.id)
    base = NOTHING if id is None else (yield from _vacant(resource, context))
    wanted = Claim(context.ids.new(), resource.id, base.etag, base.version + 1)
    held: list[Held] = []
    for value in criteria.values:
        claim = yield from take(keys, type_, value, wanted, context=context, insist=insist)
        if claim is None:
            yield from _release(held, context)
            return None
        held.append(claim)
    if held and (yield from find(keys, criteria, most=1)):
        yield from _release(held, context)
        return None
    once = replace(context, rules=replace(context.rules, attempts=1))
    try:
        outcome = yield from write(resource, decide, context=once, remembered=base)
    except Contention:
        yield from _release(held, context)
        return None
    return Done(resource, outcome)


def _vacant(resource: ResourceKeys, context: Context) -> Protocol[Base]:
    """What to create upon: nothing, or a tombstone. Raises IdTaken."""
    base = yield from base_for(resource, context)
    if base.shown is not None and not base.shown.deleted:
        raise taken(base.version)
    # A hold is over when `base_for` returns; without it, the attempt builds on exactly what the claim names.
    return base if base.record is None else replace(base, record=replace(base.record, hold=0))


def taken(version: int) -> IdTaken:
    """What is raised where nothing matches, and the id in the body has a resource, in this version."""
    return IdTaken(
        "Nothing matches the criteria, but a resource has the id in the body already; to update that one, PUT it to"
        " [type]/[id], with If-Match",
        current=version,
    )


def _release(held: Sequence[Held], context: Context) -> Protocol[None]:
    for claim in held:
        yield from release(claim, context=context)


def _contention() -> Contention:
    return Contention("Others kept writing what the criteria match; nothing was written, try again")
