"""Stores around a store: `metered` and `counted` count requests, `faulty` injects faults."""
