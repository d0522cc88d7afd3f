"""What lies in the bucket: keys, records and decisions of transactions."""
