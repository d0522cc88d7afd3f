"""The Bundles that the server writes: batch and transaction responses, searchsets, histories.

| file | what it does |
|---|---|
| `writer` | yields the bytes of any Bundle, and sends them piece by piece |
| `response`, `searchset`, `history` | the entries of each kind |
| `operations` | the entries of a batch or transaction that the library does not perform |
"""
