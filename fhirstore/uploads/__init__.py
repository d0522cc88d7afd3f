"""Payloads: contents of Binaries that are too large for a record, streamed to and from objects of their own.

https://hl7.org/fhir/R4/binary.html. `fhirstore.format.payload` defines what lies in the bucket,
`fhirstore.commit.placing` and `referring` how contents become visible, `fhirstore.upkeep.sweep.payloads` how they go.

| module | content |
|---|---|
| `payloads` | `Payloads`, what a tenant offers: receive, adopt, open, verify, presign |
| `receiving` | a stream of any size becomes an object, in parts, hashed on the way |
| `delivering` | a content is verified while it is read |
"""
