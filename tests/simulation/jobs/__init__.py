"""The protocol of jobs in the simulator: creation, claims, heartbeats, cancel, the end, removal.

`truth` watches the bucket, `operations` are what servers, workers and administrators do, `schedule` plays one seed.
"""
