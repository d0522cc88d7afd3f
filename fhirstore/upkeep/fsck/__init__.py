"""fsck: checks every invariant of the stored data, and repairs what can be repaired.

It runs beside live servers, in bounded memory, and changes nothing unless told to. Read in this order: `finding` (all
kinds of damage), `record_checks` (one record), `folders` (all resources, a page at a time), `resource` (one resource),
`identity_index`, `census` (compares versions and events without looking up each), `events`, `transactions` (their
decisions), `runs` (sealed runs), `other_keys` (everything else below the tenant's prefix), `repair`, `run` (the passes,
and what makes them safe on a live bucket).
"""
