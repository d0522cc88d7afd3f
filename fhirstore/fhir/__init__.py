"""FHIR without storage: definitions, JSON and XML, FHIRPath, patches, search parameters and validation."""
