"""The local index: what a search needs of every resource, in one SQLite file per tenant and machine.

It is a copy of what the bucket says, made of committed versions only, and may be deleted at any time. This package
knows neither the bucket nor how versions come here (`fhirstore.indexing`), nor what a search is (`fhirstore.search`).

| file | content |
|---|---|
| `catalogue`, `customs` | which parameters are indexed: their numbers, kinds and paths; those that the tenant defines |
| `rows`, `elements` | what one resource has of them: the rows of the index, and those of composites in elements. Pure |
| `extract` | the same rows by parts of a resource, of which equal ones are read once |
| `numbering`, `pairs` | the same rows as the tables have them, with numbers for what many share; rows of two values |
| `sheets` | rows that one process makes and another one writes |
| `hashing`, `decimals` | 64-bit hashes that nobody can foresee; decimals as bytes that sort |
| `schema` | the tables, and what an interval of validity is |
| `apply` | versions in, changes of rows out, in one transaction |
| `compare` | whether the rows of a resource are those of its content |
| `runs` | rows of many resources, written in the order of their tables |
| `file` | applying to one file, reading it as of one moment, pruning |
| `reader` | what is read at that moment |
| `empty` | what is read of a tenant that has nothing |
| `noted`, `facts` | facts about the file, and what is told of them |
| `connections`, `moment` | the connections of a process to a file; what each has read of the moment that it shows |
| `placing` | opening files and replacing them; one that is damaged is set aside |
"""
