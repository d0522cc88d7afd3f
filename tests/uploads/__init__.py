"""Binaries above the limits of memory: up and down through a real server."""
