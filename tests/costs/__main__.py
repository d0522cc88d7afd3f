"""`python -m tests.costs counts|resources|bundles`: options in, tables in Markdown or JSON out."""

from __future__ import annotations

from tests.costs.command import app

app()
