"""`python -m conformance rates`: requests per second and CPU time per interaction, beside yardsticks of the same run.

    python -m conformance rates                              # `fhirstore serve` on memory, embedded and S3 (SeaweedFS)
    python -m conformance rates --stores embedded --seconds 5 --connections 64
    python -m conformance rates --url http://127.0.0.1:8080/fhir --pid 4711        # any other FHIR server

CPU time per request is steady. Rates are what this machine gave at that moment, client, server and store sharing its
processors: compare them only with others of the same run. Therefore ratios are measured in rounds, both sides in
each, and are the median over rounds. Nothing here imports the server or its library; what needs their internals,
such as the requests that an interaction sends to the store, is in tests/costs.

`run` starts servers (`servers`) and takes samples (`sampling`) of each interaction (`workload`, `patients`) with a
lean load generator (`load`) and `cpu`; `rows` sums up, `report` prints.

The ASGI server was chosen with this generator: an endpoint of Starlette alone, one process, two processors shared
with the client, Python 3.11; medians of 3 runs, CPU µs per request of the server, requests/s at 16 and 64 connections:

    server                                      GET                      POST of 2 KB, read by the endpoint
    uvicorn 0.54, uvloop and httptools          24 µs  40,700   40,500   30 µs  33,200   32,500
    granian 2.8, uvloop, single thread          20-30  44,400   65,700   40-49  23,800   31,400
    granian 2.8, uvloop, runtime thread         21-27  42,800   59,200   42-51  22,000   25,500
    hypercorn 0.18, uvloop                      118     8,100    8,100   137     7,100    7,200

uvicorn it is: the quickest and steadiest where a body is read, as in every create and update, and level on reads at
16 connections. It tells a streaming endpoint that its client has hung up (granian left it waiting for ever), answers
what was in flight at SIGTERM, replaces dead workers, and refuses Content-Length beside Transfer-Encoding. What it
lacks is a bound on the header block.
"""
