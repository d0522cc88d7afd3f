"""The deterministic simulator: the real protocol code against a store, a network and machines that fail by seed.

Read in this order:

1. `model/`: the world that the protocol runs in. `world` (virtual time), `bucket` (what S3 does), `network` (what
   happens on the way), `process` and `task` (machines that crash, stop and have wrong clocks, and their work), `truth`
   (what was committed, checked at every change), with `decisions` for transactions, `identities` for identifiers, and
   `runs` for sealed runs, whose files come by `uploads` in parts.
2. `scenarios/`: what clients do in it. `operations` (reads and writes, and what their callers may be told), `looking`
   (histories), `bundled` (transactions), `identified` (conditional interactions), `upkeep` (sweep and purge); then
   `scenario`, which makes machines, work and weather out of a seed, with `transactions` and `identifying` beside it.
   `sealed` and `sealing` are both for sealed runs, a plot of its own.
3. `schedule`: one seed, from start to verdict. `jobs/`, `exports/`, `submissions/`, `searches/`: the same for each.
   `plots`: all that schedules can be about.
4. `mutants/`: the rules of the protocol, each switched off in turn; the simulator must notice.
5. `run`: many seeds and all mutants, on several cores. `python -m tests.simulation` is its command line.

Imports point from the end of this list to its beginning. Nothing sleeps, does I/O or depends on a hash seed: one seed
always gives the same schedule.
"""
