"""Searches: whole servers on a loop with virtual time, whose searches must show what is in the bucket.

`servers` is a server: the store as users have it, on the simulator's network, with a machine's index file. `asking`
knows the searches, and judges what they were answered; `scripts` is what clients do; `schedule` is one seed, from start
to verdict.
"""
