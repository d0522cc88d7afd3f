"""Conditional create, update, patch and delete of one resource: finds matches and acts on them, atomically.

| matches | create | update | patch | delete |
|---|---|---|---|---|
| none | created | created, under the id in the body if there is one | refused | nothing to do |
| one | left as it is | next version; an id in the body must be its id | next version | tombstone |
| several | refused | refused | refused | refused |

To create: 1 LIST (no match), 1 PUT (claim), 1 LIST (still no match), then as any create: 2 LIST + 7 PUT with one
identifier that has a system, 5 round trips. With a match: 1 LIST + 1 GET. To change the match: 1 LIST + 1 GET, then
4 PUT; the version that was found must still match when the next one is committed over it, otherwise the search is
repeated.

**Why no second resource is created.** Let A and B create on criteria that share an identifier value, and let both
commit, A first. Each held the claim on this value, one after the other. If B had held it first, A could have taken it
over only when B was committed or could not commit any more; so A held it first, and was committed when B took the claim
over. B searched for matches *after* it held the claim. A's index entry existed before A was committed, so B found A,
and did not create.

Criteria without identifier values have one claim, on the whole query (`search.conditional.condition`), and are searched
for in the local index: strongly, which finds A for the same reason, since its event existed before it was committed.
That excludes all who create on the same query, but nobody who creates on another one. To change or to refer to a match,
no claim is needed.

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
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.single import Decide, Draft, WriteResult, write
from fhirstore.errors import AccessDenied, Contention, FhirStoreError, IdTaken, InvalidResource, MultipleMatches
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.record import Record
from fhirstore.search.conditional.candidates import Match, find, find_or_be_sure
from fhirstore.search.conditional.identifying import Criteria
from fhirstore.search.conditional.unmet_criteria import refuse_undecided

DecideFor = Callable[[str], Decide]
"""Returns the decision for the resource with this id. It raises before anything is claimed or written."""


class _Moved(FhirStoreError):
    """The match does not match any more."""


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome, and the keys of the resource. `outcome.applied` False: the resource was left as it is."""

    keys: ResourceKeys
    outcome: WriteResult

    @property
    def unverified(self) -> Mapping[tuple[str, str], str] | None:
        """As in the outcome."""
        return self.outcome.unverified


def create_unless(keys: Keyspace, criteria: Criteria, decide_for: DecideFor, *, context: Context) -> Protocol[Done]:
    """Creates a resource under a fresh id, unless one matches, which is left as it is.

    Raises InvalidResource (criteria that a new resource cannot be tested for), MultipleMatches, what `decide_for`
    raises, Contention, Unavailable (nothing was written with any of these); WriteOutcomeUnknown.
    """
    for n in range(context.limits.attempts):
        match = _only((yield from find(keys, criteria)))
        if match is not None:
            record = match.base.record
            return Done(match.keys, WriteResult(record, record, applied=False, etag=match.base.etag))
        done = yield from _create(keys, criteria, decide_for, None, context, insist=n > 0)
        if done is not None:
            return done
        yield CONTENDED.jittered(n, context.ids)
    raise _contention()


def update_matching(
    keys: Keyspace,
    criteria: Criteria,
    decide_for: DecideFor,
    *,
    id: str | None,
    under_id: bool = True,
    context: Context,
) -> Protocol[Done]:
    """Makes the next version of the match; without a match, creates, under `id` (that of the body) if it is given.

    `under_id` False: it does not create under `id`, and does not look whether that is in use. Raises AccessDenied then.
    Raises InvalidResource (the match has another id), IdTaken (no match, but `id` is in use), and as `create_unless`.
    The resource that has `id` then does not meet the criteria, and the client may not know it. So it is not updated, in
    R4 either, where "the server treats the interaction as an Update as Create interaction (or rejects it …)"; R5 says
    409.
    """
    for n in range(context.limits.attempts):
        match = _only((yield from find(keys, criteria)))
        if match is None:
            if id is not None and not under_id:
                raise AccessDenied("Nothing matches, and this token may create only without an id of its own choice")
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
    """Makes the next version of the match. Returns None without one. Raises as `create_unless`."""
    for n in range(context.limits.attempts):
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
    """Makes the next version. Returns None where the resource does not match any more."""
    keys, criteria = match.keys, criteria.knowing(match.keys.id, match.version)

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
    """Claims, searches again, and creates in one attempt. Returns None where another resource matches or the attempt
    failed; nothing was written."""
    refuse_undecided(criteria)
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
    once = replace(context, limits=replace(context.limits, attempts=1))
    try:
        outcome = yield from write(resource, decide, context=once, remembered=base)
    except Contention:
        yield from _release(held, context)
        return None
    return Done(resource, outcome)


def _vacant(resource: ResourceKeys, context: Context) -> Protocol[Base]:
    """Returns the base of a create: nothing, or a tombstone. Raises IdTaken."""
    base = yield from base_for(resource, context)
    if base.shown is not None and not base.shown.deleted:
        raise taken(base.version)
    # A hold is over when `base_for` returns. Without it, the attempt builds on exactly the base that the claim names.
    return base if base.record is None else replace(base, record=replace(base.record, hold=0))


def taken(version: int) -> IdTaken:
    """Returns the error where no resource matches, and the id in the body is in use, in this version."""
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
