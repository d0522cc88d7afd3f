"""Fixtures of the tests of costs."""

from __future__ import annotations

from tests.server.conftest import served

__all__ = ["served"]
