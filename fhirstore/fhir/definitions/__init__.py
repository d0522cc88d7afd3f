"""The definitions of a FHIR release, as data."""
