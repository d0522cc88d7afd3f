"""The rules about conditions by queries, each switched off in turn. See `mutants`.

Too rare to be met, and so without a mutant: another search where what the index named has changed since.
"""

from __future__ import annotations

from functools import partial

from fhirstore.bundles.guard import Exclusive
from fhirstore.interactions import conditional
from fhirstore.search.conditional import candidates
from fhirstore.search.conditional.identifying import Criteria
from tests.simulation.mutants.mutation import Mutant, getter
from tests.simulation.plots import ABOUT_QUERIES

_mutant = partial(Mutant, plot=ABOUT_QUERIES)

QUERY_MUTANTS: tuple[Mutant, ...] = (
    _mutant(
        "no claim on a query",
        getter(Criteria.values),
        "if not self.exclusive:",
        "if False:",
        within=300,
        shape="together",
    ),
    _mutant(
        "searched before the claim on a query only",
        conditional._create,
        "if held and (yield from find(keys, criteria, most=1)):",
        "if False:",
        within=300,
        shape="together",
    ),
    _mutant(
        "transaction searched before its claims on queries only",
        Exclusive.__call__,
        "if any(match.keys.id not in one.besides for match in matches):",
        "if False:",
        within=600,
        shape="in_transactions",
    ),
    _mutant(
        "what the index names not tested",
        candidates._look_up,
        "if criteria.knowing(id_, version).match(type_, id_, base.shown):",
        "if base.shown is not None:",
        within=1_500,
        shape="meanwhile",
    ),
    _mutant(
        "changed whatever the index named",
        conditional._change,
        "if not criteria.match(keys.type, keys.id, current):",
        "if False:",
        within=600,
        shape="meanwhile",
    ),
)
