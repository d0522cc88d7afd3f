"""Background work on the bucket. `state`: a job's states, as a table. `lease`: who works on a job, and until when."""
