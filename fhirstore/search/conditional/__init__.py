"""Criteria of those who write on them: conditional interactions and references by search."""
