"""Submissions in the deterministic simulator (`tests.simulation`): the real protocols, workers that die and zombies.

`working`: what a worker of a submission's job does, and the provider's stop; `schedule`: one seed, from its beginning
to the verdict; `mutants`: each rule switched off in turn. `python -m tests.submit.simulated` runs many seeds.
"""
