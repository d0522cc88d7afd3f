"""Searches by the local index."""
