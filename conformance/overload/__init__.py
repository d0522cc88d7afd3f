"""Two tenants on one server, one of which floods it: what becomes of the other, of memory, and of acknowledged writes.

The flood comes from a process of its own (flood.py), so that it does not slow down the clock of the quiet tenant
(quiet.py). Afterwards the server is stopped, started again and asked for everything that it acknowledged (run.py).
"""
