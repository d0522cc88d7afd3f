"""Search: from the parameters of a URL to the versions that match, their order, and what comes along.

| room | content |
|---|---|
| `criteria` | what a search asks for, read from its parameters; what each type can be asked |
| `plans` | criteria as statements on the local index: conditions, what leads to their matches, orders |
| `pages` | pages of one moment, what comes along, contents from the bucket |
| `conditional` | criteria of those who write on them, found by the bucket's own index or by the local one |
| `matching` | criteria on a resource at hand: the filter of exports, of scopes and of conditions |

https://hl7.org/fhir/R4/search.html
"""
