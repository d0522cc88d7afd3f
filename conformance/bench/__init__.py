"""`python -m conformance bench export`: how fast a server exports in bulk, what that costs, and what it does to reads.

    python -m conformance bench export                         # 100,000 resources, embedded and S3 (SeaweedFS)
    python -m conformance bench export --stores embedded --resources 10000

Each store gets a server of its own, filled with Patients of 2 KB by batches. Then, in one run:

- plain GETs of all these objects by obstore, the client that the server uses, as many at once as an export has: the
  yardstick. An embedded store has no such objects: there it is files with the same content;
- an export with nothing beside it: resources per second from the end of the wait for the snapshot to the manifest, the
  server's peak memory, and on S3 the requests that the S3 server counted meanwhile, by kind;
- the download of its files: each resource must be there once;
- the yardstick again; reads alone, by 16 connections; reads while another export runs; reads alone again.

`filling` makes the data, `exporting` is a small client of the export, `raw` the yardstick, `run` has the order,
`report` prints.
"""
