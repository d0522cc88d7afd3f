"""The documents a server publishes about itself, computed from the route table."""
