"""The REST facade: FHIR R4 over HTTP on a `fhirstore.FhirStore`.

Imports only fhirstore's public names: `fhirstore`, `fhirstore.errors` and `fhirstore.objects.probe`; `server.load`
also takes `fhirstore.json` and `fhirstore.clock`. A contract in pyproject.toml holds it to that.
"""
