"""Exports in the simulator: the steps that workers take, over a network that fails, beside writers that do not wait."""
