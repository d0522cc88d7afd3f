"""The sweeper: removes what attempts left that died before their commit point, and publishes a watermark.

Every event with t below the watermark belongs to a committed version, so readers need not check it. Read in this order:
`walk` (all events, oldest first, in bounded memory), `event_status` (was its version committed?), `removal` (removes an
orphan without harm to a live writer), `transactions` (removes intents and decisions that are no longer needed), `run`
(one pass, under a lease). Beside it, without a lease: `runs` (files that no run was sealed with), `uploads` (multipart
uploads that nobody goes on with) and `payloads` (contents that nothing refers to).

The sweeper does not remove dead entries of the identity index (`fhirstore.index.dead`): searches remove those that they
meet, and `fsck` with `repair` removes all. Claims stay: one small object per identifier value that a conditional create
ever used (`fhirstore.format`).
"""
