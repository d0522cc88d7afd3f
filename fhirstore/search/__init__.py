"""Search by the parameters that the bucket itself can answer: `_id`, `_lastUpdated` and `identifier`.

Read in this order: `query` and `criteria` (the parameters), `token` and `last_updated` (one value of a parameter),
`entries` (ids by the identity index, in order), `candidates` (those that match), `newest_first` (searches without an
index, along the history of the type), `page` (one page of the answer), `seen` (the same for those who do not see all).

`matching` evaluates all other parameters on a resource at hand; type filters of exports use it.

| asked for | cost |
|---|---|
| `_id` | 1 GET per id |
| `identifier=system|value`, `|value`, `system|` | per page 1 LIST for each, 1 GET per candidate |
| `identifier=value` | the same, and another LIST per 1,000 entries of this value |
| `_lastUpdated`, no parameter | 1 or 2 LIST per page, 1 GET per resource read |

Criteria are combined by AND. The cheapest finds the candidates; all are checked on the resource itself.

https://hl7.org/fhir/R4/search.html
"""
