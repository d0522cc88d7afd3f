"""History: every version of one resource, of a type or of a whole tenant, in pages.

Read the modules in this order.

| module | content |
|---|---|
| `page` | the query, one page of the answer, and what a client may rely on |
| `instance` | one resource: no LIST at all |
| `events` | a type or a tenant: a page from the event keys |
| `window`, `bracket` | finding the newest events with a LIST that only goes forward |
| `counting`, `records` | which events belong to committed versions; reading many records at once |
| `whole_transactions` | a page shows all versions of a transaction, or none |
| `cursor` | where the next page starts |
| `seen` | a page for somebody who does not see everything |
| `watermark`, `remembered` | up to where the sweeper has checked the events; what a process remembers |

https://hl7.org/fhir/R4/http.html#history
"""
