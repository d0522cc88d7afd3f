"""Facts about the FHIR release, as data."""
