"""Stores around a store: one counts requests, one injects faults."""
