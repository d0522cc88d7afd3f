"""The S3 store. Two clients: obstore, and the signed requests of `requests` (see `store`)."""
