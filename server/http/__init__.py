"""One HTTP request: its path, header fields, preconditions and preferences, and its answer."""
