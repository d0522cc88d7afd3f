"""Stores around a store: `metered` and `read_counter` count requests, `faulty` injects faults."""
