"""The S3 store: aiobotocore for the session, obstore for the hot path, signed requests where a window is needed."""
