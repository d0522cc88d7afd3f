"""Upkeep of a tenant's stored data: the sweeper (`sweep`), the checker (`fsck`) and purge."""
