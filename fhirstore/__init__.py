"""fhirstore: FHIR R4 on object storage, as a library."""
