"""The REST facade: FHIR R4 over HTTP on a `fhirstore.FhirStore`.

Imports only fhirstore's public names. A contract in pyproject.toml holds it to that.
"""
