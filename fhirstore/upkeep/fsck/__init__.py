"""fsck: does what lies in the bucket keep every promise of the format, and what can be put right?

It runs beside live servers, streams, and changes nothing unless told to. Read in this order: `finding` (all kinds of
damage), `record_checks` (what one record must say), `folders` (all resources, a page at a time), `resource` (one
resource), `census` (do versions and events agree, without looking up each), `events`, `transactions` (their records),
`other_keys` (everything else below the tenant's prefix), `repair`, `run` (the passes, and what makes them safe on a
live bucket).
"""
