"""Bundles of type batch and transaction: planned in pure functions, then committed.

entries (what is asked) -> order (phases, overlaps) -> references (links between entries) -> batch or transaction ->
results. https://hl7.org/fhir/R4/http.html#transaction
"""
