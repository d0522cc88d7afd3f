"""The sweeper: removes what attempts that died before their commit point left behind, and publishes a watermark.

Every event with t below the watermark belongs to a committed version; readers need not check whether it does. Read in
this order: `walk` (all events, oldest first, in bounded memory), `event_status` (was it committed?), `removal` (take an
orphan away without harming a live writer), `transactions` (records that nobody needs any more), `run` (one pass, under
a lease).

Not cleaned by it: entries of the identity index that nobody needs any more. Who looks something up takes away those it
meets; `fsck` with `repair` takes away all (the rule: `fhirstore.index.dead`). Claims stay: one small object
per value that something was ever created on (`fhirstore.format.keyspace`).
"""
