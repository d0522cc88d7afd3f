"""Background work on the bucket: leases now; jobs that step, checkpoint and resume are built on them."""
