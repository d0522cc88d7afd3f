"""Bundles of type batch and transaction: planned by pure functions, then processed.

| file | content |
|---|---|
| `process`, `options` | from a Bundle to its results; what the caller may choose |
| `entries`, `preconditions` | each entry as a request, with its preconditions |
| `order` | the order of processing, and which entries of a transaction exclude each other |
| `batch`, `perform`, `workers` | a batch: each entry as an interaction of its own, several at a time |
| `transaction` | a transaction, all or none; the following files are about transactions |
| `lookup`, `pending_resources` | what criteria match among stored resources, and among those the transaction writes |
| `plan`, `conditional` | the resource that each entry writes; conditional entries |
| `linking`, `references` | links between entries, found and rewritten |
| `entry_writes` | each entry that writes, as a part of the commit |
| `restriction` | what the access of the client allows of each entry |
| `idempotency`, `receipts` | a Bundle with an Idempotency-Key is processed once |
| `results` | the result of each entry |

https://hl7.org/fhir/R4/http.html#transaction
"""
