"""Search by what the bucket itself can answer: `_id`, `_lastUpdated` and `identifier`.

Read in this order: `query` and `criteria` (what is asked for), `token` and `last_updated` (one value of a parameter), `entries`
(ids by the identity index, in order), `candidates` (those that truly match), `newest_first` (no index to go by: from the
newest events of the type), `page` (one page of the answer).

| asked for | cost |
|---|---|
| `_id` | 1 GET per id |
| `identifier=system|value`, `|value`, `system|` | per page 1 LIST for each, 1 GET per candidate |
| `identifier=value` | the same, and another LIST per 1,000 entries of this value |
| `_lastUpdated`, nothing at all | 1 or 2 LIST per page, 1 GET per resource looked at |

Criteria are and-ed, the cheapest of them finds the candidates, all of them are checked on the resource itself.

https://hl7.org/fhir/R4/search.html
"""
