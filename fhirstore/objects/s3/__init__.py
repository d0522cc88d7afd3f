"""The S3 store. Three clients: obstore, the signed requests of `requests`, and aiobotocore (see `store`)."""
