"""What keeps a tenant in order: the sweeper, the checker and purge."""
