"""What FHIR interactions cost, measured with the library's and the server's internals.

`test_request_counts` asserts the storage requests and round trips of each interaction. `python -m tests.costs` prints
`counts` (the same on each store), `resources` (CPU time to parse, validate and encode one resource) and `bundles`
(loading Bundles against single creates). Rates as a client sees them belong to `python -m conformance rates`.
"""
