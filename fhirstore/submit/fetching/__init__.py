"""What submitters submit, fetched: over http and https, from buckets, and from files of this machine.

A URL comes from outside, and so does everything that is behind it. Read the modules in this order:

| module | content |
|---|---|
| `limits` | of time, size and growth |
| `addresses` | which addresses may be connected to |
| `targets` | which URLs may be fetched, by their text |
| `connecting` | connections to checked addresses alone |
| `requests` | requests: redirects, credentials, deadlines |
| `keys`, `oauth` | the submitter's keys; access tokens |
| `raw`, `http`, `buckets`, `files` | bodies as their sources have them |
| `decoding`, `decrypting`, `plain` | the same bodies plain, continued where an earlier reading ended |
| `sources` | the face: `NetworkSources`, the `Sources` of a server |

Nothing here is written to a log. Errors go to the provider: they name no address, no key, and nothing of a URL.
"""
