"""A strong search of the local index as a step of a protocol that writes.

It finds whatever was acknowledged before it was asked, by any process, also where the other searches of the store are
content with less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.messages import Consult, Protocol, Told
from fhirstore.errors import Unavailable
from fhirstore.indexing.indexer import Indexer
from fhirstore.search.conditional.identifying import Lookup
from fhirstore.search.criteria.criterion import Query
from fhirstore.search.criteria.limits import Limits
from fhirstore.search.criteria.terminology import Stored, with_codes
from fhirstore.search.pages.finding import names_of


def lookups(indexer: Indexer, limits: Limits, *, stored: Stored, now: int) -> Callable[[Query], Lookup]:
    """Returns what makes lookups of searches. `limits`: what may be found. `stored`: reads value sets and code systems.
    `now`: epoch ms, for the prefix `ap`.

    A lookup costs 1 LIST, shared with others of the same moment. It raises AccessDenied, InvalidResource (too-costly),
    Unsupported, IndexBehind, Unavailable.
    """

    def lookup_of(query: Query) -> Lookup:
        async def ask(most: int) -> Sequence[tuple[str, int]]:
            await indexer.ensure(strong=True)
            asked = await with_codes(query, indexer.catalogue.definitions, stored)
            names = await indexer.read(lambda reader: names_of(reader, asked, most, now=now, limits=limits))
            return [(name.id, name.version) for name in names]

        def lookup(most: int) -> Protocol[Sequence[tuple[str, int]]]:
            for n in range(UNANSWERED.tries):
                (reply,) = yield (Consult(lambda: ask(most)),)
                if isinstance(reply, Told):
                    if reply.error is not None:
                        raise reply.error
                    return cast(Sequence[tuple[str, int]], reply.answer)
                yield UNANSWERED.pause(n)
            raise Unavailable("The search index does not answer; try again later")

        return lookup

    return lookup_of
