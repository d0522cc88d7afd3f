"""History: every version of one resource, of a type or of a whole tenant, in pages.

Read in this order: `page` (what is asked and answered), `instance` (one resource: no LIST at all), `events` (a type
or a tenant: a page from the event keys), `window` (finding the newest events with a LIST that only goes forward),
`counting` (which events are versions), `cursor` (where the next page starts), `remembered` (what a process keeps).

https://hl7.org/fhir/R4/http.html#history
"""
