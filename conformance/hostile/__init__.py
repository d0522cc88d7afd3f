"""Thousands of requests that nobody honest sends, from a seed, beside clients that must be served all the same."""
