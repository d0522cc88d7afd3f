"""Fixtures of the tests of Bundles."""

from tests.server.conftest import served

__all__ = ["served"]
