"""The embedded store: one SQLite database and a folder of large bodies in one directory."""
