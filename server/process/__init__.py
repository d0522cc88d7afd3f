"""A server process: uvicorn, its settings and its protocol, and the store that it opens and closes."""
