"""The REST facade: FHIR R4 over HTTP on a `fhirstore.FhirStore`.

Imports only fhirstore's public names (`fhirstore`, `fhirstore.errors`, `fhirstore.objects.probe`).
"""
