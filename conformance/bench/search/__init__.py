"""`python -m conformance bench search`: how fast a server finds, how fast its index is built, how large it is.

    python -m conformance bench search --store embedded --resources 1000000 --folder DIR
    python -m conformance bench search --store s3 --resources 100000 --folder DIR

The store is filled with a made-up population (`conformance.population`), so that each search can ask for what is there.
Then, in this order, each step once; what is done is noted in the folder, and the command, run again, goes on after it:

1. fill: batches of PUTs over HTTP;
2. build: the index is deleted, a server started, and the seconds counted until it answers a search;
3. sizes: bytes of index per resource;
4. searches: each kind by 1 client and by 8: searches per second, p50, p99, and the server's CPU time per search;
5. start: the index is deleted again, and a server started where the bucket has a copy of it;
6. writes, embedded only: creates on a server that is searched, and on one that never was.

`questions` has the kinds of search, `filling` fills, `serving` starts servers, `measuring` takes the times, `writing`
those of creates, `notes` is what is known so far, `run` has the order, `report` prints.
"""
