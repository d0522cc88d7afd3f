"""Copies one tenant's data into another store: embedded to S3, S3 to S3, and back.

**What is copied.** All committed versions of all resources, byte for byte, with both events and the entries of the
identity index of each, payloads with their references, and the decisions of the transactions of the last day, which
histories read; the stubs of purged resources; audit lines; sealed runs and the tombstones of deleted ones. Not copied,
because it belongs to the processes that use a store: orphans, fences, holds and intents (an intent is resolved as a
reader does it, so its version arrives final), aborted decisions, claims, the sweeper's state, and jobs with their
files. Nor is the audit trail: it says what was done in the source, in chains of the processes that served it; keep it
there, or copy its objects as they are. A record keeps its `base`, an ETag of the source. Nothing reads it once the
version is committed: only the slot above `current` is compared by it, and no such slot is copied.

**How it converges.** A *walk* lists all resources once and copies each. Then *passes* follow the history log: each
looks at all events and purges since the mark of the pass before, and copies the resources that changed. The mark of a
pass is the safe time at its begin, so nothing that was committed later can be missed. A pass that found nothing younger
than the safe time at its own begin proves that the copy is complete: whoever wrote before is settled. So servers may go
on while most is copied, and when they are stopped, the last pass takes seconds.

**Order.** Per resource: versions in order, each with its events and index entries, then `current.json`. A reader of the
target never meets a `current.json` whose version is missing. What was purged in the source is removed first.

**One copier.** `_copy/{tenant}.json` in the target is the state of the copy, and its lease (`fhirstore.jobs.lease`).
Every PUT carries a write window that ends with the lease, so a copier that lost it, or was killed, changes nothing
after another one has begun. A store with an unfinished copy is refused by servers. `state` has the phases, `resource`
the copy of one resource, `run` the passes, `verify` the comparison.
"""
