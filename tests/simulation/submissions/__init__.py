"""Submissions in the simulator: the real protocols, workers that die and zombies, and a provider that stops.

`working`: what a worker of a submission's job does, and the provider's stop; `schedule`: one seed, from its beginning
to the verdict.
"""
