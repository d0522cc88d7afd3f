"""Object storage: one protocol (`base`), three stores, wrappers, and the probe that tells safe stores from unsafe."""
