"""Long jobs on the bucket: exports, submissions. Everything about a job is in it, so any process may go on with it.

Below the tenant's prefix, `{job}` being `bulk/{kind}/{id}/` or what the kind chose:

| key | content | written |
|---|---|---|
| `bulk/queue/{kind}_{id}.json` | the prefix of a live job | first of all |
| `{job}metadata.json` | what was asked for | once |
| `{job}state.json` | status, lease, and the work done so far | by compare-and-set; its creation is the job's |
| `{job}log/{epoch}-{n}.jsonl` | a part of the log | once |
| `{job}files/{name}/{epoch}.json` | the record of a file | once by each run |
| `{job}progress/{name}.json` | how far a run is with a part of the job | by compare-and-set |
| `bulk/queue/~{due}_{kind}_{id}.json` | the prefix of an ended job, which is removed when it is `due` | last but one |

Read in this order: `state` (the states, as a table), `lease` (who works on a job, and until when), `queue` (creation,
and the limit on live jobs), `removal` (the end of a job, and what a worker sees of it), `kind` (what a job may do),
`run`, `worker`, `tenant` (the jobs of a tenant, as the library shows them).
"""
