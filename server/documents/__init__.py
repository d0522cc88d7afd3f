"""The documents that a server publishes about itself, computed from the route table."""
