"""The simulated world: time, the bucket, the network, machines, and the record of what was truly committed."""
