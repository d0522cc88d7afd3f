"""One HTTP request: its path, fields, preconditions and preferences, and how its answer is made."""
