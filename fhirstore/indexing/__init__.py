"""Keeps a local index in step with the bucket: what was acknowledged is found by the next search, on every machine.

| file | content |
|---|---|
| `committed` | events of the history log -> the committed versions that the index lacks. A protocol, sans I/O |
| `latest` | one run at a time, which answers only those who asked before it began |
| `indexer` | one index in this process: made sure of before each search, told of writes, read (`readings`) |
| `held`, `catching_up`, `builds` | its file; consistent cuts that bring it up to date; building it |
| `building`, `filling` | reading the whole log; rows for parameters that are new |
| `queue`, `changes`, `aside` | what this process wrote; changes of an index; applying many in a process of their own |
| `extracting`, `child` | making the rows of a build in processes of their own; what these and `aside` have in common |
| `follower`, `lead` | what happens in the background, and which process of the machine does it |
| `purges`, `rewound` | what no event tells: purges, and a bucket that has gone back in time |
| `copies`, `copying` | copies of an index in the bucket |
| `indexes`, `options` | those of all tenants, and how they are kept |
| `status`, `verify` | how they are, and whether they are right |

An index has a *watermark*: every version with an earlier time that can ever be seen has been applied. It follows the
safe time of the history (`fhirstore.history.page`). Versions after it are applied as soon as somebody meets them; that
they are met by each search is what `Indexer.ensure` is for.
"""
