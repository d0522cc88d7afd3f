"""The audit trail: who did what with which version, as FHIR AuditEvents in sealed, chained segments.

| file | |
|---|---|
| `event` | what is known of one event, and the AuditEvent that tells it |
| `segment` | a segment: events, sealed, with the hash of the segment before |
| `writer` | collects the events of a process and stores segments |
| `trail` | reads a tenant's trail by time, patient and agent; checks the chains; removes what is old |

A segment is an object at `auditlog/{t}_{process}_{number}.ndjson.zst`, written once, with IfAbsent, by the process that
its name has. Its events were recorded from `t` on, within `SPAN`: so a reader lists only the time that it asks for.
"""
