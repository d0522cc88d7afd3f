"""The rules of searches, each switched off in turn.

Not needed by what clients are promised, and so without a mutant: what a strong search finds in the log need not be
queued by its own process, and an index that is ready early reads the rest of the log before it answers.
"""

from __future__ import annotations

from functools import partial

from fhirstore.engine import Engine
from fhirstore.index.local.apply import Applying
from fhirstore.index.local.file import IndexFile
from fhirstore.indexing import committed
from fhirstore.indexing.building import Building
from fhirstore.indexing.catching_up import CatchingUp
from fhirstore.indexing.indexer import Indexer
from fhirstore.indexing.latest import Latest
from fhirstore.objects import base
from fhirstore.search.pages import answers, snapshot
from fhirstore.search.plans.order import Order
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.plots import ABOUT_SEARCHES

_mutant = partial(Mutant, plot=ABOUT_SEARCHES, within=200)

_LOG = (
    _mutant(
        "tail left out", CatchingUp._take_in, "if not listing.complete:", "listing = Listing((), True, 0)\n    if 0:"
    ),
    _mutant("index watermark too early", CatchingUp._take_in, "safe_time(self.context)", "self.context.now()"),
    _mutant(
        "log read up to now",
        Building._listed,
        "safe, now = safe_time(self._context)",
        "safe, now = self._context.now()",
    ),
    _mutant(
        "answered by an earlier run", Latest.run, "asyncio.shield(task)", "asyncio.shield(self._running)", begin=70
    ),
    _mutant(
        "other parts of a transaction not read",
        committed._Reading.read,
        "yield from self._parts(transactions - self._decided)",
        "[]",
    ),
    _mutant("writes not looked at", CatchingUp.has_all, "self.place.objects.writes() == known.writes", "True"),
    _mutant(
        "writes looked at after the listing",
        CatchingUp._take_in,
        "known.writes, known.listed = writes, now",
        "known.writes, known.listed = self.place.objects.writes(), now",
    ),
    _mutant(
        "transactions below not met",
        committed._Reading.read,
        "yield from self._below(young)",
        "set()",
        shape="bundled",
    ),
    _mutant("young taken for settled", committed._Reading.read, "if seen.record.t >= self.safe:", "if False:"),
)

_OWN = (
    _mutant(
        "own write not queued", Engine._tell_index, "self.indexes.wrote(place.tenant, records)", "pass", shape="nearby"
    ),
    _mutant(
        "one part of a transaction queued",
        Engine._tell_index,
        "tenant, records",
        "tenant, [*records][:1]",
        shape="nearby",
    ),
)

_ROWS = (
    _mutant(
        "an older version applied",
        Applying._is_newer,
        "known.version < change.version + (",
        "True or (",
        shape="shared",
    ),
    _mutant("ended rows not kept", Applying._end_rows, "if self._keep_old and rows:", "if False:", shape="paged"),
    _mutant("ended resources not kept", Applying._keep, "if self._keep_old:", "if False:", shape="paged"),
)

_PAGES = (
    _mutant("page not as of the first", snapshot.page, "seq=seq, after", "seq=reader.seq, after", shape="paged"),
    _mutant(
        "page before not as of the first", snapshot.page, "seq=seq, before", "seq=reader.seq, before", shape="paged"
    ),
    _mutant(
        "page of a moment that is not kept",
        snapshot._moment,
        "not reader.oldest <= seq <= reader.seq or reader.at(seq) != at",
        "False",
        shape="paged",
    ),
    _mutant(
        "another index goes on before the moment",
        snapshot._moment,
        "reader.first_since(cursor.t)",
        "max(reader.first_since(cursor.t) - 2, reader.oldest)",
        shape="abroad",
    ),
    _mutant(
        "born when an attempt died",
        committed.first_times,
        "return times",
        "return {name: first.t for name, first in firsts.items() if name not in records} | times",
        begin=39_491,
        within=39_500,
        shape="abroad",
    ),
    _mutant(
        "a closed file told to clients",
        Indexer._flush,
        "with suppress(IndexDamaged):",
        "if True:",
        begin=50_365,
        within=50_370,
        shape="nearby",
    ),
    _mutant(
        "clocks taken for equal",
        base.by_any_clock,
        "2 * objects.clock_error",
        "0",
        begin=150,
        within=1_000,
        shape="abroad",
    ),
    _mutant("pruned too early", IndexFile.prune, "made >= ?", "made >= ? + 6000", shape="paged"),
    _mutant(
        "last match of a page repeated",
        Order.beyond,
        "{rid} {'<' if self.backwards else '>'}",
        "{rid} {'<=' if self.backwards else '>='}",
        shape="paged",
    ),
    _mutant("current content shown", answers._records, "record.version > name.version", "False", shape="paged"),
)

SEARCH_MUTANTS: tuple[Mutant, ...] = (*_LOG, *_OWN, *_ROWS, *_PAGES)
