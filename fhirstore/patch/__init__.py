"""Patches as pure functions: JSON Patch, JSON Merge Patch, FHIRPath Patch. https://hl7.org/fhir/R4/http.html#patch."""
