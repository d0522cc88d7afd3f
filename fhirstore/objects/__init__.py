"""Object storage: one protocol (`base`), three stores, wrappers, and the probe that tells a safe store from an unsafe one."""
