"""The audit log of a server: what each request did, told to the audit trail of its tenant (`fhirstore.audit`)."""
