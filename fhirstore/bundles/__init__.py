"""Bundles of type batch and transaction: planned in pure functions, then done.

| file | what it settles |
|---|---|
| `process`, `options` | from a Bundle to its results, as its type and the caller say |
| `entries`, `preconditions` | what each entry asks, and on which conditions |
| `order` | who goes before whom, and which entries get in each other's way |
| `batch`, `perform`, `workers` | entries on their own, each as the interaction it asks for, some at a time |
| `transaction` | all or none, from here on |
| `lookup`, `pending_resources` | what criteria match: among what is stored, among what the transaction writes itself |
| `plan`, `conditional` | which resource each entry is about; what conditional entries come to |
| `linking`, `references` | links between entries, found and rewritten |
| `entry_writes` | what each part of the commit decides about the resource it finds |
| `idempotency`, `receipts` | an Idempotency-Key makes it happen once |
| `results` | what became of each entry |

https://hl7.org/fhir/R4/http.html#transaction
"""
