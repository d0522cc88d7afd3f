"""The commit protocol: how versions of resources are made atomically with conditional PUTs alone. It does no I/O.

docs/how-a-write-works.md explains it with a picture; docs/format.md defines the terms. Read the modules in this order.

One resource:

| module | content |
|---|---|
| `messages` | what a protocol asks of a store, and the replies: plain values |
| `limits` | time limits, other limits, and the context of a protocol |
| `attempt` | one attempt: the base, the record it would commit, the keys beside it |
| `single` | one write, from the first GET to the commit point |
| `abandoned`, `fence` | the slot is taken: wait for its owner, then make sure that it cannot commit |
| `verdict` | the commit point, and what became of a commit whose reply was lost |
| `reading` | which version a reader may believe |
| `backoff`, `idempotent` | how long to wait and how often to try; requests that may be sent twice |
| `purge` | the physical removal of a resource |

Several resources at once:

| module | content |
|---|---|
| `transaction` | from the first GET to the commit point, `tx/{id}.json` (`fhirstore.format.decision`) |
| `change`, `announcing` | one part of a transaction; the requests that come before the commit point |
| `intents` | what a writer does that meets the intent of another transaction |
| `finishing` | what is left to do after the client was answered |
| `claim` | the right to create a resource for one identifier value |

Running protocols: `drive` on an ObjectStore, `staging` for stores that decide each request by itself, `side_by_side`
for several at once, `remembered` (a guess that saves a GET), `local_locks` (one writer at a time in a process).
"""
