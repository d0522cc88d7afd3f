"""The deterministic simulator: the real protocol code against a store, a network and machines that fail by seed.

Read in this order: `world` (virtual time), `bucket` (what S3 does), `network` (what happens on the way), `process`
(machines that crash, stop and misjudge the time), `operations` (what clients want, run by `fhirstore.commit`'s own
generators, and what they may be told), `truth` (what was committed, checked at every apply), `scenario` (what a seed
stands for), `schedule` (one seed, from start to verdict), `mutants` (the rules, switched off one by one), `run`.

Nothing here sleeps, does I/O or depends on a hash seed: a seed is a schedule, for ever.
"""
